"""Commands do what they say, and piped they print one JSON document."""

import json
import os
import sys
from pathlib import Path

import click
import pytest

from swarmtally import logs
from swarmtally.cli import options
from swarmtally.cli.main import root
from swarmtally.version import __version__
from tests.backends.wire import OpenAIWire, answer, failure, tokens
from tests.cli.conftest import Shell, process


def test_the_version(shell: Shell) -> None:
    assert shell("--version").out == f"swarmtally {__version__}\n"


@pytest.mark.parametrize("spelling", ["--max-agents", "--max_agents", "--maxAgents"])
@pytest.mark.parametrize("tool", ["swarm_init", "swarm-init", "swarmInit"])
def test_names_are_found_however_they_are_spelled(shell: Shell, spelling: str, tool: str) -> None:
    made = shell("mcp", tool, "--topology", "mesh", spelling, "3")
    assert (made.status, made.err) == (0, "")
    assert (made.document["topology"], made.document["max_agents"]) == ("mesh", 3)


@pytest.mark.parametrize(
    ("given", "value"),
    [('{"a": [1]}', {"a": [1]}), ("-5", "-5"), ("-foo", "-foo"), ("{no json", "{no json"), ("@@x", "@x"), ("", "")],
)
def test_a_value_is_stored_as_given(shell: Shell, given: str, value: object) -> None:
    shell("mcp", "memory_usage", "--action", "store", "--key", "k", "--value", given)
    assert shell("mcp", "memory_usage", "--action=retrieve", "--key=k").document["value"] == value


def test_a_path_that_is_no_utf8_is_json_all_the_same(shell: Shell, place: Path) -> None:
    strange = place / "caf\udce9.db"
    listed = shell("swarms", "list", "--db", str(strange))
    assert listed.document["database"] == str(strange)


def test_the_options_of_the_command_win_over_those_of_the_root(shell: Shell, place: Path) -> None:
    listed = shell("--db", "root.db", "--project", "p", "--allow", "a", "swarms", "list", "--db", "leaf.db")
    assert listed.document == {"swarms": [], "project": "p", "database": str(place / "work" / "leaf.db")}
    assert not (place / "work" / "root.db").exists()


def test_allow_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[options.Options] = []
    leaf = options.Leaf("leaf", callback=lambda: seen.append(options.current()))
    group = click.Group("root", params=options.shared_options(), commands={"leaf": leaf})
    group.main(["--allow", "a", "leaf", "--allow", "b", "--allow", "c"], standalone_mode=False)
    assert seen == [options.Options(allow=("a", "b", "c"))]


def test_every_command_takes_the_shared_options_and_none_takes_a_key() -> None:
    context = root.make_context("swarmtally", ["doctor"])
    for path, command in _leaves(root, context, ()):
        flags = {flag for parameter in command.params for flag in parameter.opts}
        assert {"--db", "--project", "--base-url", "--log-level"} <= flags, path
        assert not [flag for flag in flags if "key" in flag and flag != "--key"], path


def _leaves(
    group: click.Group, context: click.Context, path: tuple[str, ...]
) -> list[tuple[tuple[str, ...], click.Command]]:
    found: list[tuple[tuple[str, ...], click.Command]] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found += _leaves(command, context, (*path, name))
        else:
            found.append(((*path, name), command))
    return found


def test_help_lists_every_command(shell: Shell) -> None:
    listed = shell("-h")
    assert listed.status == 0
    for name in ("serve", "mcp", "sparc", "swarms", "runs", "model", "demo", "doctor", "install"):
        assert f"\n  {name} " in listed.out


def test_the_help_of_a_tool_says_its_arguments(shell: Shell) -> None:
    text = " ".join(shell("mcp", "swarm_init", "--help").out.split())
    assert "--topology star|hierarchical|ring|mesh|adaptive Who may speak to whom [default: star]" in text
    assert "--max-agents NUMBER Most agents; else 8, adaptive: what pays [at least 1, at most 10000]" in text


def test_the_levels_are_those_of_the_logs() -> None:
    assert options.LEVELS == logs.LEVELS


def test_swarms_are_listed_used_and_deleted(shell: Shell) -> None:
    first = shell("mcp", "swarm_init", "--name", "one").document["swarm_id"]
    second = shell("mcp", "swarm_init", "--name", "two").document["swarm_id"]
    assert shell("swarms", "use", first).document["change"] == "made current"
    swarms = {swarm["swarm_id"]: swarm["current"] for swarm in shell("swarms", "list").document["swarms"]}
    assert swarms == {first: True, second: False}
    assert shell("swarms", "delete", second).document == {
        **shell("swarms", "use", first).document,
        "swarm_id": second,
        "name": "two",
        "change": "deleted",
    }
    assert [swarm["swarm_id"] for swarm in shell("swarms", "list").document["swarms"]] == [first]


def test_modes_are_listed_and_files_that_gave_none(shell: Shell, place: Path) -> None:
    folder = place / "work" / ".swarmtally" / "modes"
    folder.mkdir(parents=True)
    (place / "work" / ".git").mkdir()
    (folder / "poet.md").write_text("---\nname: poet\ndescription: Writes verse.\n---\nWrite verse.")
    (folder / "broken.md").write_text("no front matter")
    listed = shell("sparc", "modes").document
    modes = {mode["name"]: mode for mode in listed["modes"]}
    assert modes["poet"] == {"name": "poet", "role": "poet", "source": "project", "description": "Writes verse."}
    assert modes["coder"]["source"] == "built-in"
    assert [Path(skipped["path"]).name for skipped in listed["skipped"]] == ["broken.md"]


def test_a_model_of_ones_own_is_recorded_and_listed(shell: Shell, place: Path) -> None:
    file = place / "own.gguf"
    file.write_bytes(b"GGUF and more")
    pulled = shell("model", "pull", "mine", "--path", str(file)).document
    assert (pulled["name"], pulled["size_bytes"], pulled["use_with"]) == ("mine", 13, "--model local:mine")
    assert shell("model", "list").document == {"models": [pulled]}


def test_a_run_in_the_shell_is_waited_for_to_its_end(shell: Shell, wire: OpenAIWire, place: Path) -> None:
    wire.script(answer("the deliverable", tokens(40, 2)))
    (place / "context.txt").write_text("Use Python, please,\nno Java.")
    run = shell("sparc", "run", "coder", "Feature A", "--context", f"@{place}/context.txt")
    assert (run.status, run.document["status"], run.document["usage"]["raw_tokens"]) == (0, "succeeded", 42)
    assert "Use Python, please,\nno Java." in json.dumps(wire.requests[-1].body).encode().decode("unicode_escape")
    shown = shell("runs", "show", run.document["run_id"]).document
    assert (shown["run_id"], shown["status"]) == (run.document["run_id"], "succeeded")
    assert [line["run_id"] for line in shell("runs", "list").document["runs"]] == [run.document["run_id"]]


def test_files_are_written_inside_an_allowed_folder_only(shell: Shell, wire: OpenAIWire, place: Path) -> None:
    refused = shell("sparc", "run", "coder", "x", "--out-dir", "out")
    assert "out" in refused.complaint
    assert shell("runs", "list").document["runs"] == []
    written = shell("sparc", "run", "coder", "x", "--out-dir", "out", "--allow", str(place / "work"))
    (artefact,) = written.document["artefacts"]
    assert Path(artefact["path"]).is_relative_to(place / "work" / "out")
    assert Path(artefact["path"]).is_file()


@pytest.mark.parametrize(
    ("arguments", "tasks"),
    [
        (("batch", "spec-pseudocode,architect", "Feature A,Feature B"), 4),
        (("batch", "coder,tester", "An API with authentication, rate limiting"), 2),
        (("concurrent", "data-pipeline", "ETL pipeline,Data validation"), 2),
        (("pipeline", "A shop with a cart, a catalog"), 14),
    ],
)
def test_the_sparc_commands_make_the_runs_they_name(
    shell: Shell, wire: OpenAIWire, arguments: tuple[str, ...], tasks: int
) -> None:
    run = shell("sparc", *arguments)
    assert run.status == 0
    assert (run.document["kind"], run.document["tasks"]["succeeded"]) == (arguments[0], tasks)


def test_a_failed_run_exits_with_1_and_is_shown_all_the_same(shell: Shell, wire: OpenAIWire) -> None:
    wire.script(failure(401))
    run = shell("mcp", "sparc_run", "--mode", "coder", "--task", "x")
    assert (run.status, run.document["status"]) == (1, "failed")
    assert "has failed; nothing is left to resume" in shell("runs", "resume", run.document["run_id"]).complaint


def test_a_memory_command_imports_no_sdk_no_rich_no_sparc(place: Path) -> None:
    program = (
        "import sys; from swarmtally.cli.main import run; status = run(sys.argv[1:]); "
        "print(*sys.modules, sep='\\n', file=sys.stderr); sys.exit(status)"
    )
    for arguments in (
        ["memory_usage", "--action", "store", "--key", "k", "--value", "{}"],
        ["memory_usage", "--action", "retrieve", "--key", "k"],
        ["memory_search", "--pattern", "*"],
    ):
        done = process("mcp", *arguments, program=program)
        assert done.status == 0
        modules = set(done.err.split())
        assert "swarmtally_tools.memory" in modules
        heavy = {"mcp", "rich", "structlog", "pydantic_ai", "psutil", "swarmtally.sparc", "swarmtally_tools.sparc"}
        assert not modules & heavy


def test_a_closed_pipe_ends_the_command_quietly() -> None:
    read, write = os.pipe()
    os.close(read)
    done = process("sparc", "modes", stdout=write)
    os.close(write)
    assert (done.status, done.err) == (141, "")


def test_without_stdout_a_command_still_works(monkeypatch: pytest.MonkeyPatch, shell: Shell) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert shell("swarms", "list").status == 0

"""Each condition is one clear line on stderr with its remedy, exit 2, nothing on stdout, nothing half done."""

import sqlite3
from pathlib import Path

import click
import pytest

from swarmtally.cli import failures
from swarmtally.domain.errors import InvalidInput, NotFound
from tests.cli.conftest import Shell


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("memory",), "swarmtally has no command 'memory'; it takes serve, mcp, sparc"),
        (("model", "pul"), "model has no command 'pul'; did you mean 'pull'?"),
        (("mcp", "swarm_inti"), "mcp has no tool 'swarm_inti'; did you mean 'swarm_init'?"),
        (("mcp", "swarm_init", "--topolgy", "mesh"), "no option '--topolgy'; did you mean '--topology'?"),
        (("mcp", "swarm_init", "--maxAgent", "8"), "no option '--max-agent'; did you mean '--max-agents'?"),
        (("--databse", "x", "doctor"), "swarmtally has no option '--databse'"),
        (("mcp", "swarm_init", "--max-agents", "many"), "swarm_init: max_agents must be a whole number, got 'many'"),
        (("mcp", "swarm_init", "--max-agents", "2.5"), "swarm_init: max_agents must be a whole number, got 2.5"),
        (("mcp", "swarm_init", "--max-agents", "10001"), "max_agents must be at most 10000, got 10001"),
        (("mcp", "swarm_init", "--topology", "tree"), "topology must be one of 'star', 'hierarchical'"),
        (("mcp", "swarm_init", "--max-agents"), "option '--max-agents' requires an argument"),
        (("mcp", "swarm_init", "--name", "x" * 201), "name must be at most 200 characters long"),
        (("mcp", "memory_usage"), "memory_usage: action is missing"),
        (("mcp", "memory_usage", "--action", "store", "--key", "k", "--tags", "@none"), "file 'none' cannot be read"),
        (("sparc", "run", "coder"), "sparc run: TASK is missing; usage: swarmtally sparc run [OPTIONS] MODE TASK"),
        (("sparc", "run", "coder", "write", "code"), "unexpected extra argument (code); quote a text that has spaces"),
        (("runs", "show"), "runs show: ID is missing"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_leaves_no_database(
    shell: Shell, place: Path, arguments: tuple[str, ...], line: str
) -> None:
    assert line in shell(*arguments).complaint
    assert not (place / "swarm.db").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("swarms", "use", "s_none"), "no swarm 's_none'; list them with run_status"),
        (("swarms", "delete", "s_none"), "no swarm 's_none'; list them with run_status"),
        (("runs", "show", "r_none"), "no run 'r_none'; list them with run_status"),
        (("runs", "resume", "r_none"), "no run 'r_none'; list them with run_status"),
        (("mcp", "agent_spawn", "--type", "coder"), "has no current swarm; make one with swarm_init"),
        (("mcp", "memory_usage", "--action", "retrieve", "--key", "none"), "no entry 'none' in namespace 'default'"),
        (("sparc", "run", "codr", "x", "--model", "openai:x"), "no mode 'codr'; did you mean 'coder'?"),
        (("sparc", "run", "coder", "x"), "no model to work with; name one with --model"),
        (("--max-output-tokens", "0", "swarms", "list"), "--max-output-tokens is '0'; it takes a whole number above 0"),
        (("swarms", "list", "--log-level", "loud"), "--log-level is 'loud'; it takes debug, info"),
    ],
)
def test_what_is_not_there_is_one_line_with_its_remedy(shell: Shell, arguments: tuple[str, ...], line: str) -> None:
    assert line in shell(*arguments).complaint


def test_an_environment_variable_with_nonsense_is_named(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARMTALLY_LOG_LEVEL", "loud")
    assert "SWARMTALLY_LOG_LEVEL is 'loud'" in shell("swarms", "list").complaint


def test_an_oversized_value_is_refused_and_not_stored(shell: Shell, place: Path) -> None:
    (place / "big.txt").write_text("x" * (1024 * 1024 + 1))
    refused = shell("mcp", "memory_usage", "--action", "store", "--key", "big", "--value", f"@{place}/big.txt")
    assert "the limit is 1048576" in refused.complaint
    assert shell("mcp", "memory_search", "--pattern", "*").document["entries"] == []


def test_a_folder_is_no_database(shell: Shell, place: Path) -> None:
    assert "it is a folder, not a file" in shell("--db", str(place), "swarms", "list").complaint


def test_a_damaged_database_is_told_and_left_alone(shell: Shell, place: Path) -> None:
    (place / "swarm.db").write_bytes(b"no database at all" * 500)
    assert "is damaged or no database" in shell("mcp", "memory_search", "--pattern", "*").complaint
    assert (place / "swarm.db").read_bytes() == b"no database at all" * 500


def test_a_newer_database_is_told(shell: Shell, place: Path) -> None:
    shell("swarms", "list")
    with sqlite3.connect(place / "swarm.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    assert "has schema 99, made by a newer swarmtally" in shell("swarms", "list").complaint


def test_a_bare_group_shows_its_help_on_stderr(shell: Shell) -> None:
    result = shell("runs")
    assert (result.status, result.out) == (2, "")
    assert "resume" in result.err


def test_an_unexpected_error_is_logged_with_its_trace_under_an_id(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        raise ZeroDivisionError("unforeseen")
    assert failures.tell(caught.value) == 1
    log, line = capsys.readouterr().err.strip().rsplit("\n", 1)
    number = line.removeprefix("swarmtally: internal error, id ")
    assert number in log
    assert "Traceback" in log.replace("\\n", "\n")


def test_a_group_of_conditions_is_told_as_its_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert failures.tell(ExceptionGroup("several", [NotFound("no run r_1"), InvalidInput("no")])) == 2
    assert capsys.readouterr().err == "swarmtally: no run r_1\n"


def test_a_group_with_an_unexpected_error_is_an_internal_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert failures.tell(ExceptionGroup("several", [NotFound("no run r_1"), KeyError("x")])) == 1
    assert "internal error, id" in capsys.readouterr().err


def test_what_an_error_quotes_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    failures.tell(NotFound("no entry \x1b[2J\nswarmtally: all is well"))
    assert capsys.readouterr().err == "swarmtally: no entry [2J swarmtally: all is well\n"


def test_a_usage_error_without_a_context_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert failures.tell(click.UsageError("Something is wrong.")) == 2
    assert capsys.readouterr().err == "swarmtally: something is wrong; see swarmtally --help\n"


def test_traces_that_cannot_be_exported_are_a_warning_on_stderr(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    done = shell("mcp", "swarm_init")
    assert (done.status, done.document["topology"]) == (0, "star")
    assert "tracing.off" in done.err

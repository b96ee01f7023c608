"""`swarmtally install`: the client's file gains our entry and loses nothing."""

import json
import os
import re
import shlex
import stat
import sys
from pathlib import Path

import pytest

from swarmtally.cli import configfile
from swarmtally.domain.errors import PathRefused
from tests.cli.conftest import Shell, process

PROGRAM = str(Path(sys.executable).with_name("swarmtally"))
OTHER = {"command": "npx", "env": {"OTHER_API_KEY": "of-the-other"}, "args": ["--bearer", "of-the-other"]}


@pytest.fixture
def project(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory as a git root; nothing in the environment for the server."""
    monkeypatch.delenv("SWARMTALLY_DB")
    (place / "work" / ".git").mkdir()
    return place / "work"


@pytest.fixture
def file(place: Path) -> Path:
    return place / "client.json"


def on(file: Path, *more: str, client: str = "claude-code") -> list[str]:
    return ["install", "--client", client, "--file", str(file), *more]


def folder_of(file: Path) -> list[str]:
    return sorted(path.name for path in file.parent.iterdir() if path.name.startswith((file.name, f".{file.name}")))


# What the entry says.


def test_a_scope_that_a_client_has_not_is_refused(shell: Shell, place: Path) -> None:
    assert "leave --scope out" in shell("install", "--client", "claude-desktop", "--scope", "project").complaint
    assert "no git root here" in shell("install", "--client", "vscode").complaint
    assert "it takes claude-desktop, claude-code, vscode, cursor" in shell("install").complaint


def test_the_project_files_lie_in_the_git_root(shell: Shell, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "deep").mkdir()
    monkeypatch.chdir(project / "deep")
    code = shell("install", "--client", "claude-code").document
    assert (code["file"], code["changed"], code["backup"]) == (str(project / ".mcp.json"), True, None)
    assert json.loads((project / ".mcp.json").read_text()) == {
        "mcpServers": {"swarmtally": {"type": "stdio", "command": PROGRAM, "args": ["serve"], "env": {}}}
    }
    shell("install", "--client", "vscode")
    assert json.loads((project / ".vscode" / "mcp.json").read_text()) == {
        "servers": {"swarmtally": {"type": "stdio", "command": PROGRAM, "args": ["serve"]}}
    }


def test_a_client_that_starts_elsewhere_is_told_the_project(shell: Shell, project: Path) -> None:
    pinned = ["serve", "--project", str(project), "--allow", str(project)]
    desktop = shell("install", "--client", "claude-desktop").document
    assert (desktop["args"], desktop["project"]) == (pinned, str(project))
    assert shell("install", "--client", "cursor", "--scope", "project").document["args"] == pinned
    # An entry for all projects belongs to none of them.
    assert shell("install", "--client", "cursor").document["args"] == ["serve"]
    named = shell("install", "--client", "claude-desktop", "--project", "team").document
    assert (named["args"], named["project"]) == (["serve", "--project", "team"], "team")


def test_fewer_tools_are_handed_on(shell: Shell, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = shell("install", "--client", "cursor", "--toolsets", "memory", "--toolsets", "insight,runs", "--read-only")
    assert asked.document["args"] == ["serve", "--toolsets", "memory,insight,runs", "--read-only"]
    monkeypatch.setenv("SWARMTALLY_TOOLSETS", "memory")
    assert shell("install", "--client", "cursor").document["args"] == ["serve", "--toolsets", "memory"]
    assert "memroy" in shell("install", "--client", "cursor", "--toolsets", "memroy").complaint


def test_outside_a_git_root_the_project_is_said_to_be_the_default(shell: Shell, place: Path) -> None:
    document = shell("install", "--client", "claude-desktop").document
    assert "--project" not in document["args"]
    assert document["project"].startswith("default; name another with --project")


def test_options_are_passed_on_with_absolute_paths(shell: Shell, project: Path, file: Path) -> None:
    options = ["--db", "x/../swarm.db", "--allow", "out", "--allow", "/srv", "--model", "openai:llama3"]
    more = ["--base-url", "http://localhost:11434/v1", "--max-output-tokens", "300", "--log-level", "debug"]
    more += ["--max-parallel", "12"]
    assert shell(*on(file, *options, *more, "--project", "a b")).document["args"] == [
        *("serve", "--model", "openai:llama3", "--base-url", "http://localhost:11434/v1"),
        *(
            "--max-output-tokens",
            "300",
            "--max-parallel",
            "12",
            "--log-level",
            "debug",
            "--db",
            str(project / "swarm.db"),
        ),
        *("--project", "a b", "--allow", str(project / "out"), "--allow", "/srv"),
    ]


def test_the_environments_twins_are_passed_on_too(
    shell: Shell, project: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWARMTALLY_DB", "team.db")
    monkeypatch.setenv("SWARMTALLY_ALLOW", os.pathsep.join(["/a", "/b"]))
    monkeypatch.setenv("SWARMTALLY_MAX_OUTPUT_TOKENS", "9")
    args = shell(*on(file, "--db", "own.db")).document["args"]
    assert args == [
        "serve",
        "--max-output-tokens",
        "9",
        "--db",
        str(project / "own.db"),
        "--allow",
        "/a",
        "--allow",
        "/b",
    ]
    monkeypatch.setenv("SWARMTALLY_LOG_LEVEL", "loud")
    assert "SWARMTALLY_LOG_LEVEL is 'loud'" in shell(*on(file)).complaint
    monkeypatch.setenv("SWARMTALLY_MAX_OUTPUT_TOKENS", "many")
    assert "SWARMTALLY_MAX_OUTPUT_TOKENS is 'many'" in shell(*on(file)).complaint
    monkeypatch.setenv("SWARMTALLY_MAX_PARALLEL", "0")
    monkeypatch.delenv("SWARMTALLY_MAX_OUTPUT_TOKENS")
    assert "SWARMTALLY_MAX_PARALLEL is '0'" in shell(*on(file)).complaint
    # What is only taken out needs none of them.
    assert shell(*on(file, "--uninstall")).status == 0


# What is there stays.

KEPT = (
    '{\r\n\t"z": 1.50e3,\r\n\t"mcpServers" : {\r\n\t\t"b": {"command":"npx", "n": 1e999}\r\n\t},\r\n\t"a": "\\u00e9"}'
)


def test_everything_else_stays_to_the_byte(shell: Shell, project: Path, file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + KEPT.encode())
    shell(*on(file))
    now = file.read_bytes().decode()
    for part in (
        "\ufeff{",
        '"z": 1.50e3,',
        '"b": {"command":"npx", "n": 1e999},\r\n\t\t"swarmtally": {\r\n\t\t\t"type"',
    ):
        assert part in now
    assert "\n" not in now.replace("\r\n", "")
    shell(*on(file, "--uninstall"))
    assert file.read_bytes() == b"\xef\xbb\xbf" + KEPT.encode()


def test_a_file_on_one_line_stays_on_one_line(shell: Shell, project: Path, file: Path) -> None:
    for text in ('{"a": 1}', '{"mcpServers": {}}', '{"mcpServers": {"b": {}}, "a": 1}'):
        file.write_text(text)
        shell(*on(file))
        assert "\n" not in file.read_text()
        assert json.loads(file.read_text())["mcpServers"]["swarmtally"]["args"] == ["serve"]


def test_what_the_user_added_to_our_entry_stays(shell: Shell, project: Path, file: Path) -> None:
    shell(*on(file))
    found = json.loads(file.read_text())
    found["mcpServers"]["swarmtally"] |= {"env": {"OPENAI_API_KEY": "mine"}, "timeout": 60}
    file.write_text(json.dumps(found, indent=4))
    changed = shell(*on(file, "--model", "openai:gpt-5-mini")).document
    assert (changed["changed"], changed["set_in_env"]) == (True, None)
    entry = json.loads(file.read_text())["mcpServers"]["swarmtally"]
    assert entry["args"] == ["serve", "--model", "openai:gpt-5-mini"]
    assert (entry["env"], entry["timeout"]) == ({"OPENAI_API_KEY": "mine"}, 60)


def test_another_server_of_that_name_is_left_alone(shell: Shell, project: Path, file: Path) -> None:
    for other in (OTHER, {"url": "http://127.0.0.1/mcp"}, {"command": "swarmtally-like", "args": ["x"]}, []):
        text = json.dumps({"mcpServers": {"tally": other}})
        file.write_text(text)
        for more in ([], ["--uninstall"]):
            assert "does not start swarmtally" in shell(*on(file, "--name", "tally", *more)).complaint
        assert file.read_text() == text


def test_entries_of_other_names_live_side_by_side(shell: Shell, project: Path, file: Path) -> None:
    shell(*on(file))
    shell(*on(file, "--name", "second", "--project", "p2"))
    shell(*on(file, "--uninstall"))
    assert list(json.loads(file.read_text())["mcpServers"]) == ["second"]
    assert "up to 64 letters" in shell(*on(file, "--name", "a b")).complaint


# Once is enough, and there is a way back.


def test_a_second_install_changes_nothing_and_says_so(shell: Shell, project: Path, file: Path) -> None:
    file.write_text(json.dumps({"mcpServers": {"other": OTHER}}))
    assert shell(*on(file)).document["changed"] is True
    before = (file.stat().st_ino, file.stat().st_mtime_ns, folder_of(file))
    again = shell(*on(file)).document
    assert (again["changed"], again["backup"]) == (False, None)
    assert again["next_step"].startswith("nothing to do")
    assert (file.stat().st_ino, file.stat().st_mtime_ns, folder_of(file)) == before


def test_an_uninstall_where_nothing_is_changes_nothing(shell: Shell, project: Path, file: Path) -> None:
    document = shell(*on(file, "--uninstall")).document
    assert (document["changed"], document["next_step"]) == (False, "nothing to do: no such entry is there")
    assert folder_of(file) == []


def test_the_backup_is_the_newest_content_without_us(shell: Shell, project: Path, file: Path) -> None:
    original = json.dumps({"mcpServers": {"other": OTHER}})
    file.write_text(original)
    file.chmod(0o640)
    backup = Path(shell(*on(file)).document["backup"])
    assert backup == file.with_name("client.json.swarmtally.bak")
    assert (backup.read_text(), stat.S_IMODE(backup.stat().st_mode)) == (original, 0o640)

    assert shell(*on(file, "--model", "local")).document["backup"] is None
    assert shell(*on(file, "--uninstall")).document["backup"] is None
    assert backup.read_text() == original

    newer = json.dumps({"mcpServers": {"other": OTHER, "third": OTHER}})
    file.write_text(newer)
    assert shell(*on(file)).document["backup"] == str(backup)
    assert backup.read_text() == newer


def test_a_dry_run_shows_the_change_and_writes_nothing(shell: Shell, project: Path, file: Path) -> None:
    text = json.dumps({"mcpServers": {"other": OTHER}}, indent=2)
    file.write_text(text)
    document = shell(*on(file, "--dry-run")).document
    assert (document["dry_run"], document["changed"], document["backup"]) == (True, True, None)
    assert f"--- {file}\n+++ {file}\n@@ " in document["diff"]
    assert '"swarmtally": {' in document["diff"]
    assert "of-the-other" not in document["diff"]
    assert (file.read_text(), folder_of(file)) == (text, [file.name])
    absent = project / "new" / "file.json"
    assert shell(*on(absent, "--dry-run")).document["changed"] is True
    assert not absent.parent.exists()


# How it is written.


def test_a_link_stays_a_link_and_permissions_stay(shell: Shell, project: Path, file: Path) -> None:
    real = project / "dotfiles.json"
    real.write_text("{}")
    real.chmod(0o606)
    file.symlink_to(real)
    old = os.umask(0o077)
    try:
        shell(*on(file))
    finally:
        os.umask(old)
    assert file.is_symlink()
    assert "swarmtally" in real.read_text()
    assert stat.S_IMODE(real.stat().st_mode) == 0o606
    assert folder_of(real) == [real.name]


def test_folders_are_made_and_a_users_file_is_the_users_alone(shell: Shell, project: Path) -> None:
    for scope, expected in (("user", 0o600), ("project", 0o644)):
        file = project / scope / "deep" / "mcp.json"
        old = os.umask(0o022)
        try:
            shell(*on(file, "--scope", scope))
        finally:
            os.umask(old)
        assert stat.S_IMODE(file.stat().st_mode) == expected


def test_a_change_by_another_program_in_between_is_not_lost(file: Path) -> None:
    file.write_text("{}")
    config = configfile.read(file)
    file.write_text('{"theirs": 1}')
    with pytest.raises(PathRefused, match="changed by another program"):
        configfile.replace(config, b"ours", 0o600)
    assert file.read_text() == '{"theirs": 1}'


# What is refused.

JSONC = '{\n  // mine\n  "mcpServers": {"a": {},},\n}\n'


def test_json_with_comments_is_refused_with_the_entry_to_paste(shell: Shell, project: Path, file: Path) -> None:
    file.write_text(JSONC)
    complaint = shell(*on(file, "--project", "p")).complaint
    assert complaint.startswith(f"{file} is not plain JSON (")
    begin, _, pasted = complaint.partition("by hand: ")
    assert "'mcpServers'" in begin
    entry = {"type": "stdio", "command": PROGRAM, "args": ["serve", "--project", "p"], "env": {}}
    assert json.loads(f"{{{pasted}}}") == {"swarmtally": entry}
    assert (file.read_text(), folder_of(file)) == (JSONC, [file.name])
    assert "by hand" in shell(*on(file, "--uninstall")).complaint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b'{"a": "\xff"}', "is not UTF-8 (byte 7)"),
        (b"[]", "it is JSON, but no object"),
        (b'"mcpServers"', "it is JSON, but no object"),
        (b'{"mcpServers": []}', "its 'mcpServers' is no object"),
        (b'{"mcpServers": null}', "its 'mcpServers' is no object"),
        (b'{"mcpServers": {}, "mcpServers": {}}', "it has 'mcpServers' 2 times"),
        (b'{"mcpServers": {"swarmtally": {}, "swarmtally": {}}}', "it has 'swarmtally' 2 times"),
        (b"{} {}", "more follows its end, line 1"),
        (b'{"a": NaN}', "NaN is no JSON value"),
        (b'{"a": 1', "line 1 column 8"),
        (b'{"a":' * 100_000, "is not plain JSON"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_left_as_it_is(
    shell: Shell, project: Path, file: Path, content: bytes, said: str
) -> None:
    file.write_bytes(content)
    complaint = shell(*on(file)).complaint
    assert str(file) in complaint
    assert said in complaint
    assert (file.read_bytes(), folder_of(file)) == (content, [file.name])


def test_a_file_that_cannot_be_written_is_left_as_it_is(shell: Shell, project: Path, file: Path) -> None:
    file.write_text("{}")
    file.chmod(0o444)
    assert "it is read-only" in shell(*on(file)).complaint
    file.chmod(0o644)
    file.with_name("client.json.swarmtally.bak").mkdir()
    assert "client.json.swarmtally.bak cannot be written (" in shell(*on(file)).complaint
    assert "cannot be read (Not a directory)" in shell(*on(file / "below.json")).complaint
    assert file.read_text() == "{}"
    assert folder_of(file) == ["client.json", "client.json.swarmtally.bak"]


def test_what_is_no_file_is_refused(shell: Shell, project: Path, file: Path) -> None:
    assert "is not a file" in shell(*on(project)).complaint
    os.mkfifo(file)
    assert "is not a file" in shell(*on(file)).complaint
    file.unlink()
    file.symlink_to(file)
    assert "cannot be read" in shell(*on(file)).complaint
    file.unlink()
    with file.open("wb") as sparse:
        sparse.truncate(configfile.SIZE_LIMIT_BYTES + 1)
    assert "at most 67108864 are read" in shell(*on(file)).complaint
    assert "--file is empty" in shell("install", "--client", "cursor", "--file", "").complaint
    assert "a path is empty" in shell(*on(project / "new.json", "--allow", "")).complaint


def test_a_model_or_url_that_the_server_would_refuse_is_refused_now(shell: Shell, project: Path, file: Path) -> None:
    assert "did you mean openai:x?" in shell(*on(file, "--model", "opnai:x")).complaint
    complaint = shell(*on(file, "--model", "openai:x", "--base-url", "http://me:hunter2@host/v1")).complaint
    assert "must hold no user, password" in complaint
    assert "hunter2" not in complaint
    assert not file.exists()


# No secret gets out.


def test_keys_are_named_and_never_written(
    shell: Shell, project: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GOOGLE_API_KEY", "SWARMTALLY_API_KEY"):
        monkeypatch.setenv(name, "very-secret")
    for model, variable in (
        ("anthropic:claude-haiku-4-5", "ANTHROPIC_API_KEY: "),
        ("google:gemini-3.5-flash-lite", "GOOGLE_API_KEY or GEMINI_API_KEY: "),
        ("mistral:small", "the API key's variable of mistral: "),
    ):
        result = shell(*on(file, "--model", model))
        assert result.document["set_in_env"].startswith(variable)
        assert "secret" not in result.out + file.read_text()
    served = shell(*on(file, "--model", "openai:m", "--base-url", "http://127.0.0.1:1/v1")).document
    assert served["set_in_env"].startswith("SWARMTALLY_API_KEY: give it, where that server needs a key,")
    assert shell(*on(file, "--model", "local")).document["set_in_env"] is None
    assert shell(*on(file)).document["set_in_env"] is None


def test_a_dry_run_shows_no_key_of_our_entry_either(shell: Shell, project: Path, file: Path) -> None:
    for indent in (None, 2):
        entry = {"command": PROGRAM, "args": ["serve"], "env": {"OPENAI_API_KEY": 'very-"secret'}}
        file.write_text(json.dumps({"mcpServers": {"swarmtally": entry}}, indent=indent))
        diff = shell(*on(file, "--uninstall", "--dry-run")).document["diff"]
        assert '"OPENAI_API_KEY": "…"' in diff
        assert "secret" not in diff


def test_the_documents_commands_run(shell: Shell, project: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "install.md"
    block = re.search(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    assert block is not None
    changed = []
    for line in block[1].splitlines():
        program, *arguments = shlex.split(line)
        assert program == "swarmtally"
        document = shell(*arguments).document
        changed.append((document["dry_run"], document["changed"]))
    assert changed == [(True, True), (False, True), (False, True)]
    assert json.loads((project / ".mcp.json").read_text()) == {"mcpServers": {}}


def test_it_starts_without_the_sdk(project: Path, file: Path) -> None:
    program = (
        "import sys; from swarmtally.cli.main import run; status = run(sys.argv[1:]); "
        "print(*sys.modules, sep='\\n', file=sys.stderr); sys.exit(status)"
    )
    done = process(*on(file), program=program)
    assert done.status == 0
    assert not {"mcp", "rich", "structlog", "pydantic_ai"} & set(done.err.split())

"""What `swarmtally install` stands on: each client's file, the command put there, and the change of the text."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mcp import Client, StdioServerParameters
from swarmtally.cli import clients
from swarmtally.cli.clients import CLIENTS, Machine, Scope
from swarmtally.cli.entries import Servers
from swarmtally.domain.errors import InvalidInput
from tests.cli.conftest import Shell

PROGRAM = str(Path(sys.executable).with_name("swarmtally"))
LINUX = Machine("linux", Path("/home/me"), {}, Path("/repo"), "swarmtally", Path("/usr/bin/python3"))


@pytest.mark.parametrize(
    ("client", "scope", "expected"),
    [
        ("claude-desktop", Scope.USER, "/home/me/.config/Claude/claude_desktop_config.json"),
        ("claude-code", Scope.PROJECT, "/repo/.mcp.json"),
        ("claude-code", Scope.USER, "/home/me/.claude.json"),
        ("vscode", Scope.PROJECT, "/repo/.vscode/mcp.json"),
        ("vscode", Scope.USER, "/home/me/.config/Code/User/mcp.json"),
        ("cursor", Scope.USER, "/home/me/.cursor/mcp.json"),
        ("cursor", Scope.PROJECT, "/repo/.cursor/mcp.json"),
    ],
)
def test_each_client_has_its_file(client: str, scope: Scope, expected: str) -> None:
    assert clients.config_file(CLIENTS[client], scope, LINUX) == Path(expected)


@pytest.mark.parametrize(
    ("machine", "folder"),
    [
        (replace(LINUX, environ={"XDG_CONFIG_HOME": "/xdg"}), "/xdg"),
        (replace(LINUX, platform="darwin"), "/home/me/Library/Application Support"),
        (replace(LINUX, platform="win32", environ={"APPDATA": "/roaming"}), "/roaming"),
        (replace(LINUX, platform="win32"), "/home/me/AppData/Roaming"),
    ],
)
def test_each_system_has_its_folder(machine: Machine, folder: str) -> None:
    found = clients.config_file(CLIENTS["claude-desktop"], Scope.USER, machine)
    assert found == Path(folder, "Claude", "claude_desktop_config.json")


def test_the_command_is_the_program_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "venv" / "python"
    here = replace(LINUX, started_as="-c", python=python)
    assert clients.program(here) == [str(python), "-m", "swarmtally"]
    for folder, name in (("venv", "swarmtally.exe"), ("venv", "swarmtally"), ("bin", "swarmtally.exe")):
        script = tmp_path / folder / name
        script.parent.mkdir(exist_ok=True)
        script.touch()
        started = "bin/swarmtally" if folder == "bin" else "-c"
        monkeypatch.chdir(tmp_path)
        assert clients.program(replace(here, started_as=started)) == [str(script)]


async def test_what_was_installed_starts_and_works(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    (root / ".git").mkdir(parents=True)
    file = tmp_path / "desktop.json"
    more = ["--db", "../swarm.db", "--file", str(file)]
    done = await anyio.run_process(
        [PROGRAM, "install", "--client", "claude-desktop", *more], cwd=root, env={"HOME": str(tmp_path)}
    )
    entry = json.loads(file.read_text())["mcpServers"]["swarmtally"]
    assert json.loads(done.stdout)["command"] == entry["command"] == PROGRAM
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    server = StdioServerParameters(command=entry["command"], args=entry["args"], env=environ, cwd="/")
    with anyio.fail_after(60):
        async with Client(server) as client:
            stored = await client.call_tool("memory_usage", {"action": "store", "key": "k", "value": 1})
            assert stored.structured_content is not None
            assert stored.structured_content["project"] == str(root)
    assert (tmp_path / "swarm.db").exists()


@pytest.mark.parametrize("value", ["${HOME}", "bytes \udcff"])
def test_what_a_client_would_change_or_cannot_hold_is_refused(value: str) -> None:
    with pytest.raises(InvalidInput, match="--project holds"):
        clients.serve_arguments(clients.Options(project=value))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
SERVERS = st.dictionaries(st.text().filter(lambda name: name != "swarmtally"), VALUES, max_size=4)
WANTED = {"type": "stdio", "command": "/x/swarmtally", "args": ["serve", "--project", 'a "b" \\ é'], "env": {}}


@given(
    found=st.dictionaries(st.text(), VALUES, max_size=4),
    servers=st.none() | SERVERS,
    indent=st.sampled_from([None, 0, 1, 2, 4, "\t"]),
    escaped=st.booleans(),
    crlf=st.booleans(),
)
@example(found={}, servers=None, indent=2, escaped=False, crlf=False)
@example(found={}, servers={}, indent=None, escaped=False, crlf=False)
def test_any_configuration_survives_install_and_uninstall(
    found: dict[str, Any], servers: dict[str, Any] | None, indent: int | str | None, escaped: bool, crlf: bool
) -> None:
    before = {key: value for key, value in found.items() if key != "mcpServers"}
    if servers is not None:
        before["mcpServers"] = servers
    text = json.dumps(before, indent=indent, ensure_ascii=escaped)
    text = text.replace("\n", "\r\n") if crlf else text

    once = Servers.read(text, "mcpServers").with_entry("swarmtally", WANTED)
    assert json.loads(once) == before | {"mcpServers": (servers or {}) | {"swarmtally": WANTED}}
    assert list(json.loads(once)) == list(before | {"mcpServers": None})
    assert Servers.read(once, "mcpServers").with_entry("swarmtally", WANTED) == once

    after = Servers.read(once, "mcpServers").without_entry("swarmtally")
    assert json.loads(after) == before | {"mcpServers": servers or {}}
    if servers:
        assert after == text


@given(first=SERVERS, last=SERVERS, indent=st.sampled_from([None, 2]))
def test_our_entry_is_taken_out_from_wherever_it_stands(
    first: dict[str, Any], last: dict[str, Any], indent: int | None
) -> None:
    servers = {**first, "swarmtally": WANTED, **{key: value for key, value in last.items() if key not in first}}
    text = json.dumps({"servers": servers, "inputs": []}, indent=indent)
    after = Servers.read(text, "servers").without_entry("swarmtally")
    del servers["swarmtally"]
    assert json.loads(after) == {"servers": servers, "inputs": []}
    assert list(json.loads(after)["servers"]) == list(servers)


def test_what_held_our_entry_from_the_start_is_not_backed_up(shell: Shell, place: Path) -> None:
    on = ("install", "--client", "claude-code", "--file", str(place / "client.json"))
    assert shell(*on).document["changed"]
    assert shell(*on, "--uninstall").document["backup"] is None
    assert [path.name for path in place.glob("client.json*")] == ["client.json"]

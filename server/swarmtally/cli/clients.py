"""MCP clients: where each keeps its servers, in which shape, and how it starts this swarmtally."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from swarmtally.cli.options import Options, whole_number
from swarmtally.core.project import git_root
from swarmtally.domain.errors import InvalidInput

PROGRAM = "swarmtally"


class Scope(StrEnum):
    """For whom an entry is: the user in all projects, or whoever works in one project."""

    USER = "user"
    PROJECT = "project"


@dataclass(frozen=True, slots=True)
class Client:
    """What sets one client apart from the others."""

    name: str
    title: str
    key: str
    """The member of its file that holds the servers."""
    scopes: tuple[Scope, ...]
    """Those it knows, its default first."""
    typed: bool
    """Whether an entry says that it is of type stdio."""
    env: bool
    """Whether an entry of its own making has an `env`, be it empty."""
    in_project: bool
    """Whether it starts servers in the folder of the project."""
    next_step: str


CLIENTS = {
    client.name: client
    for client in (
        Client(
            "claude-desktop",
            "Claude Desktop",
            "mcpServers",
            (Scope.USER,),
            typed=False,
            env=False,
            in_project=False,
            next_step="restart Claude Desktop: quit it, closing its window is not enough, and start it again",
        ),
        Client(
            "claude-code",
            "Claude Code",
            "mcpServers",
            (Scope.PROJECT, Scope.USER),
            typed=True,
            env=True,
            in_project=True,
            next_step="start claude anew; it asks before it uses a project's servers, and /mcp lists them",
        ),
        Client(
            "vscode",
            "VS Code",
            "servers",
            (Scope.PROJECT, Scope.USER),
            typed=True,
            env=False,
            in_project=True,
            next_step="in VS Code run the command `MCP: List Servers`, choose the server and start it",
        ),
        Client(
            "cursor",
            "Cursor",
            "mcpServers",
            (Scope.USER, Scope.PROJECT),
            typed=False,
            env=False,
            in_project=False,
            next_step="restart Cursor; its settings list the server under MCP",
        ),
    )
}
"""Formats and places as their makers document them (2026)."""

_PROJECT_FILES = {"claude-code": ".mcp.json", "vscode": ".vscode/mcp.json", "cursor": ".cursor/mcp.json"}
_HOME_FILES = {"claude-code": ".claude.json", "cursor": ".cursor/mcp.json"}
_APPLICATION_FILES = {"claude-desktop": "Claude/claude_desktop_config.json", "vscode": "Code/User/mcp.json"}


@dataclass(frozen=True, slots=True)
class Machine:
    """What of this machine and process decides files and commands."""

    platform: str
    """As `sys.platform`."""
    home: Path
    environ: Mapping[str, str]
    root: Path | None
    """The git root of the working directory."""
    started_as: str
    """How this process was started, as `sys.argv[0]`."""
    python: Path

    @classmethod
    def here(cls) -> Self:
        """This one. Reads the file system."""
        root = git_root(Path.cwd())
        return cls(sys.platform, Path.home(), os.environ, root, sys.argv[0], Path(sys.executable))


def config_file(client: Client, scope: Scope, machine: Machine) -> Path:
    """The file `client` reads its servers from.

    Raises:
        InvalidInput: it has none for that scope, or there is no project here.
    """
    if scope not in client.scopes:
        raise InvalidInput(f"{client.title} has no configuration of a {scope}; leave --scope out")
    if scope is Scope.PROJECT:
        if machine.root is None:
            other = " give --scope user," if Scope.USER in client.scopes else ""
            raise InvalidInput(f"no git root here; go into your project,{other} or name the file with --file")
        return machine.root / _PROJECT_FILES[client.name]
    if client.name in _HOME_FILES:
        return machine.home / _HOME_FILES[client.name]
    return _applications(machine) / _APPLICATION_FILES[client.name]


def _applications(machine: Machine) -> Path:
    """Where desktop programs keep the user's configuration."""
    if machine.platform == "darwin":
        return machine.home / "Library" / "Application Support"
    if machine.platform == "win32":
        return Path(machine.environ.get("APPDATA") or machine.home / "AppData" / "Roaming")
    return Path(machine.environ.get("XDG_CONFIG_HOME") or machine.home / ".config")


def program(machine: Machine) -> list[str]:
    """The command that starts this very swarmtally, whatever the working directory and PATH.

    Links are not followed: an upgrade moves what they point to. Reads the file system.
    """
    started = Path(os.path.abspath(machine.started_as))  # noqa: PTH100 - the path as named, its links kept
    candidates = [started, started.with_name(f"{started.name}.exe")] if started.stem == PROGRAM else []
    candidates += [machine.python.with_name(name) for name in (PROGRAM, f"{PROGRAM}.exe")]
    for candidate in candidates:
        if candidate.is_file():
            return [str(candidate)]
    return [str(machine.python), "-m", PROGRAM]


def pinned(client: Client, scope: Scope, given: Options, root: Path | None) -> Options:
    """`given`, with the git root as project where the client's own working directory would not lead there.

    Its files may then be written too. A user's entry of an editor is for all projects and is not pinned to one.
    """
    for_all_projects = scope is Scope.USER and Scope.PROJECT in client.scopes
    if client.in_project or for_all_projects or given.project or root is None:
        return given
    return replace(given, project=str(root), allow=tuple(dict.fromkeys((*given.allow, str(root)))))


def with_environment(given: Options, environ: Mapping[str, str]) -> Options:
    """`given`, completed from the environment twins: the client starts the server without this shell's environment.

    Raises:
        InvalidInput: one holds nonsense.
    """
    found = {field.name: environ.get(f"SWARMTALLY_{field.name.upper()}") for field in fields(Options)}
    texts = {name: text for name, text in found.items() if text and getattr(given, name) in (None, ())}
    values: dict[str, Any] = dict(texts)
    if "allow" in texts:
        values["allow"] = tuple(part for part in texts["allow"].split(os.pathsep) if part)
    for name in ("max_output_tokens", "max_parallel"):
        if name in texts:
            values[name] = whole_number(texts[name], f"SWARMTALLY_{name.upper()}")
    completed = replace(given, **values)
    completed.level("info")
    return completed


def serve_arguments(given: Options) -> list[str]:
    """`serve` and the options that were given; paths absolute, because the client starts it elsewhere.

    Raises:
        InvalidInput: one holds what a client's file cannot hold as it is.
    """
    pairs = [
        ("--model", given.model),
        ("--base-url", given.base_url),
        ("--max-output-tokens", None if given.max_output_tokens is None else str(given.max_output_tokens)),
        ("--max-parallel", None if given.max_parallel is None else str(given.max_parallel)),
        ("--log-level", given.log_level),
        ("--db", _absolute(given.db)),
        ("--project", given.project),
        *(("--allow", _absolute(folder)) for folder in given.allow),
    ]
    for option, value in pairs:
        if value is not None and "${" in value:
            raise InvalidInput(f"{option} holds ${{, which MCP clients replace by a variable; use another path or name")
        if value is not None and not _is_text(value):
            raise InvalidInput(f"{option} holds bytes that are not UTF-8; use another path or name")
    return ["serve", *(part for option, value in pairs if value is not None for part in (option, value))]


def _absolute(path: str | None) -> str | None:
    if path is not None and not path.strip():
        raise InvalidInput("a path is empty; give one, or leave the option out")
    return None if path is None else os.path.abspath(path)  # noqa: PTH100 - without following links


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def entry(client: Client, command: list[str]) -> dict[str, Any]:
    """The member that has `client` start `command`."""
    made: dict[str, Any] = {"type": "stdio"} if client.typed else {}
    made |= {"command": command[0], "args": command[1:]}
    return made | {"env": {}} if client.env else made


def is_ours(found: object) -> bool:
    """Whether an entry starts a swarmtally's server, this one or another."""
    if not isinstance(found, dict) or not isinstance(found.get("command"), str):
        return False
    args = found.get("args")
    words = [word for word in args if isinstance(word, str)] if isinstance(args, list) else []
    return "serve" in words and any(_names_us(word) for word in (found["command"], *words[: words.index("serve")]))


def _names_us(word: str) -> bool:
    return re.match(rf"{PROGRAM}\b", re.split(r"[/\\]", word)[-1]) is not None

"""`swarmtally install`: have an MCP client start this swarmtally, by an entry in the client's configuration file."""

import difflib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from swarmtally.cli import clients, configfile, options, output
from swarmtally.cli.clients import CLIENTS, Client, Machine, Scope
from swarmtally.cli.configfile import ConfigFile
from swarmtally.cli.entries import Servers, Unfit
from swarmtally.cli.jsontext import NotPlainJson
from swarmtally.cli.offering import offer_options, written
from swarmtally.cli.options import Leaf, Options
from swarmtally.domain.errors import InvalidInput, PathRefused
from swarmtally_tools.definition import View
from swarmtally_tools.toolsets import offered

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECRET = re.compile(r'("[^"]*(?:KEY|TOKEN|SECRET|PASSWORD|AUTH)[^"]*"\s*:\s*)"(?:[^"\\]|\\.)*"', re.IGNORECASE)


class InstallView(View):
    client: str
    name: str
    """The entry's name in the client."""
    file: str
    changed: bool
    """Whether the file's content was changed; with dry_run, whether it would be."""
    dry_run: bool
    backup: str | None
    """Where this call kept the file's previous content. A backup holds the newest content without a swarmtally: content
    with an entry of ours is not kept."""
    command: str | None
    """What the client starts; null after an uninstall."""
    args: list[str]
    project: str | None
    """The project the client's work will belong to; null after an uninstall."""
    set_in_env: str | None
    """The variable with the model's API key, which the client must give the server; keys are never written here."""
    diff: str | None
    """With dry_run: the lines that would change, values that look secret left out."""
    next_step: str


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What was asked for, in the terms of the client's file."""

    client: Client
    scope: Scope
    name: str
    given: Options
    """With the project the entry is pinned to."""
    entry: dict[str, Any] | None
    """None: none is wanted."""


@click.command("install", cls=Leaf)
@click.option("--client", type=click.Choice(list(CLIENTS)), help="Whose configuration is changed.")
@click.option(
    "--scope", type=click.Choice([scope.value for scope in Scope]), help="For you everywhere, or for this project."
)
@click.option("--name", default=clients.PROGRAM, show_default=True, help="The entry's name in the client.")
@click.option("--file", "path", metavar="PATH", help="The file to change, instead of the client's usual one.")
@click.option("--dry-run", is_flag=True, help="Show what would change; write nothing.")
@click.option("--uninstall", is_flag=True, help="Take our entry out again.")
@offer_options
def command(
    client: str | None,
    scope: str | None,
    name: str,
    path: str | None,
    dry_run: bool,
    uninstall: bool,
    toolsets: tuple[str, ...],
    read_only: bool,
) -> None:
    """Have an MCP client start this swarmtally, with the --model, --project, --db, --allow, --toolsets … given here.

    The client's file keeps everything else; its previous content is kept as FILE.swarmtally.bak.
    """
    if client is None:
        raise InvalidInput(f"--client is missing; it takes {', '.join(CLIENTS)}")
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"--name is {name[:80]!r}; it takes up to 64 letters, digits, - and _")
    offer = offered(toolsets, read_only=read_only)
    machine, whose = Machine.here(), CLIENTS[client]
    where = Scope(scope) if scope else whose.scopes[0]
    file = _named(path) if path is not None else clients.config_file(whose, where, machine)
    given, entry = options.current(), None
    if not uninstall:
        given = clients.pinned(whose, where, clients.with_environment(given, machine.environ), machine.root)
        _check_model(given)
        entry = clients.entry(whose, [*clients.program(machine), *clients.serve_arguments(given), *written(offer)])
    output.show(_change(_Wanted(whose, where, name, given, entry), configfile.read(file), dry_run=dry_run))


def _named(path: str) -> Path:
    if not path.strip():
        raise InvalidInput("--file is empty; give the file's path, or leave the option out")
    return Path(os.path.abspath(path))  # noqa: PTH100 - links are followed later, and shown as named


def _check_model(given: Options) -> None:
    """Refuse now what the server would refuse at its first run. Whether a model is there is the server's affair.

    Raises:
        InvalidInput: the model or the base URL cannot be right, or the URL holds a password.
    """
    named = given.model or ""
    if given.base_url is None and named.partition(":")[0] in ("", "host", "local", "sampling"):
        return
    from swarmtally.backends.choice import choose
    from swarmtally.settings import data_dir

    choose("mcp", model=named, base_url=given.base_url, max_output_tokens=None, environ={}, data_dir=data_dir())


def _change(wanted: _Wanted, config: ConfigFile, *, dry_run: bool) -> InstallView:
    """Bring the file to what is wanted, unless it is that already or only asked about."""
    before = config.text
    try:
        servers = Servers.read(before, wanted.client.key)
        after = _after(servers, wanted)
    except (NotPlainJson, Unfit) as error:
        raise _refusal(wanted, config, error) from None
    changed = after != before
    backup = None
    if changed:
        configfile.check_writable(config)
        if not dry_run:
            backup = _write(config, after, servers, wanted.scope)
    return _view(wanted, config, servers, changed, dry_run, backup, _diff(config, before, after) if dry_run else None)


def _after(servers: Servers, wanted: _Wanted) -> str:
    if wanted.entry is None:
        return servers.without_entry(wanted.name)
    return servers.with_entry(wanted.name, wanted.entry)


def _refusal(wanted: _Wanted, config: ConfigFile, error: ValueError) -> PathRefused:
    fact = "is not plain JSON" if isinstance(error, NotPlainJson) else "is not as a client's file is"
    begin = f"{config.path} {fact} ({error}) and was left as it is"
    if wanted.entry is None:
        return PathRefused(f"{begin}; take the entry {wanted.name!r} out by hand")
    pasted = json.dumps({wanted.name: wanted.entry}, ensure_ascii=False)[1:-1]
    return PathRefused(f"{begin}; paste this into its {wanted.client.key!r} by hand: {pasted}")


def _write(config: ConfigFile, text: str, servers: Servers, scope: Scope) -> Path | None:
    """Replace the file's content; returns where the old one was kept, None where no backup was made."""
    backup = None
    # A backup is for going back to the time before us, which what already holds our entry is not of.
    if config.content is not None and not servers.has_ours:
        backup = configfile.back_up(config)
    # Users put API keys into their own file.
    configfile.replace(config, config.encoded(text), 0o600 if scope is Scope.USER else 0o666)
    return backup


def _diff(config: ConfigFile, before: str, after: str) -> str:
    """What changes as a unified diff. Without the lines around, which may hold other servers' keys."""
    old = [] if config.content is None else before.splitlines()
    lines = difflib.unified_diff(old, after.splitlines(), str(config.path), str(config.path), n=0, lineterm="")
    return _SECRET.sub(r'\1"…"', "\n".join(lines))


def _view(
    wanted: _Wanted,
    config: ConfigFile,
    servers: Servers,
    changed: bool,
    dry_run: bool,
    backup: Path | None,
    diff: str | None,
) -> InstallView:
    entry = wanted.entry
    return InstallView(
        client=wanted.client.name,
        name=wanted.name,
        file=str(config.path),
        changed=changed,
        dry_run=dry_run,
        backup=None if backup is None else str(backup),
        command=None if entry is None else entry["command"],
        args=[] if entry is None else entry["args"],
        project=None if entry is None else _project(wanted),
        set_in_env=None if entry is None else _key_variable(wanted, servers),
        diff=diff,
        next_step=_next_step(wanted, changed=changed, dry_run=dry_run),
    )


def _project(wanted: _Wanted) -> str:
    if wanted.given.project:
        return wanted.given.project
    if wanted.client.name == "claude-desktop":
        return "default; name another with --project, or run this inside a git root"
    return f"the git root {wanted.client.title} starts it in, else default"


def _key_variable(wanted: _Wanted, servers: Servers) -> str | None:
    model = wanted.given.model or ""
    provider, colon, _ = model.partition(":")
    if wanted.given.base_url:
        variables: tuple[str, ...] = ("SWARMTALLY_API_KEY",)
    elif not colon or provider == "local":
        return None
    else:
        from swarmtally.backends.model import KEY_VARIABLES

        variables = KEY_VARIABLES.get(provider, ())
    found = servers.entry(wanted.name)
    env = found.value.get("env") if found is not None else None
    if isinstance(env, dict) and set(variables) & set(env):
        return None
    what = " or ".join(variables) or f"the API key's variable of {provider}"
    needed = ", where that server needs a key," if wanted.given.base_url else ""
    return f'{what}: give it{needed} in "env" of the entry, or in the environment {wanted.client.title} starts with'


def _next_step(wanted: _Wanted, *, changed: bool, dry_run: bool) -> str:
    if dry_run:
        return "run it again without --dry-run" if changed else "nothing would change"
    if not changed:
        return "nothing to do: " + ("it is as asked already" if wanted.entry else "no such entry is there")
    return wanted.client.next_step if wanted.entry else f"restart {wanted.client.title}"

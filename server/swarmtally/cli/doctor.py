"""`swarmtally doctor`: what is there, what is missing, and what to do about it."""

import math
import platform
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import anyio
import click

from swarmtally.app import open_app
from swarmtally.backends.choice import choose
from swarmtally.backends.failures import install_remedy
from swarmtally.backends.gguf import PULL_REMEDY, list_models
from swarmtally.backends.local import LIBRARIES_REMEDY
from swarmtally.backends.model import API_KEY_VARIABLE, KEY_VARIABLES
from swarmtally.cli import options, output
from swarmtally.cli.options import Leaf
from swarmtally.core.project import git_root
from swarmtally.domain.errors import NoBackend, StoreError, SwarmError
from swarmtally.domain.health import Status
from swarmtally.insight.health import Component, Report
from swarmtally.insight.health_limits import Limits
from swarmtally.settings import Settings
from swarmtally.sparc.modes import ModeCatalog
from swarmtally.store import health
from swarmtally.store.connection import Connection
from swarmtally_tools.definition import View

OLDEST_SQLITE = (3, 38)
"""The first version whose JSON functions are always there."""

SKIPPED_SHOWN = 20
"""The most mode files that are named because they gave no mode."""

_PATIENT = Limits(check_s=math.inf, total_s=math.inf, whole_bytes=math.inf, integrity_s=math.inf)
"""The file is read to its end."""

_SDKS = {"anthropic": "anthropic", "openai": "openai", "google": "google.genai"}

State = Literal["ok", "warn", "fail"]

_STATES: Mapping[Status, State] = {Status.OK: "ok", Status.DEGRADED: "warn", Status.FAILED: "fail"}


class CheckView(View):
    check: str
    state: State
    detail: str
    remedy: str | None


class DoctorView(View):
    state: State
    """The worst of the checks'."""
    checks: list[CheckView]


@click.command("doctor", cls=Leaf)
def command() -> int:
    """Check this installation: versions, database, project, modes, models and keys. Exits with 1 when a check fails."""
    checks = list(_checks(options.current()))
    states = {check.state for check in checks}
    worst: State = "fail" if "fail" in states else "warn" if "warn" in states else "ok"
    output.show(DoctorView(state=worst, checks=checks))
    return int(worst == "fail")


def _checks(given: options.Options) -> Iterator[CheckView]:
    yield _python()
    try:
        settings = given.settings()
    except SwarmError as error:
        yield _condition("settings", "fail", error)
        return
    yield from _database(settings)
    yield _ok("project", f"{settings.project} (files are kept in {settings.project_root or 'no folder: no git root'})")
    yield from _modes()
    yield _embedded(settings)
    yield from _keys(settings)
    yield _backend("shell", settings)
    yield _backend("mcp", settings)


def _python() -> CheckView:
    return _ok("python", f"{platform.python_version()} at {sys.executable}")


def _database(settings: Settings) -> Iterator[CheckView]:
    """The database, and what only can be looked at when it opens; see `insight.health`."""
    try:
        yield anyio.run(_sqlite, settings)
        report = anyio.run(_look_into, settings)
    except StoreError as error:
        yield _condition("database", "fail", error)
        return
    for check in report.checks:
        found = check.finding
        name = "database" if check.name == "integrity" else f"{check.component}: {check.name}"
        yield _row(name, _STATES[found.status], found.detail, found.remedy)


async def _look_into(settings: Settings) -> Report:
    """Every check of health but the event loop's, which this short process has no work on."""
    async with open_app(settings) as app:
        return await app.analysis.health(_PATIENT).check(frozenset(Component) - {Component.LOOP})


async def _sqlite(settings: Settings) -> CheckView:
    connection = await Connection.open(settings.database, read_only=True)
    try:
        found = await health.sqlite_version(connection)
    finally:
        await connection.close()
    if tuple(int(part) for part in found.split(".")[:2]) < OLDEST_SQLITE:
        return _row("sqlite", "fail", found, "use a Python whose sqlite3 is 3.38 or newer")
    return _ok("sqlite", found)


def _modes() -> Iterator[CheckView]:
    catalog = ModeCatalog.load(git_root(Path.cwd()))
    sources = [mode.source for mode in catalog.modes.values()]
    counts = (f"{sources.count(source)} {source}" for source in ("built-in", "user", "project"))
    yield _ok("modes", ", ".join(counts))
    for path, reason in catalog.skipped[:SKIPPED_SHOWN]:
        yield _row("modes", "warn", f"{path} gave no mode: {reason}", "mend or remove the file")


def _embedded(settings: Settings) -> CheckView:
    models = list_models(settings.data_dir)
    runs = _importable("xllamacpp")
    names = ", ".join(f"local:{model.name}" for model in models) or "none pulled"
    detail = f"{names}; xllamacpp is {'there' if runs else 'not installed'}"
    if not runs:
        return _row("embedded model", "warn", detail, LIBRARIES_REMEDY)
    if not models:
        return _row("embedded model", "warn", detail, PULL_REMEDY)
    return _ok("embedded model", detail)


def _keys(settings: Settings) -> Iterator[CheckView]:
    """Which keys are set, by the names of their variables; their values are never shown."""
    for provider, variables in KEY_VARIABLES.items():
        there = [variable for variable in variables if settings.environ.get(variable)]
        if not there:
            yield _ok(provider, f"{' or '.join(variables)} is not set")
        elif _importable(_SDKS[provider]):
            yield _ok(provider, f"{there[0]} is set, its SDK is there")
        else:
            remedy = install_remedy(provider)
            yield _row(provider, "warn", f"{there[0]} is set, its SDK is not installed", remedy)
    if settings.base_url:
        is_set = "set" if settings.environ.get(API_KEY_VARIABLE) else "not set"
        yield _ok("base URL", f"{settings.base_url}; {API_KEY_VARIABLE} is {is_set}")


def _backend(front: Literal["shell", "mcp"], settings: Settings) -> CheckView:
    name = "backend in the shell" if front == "shell" else "backend over MCP"
    try:
        choice = choose(
            front,
            model=settings.model,
            base_url=settings.base_url,
            max_output_tokens=settings.max_output_tokens,
            max_parallel=settings.max_parallel,
            environ=settings.environ,
            data_dir=settings.data_dir,
        )
    except NoBackend as error:
        # Memory and swarms work without one.
        return _condition(name, "warn", error)
    except SwarmError as error:
        return _condition(name, "fail", error)
    return _ok(name, f"{choice.model}: {choice.reason}")


def _importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        # The package around a dotted name is missing.
        return False


def _ok(check: str, detail: str) -> CheckView:
    return _row(check, "ok", detail, None)


def _row(check: str, state: State, detail: str, remedy: str | None) -> CheckView:
    return CheckView(check=check, state=state, detail=detail, remedy=remedy)


def _condition(check: str, state: State, error: SwarmError) -> CheckView:
    """A row from an error, whose text is the fact and, after a semicolon, the remedy."""
    fact, _, remedy = str(error).partition("; ")
    return _row(check, state, fact, remedy or None)

"""`swarmtally sparc …`: the SPARC tools with their arguments by place, and the list of modes."""

from pathlib import Path

import click

from swarmtally.cli import output
from swarmtally.cli.group import LazyGroup, Loader
from swarmtally.cli.options import Leaf
from swarmtally.cli.tool_command import tool_command
from swarmtally_tools import registry
from swarmtally_tools.definition import View

_POSITIONAL = {
    "run": ("mode", "task"),
    "batch": ("modes", "tasks"),
    "concurrent": ("mode", "tasks"),
    "pipeline": ("task",),
}


class ModeLine(View):
    name: str
    role: str
    """The kind of agent that does it."""
    source: str
    """built-in, user or project."""
    description: str


class SkippedLine(View):
    path: str
    reason: str


class ModesView(View):
    modes: list[ModeLine]
    skipped: list[SkippedLine]
    """Files that gave no mode, and why."""


@click.command("modes", cls=Leaf)
def _modes() -> None:
    """List the modes: built in, your own, the project's; and the files that gave none."""
    from swarmtally.core.project import git_root
    from swarmtally.sparc.modes import ModeCatalog

    catalog = ModeCatalog.load(git_root(Path.cwd()))
    output.show(
        ModesView(
            modes=[
                ModeLine(name=mode.name, role=mode.role, source=mode.source, description=mode.description)
                for _, mode in sorted(catalog.modes.items())
            ],
            skipped=[SkippedLine(path=str(path), reason=reason) for path, reason in catalog.skipped],
        )
    )


def _loader(kind: str) -> Loader:
    # wait_s is not offered: the shell's process executes the run, so it waits to the end.
    return lambda: tool_command(
        registry.load(f"sparc_{kind}"), name=kind, positional=_POSITIONAL[kind], without=("wait_s",)
    )


command = LazyGroup(
    name="sparc",
    help="Run tasks in SPARC modes, and see the result. Exits with 1 when the run failed.",
    loaders={"modes": lambda: _modes, **{kind: _loader(kind) for kind in _POSITIONAL}},
)

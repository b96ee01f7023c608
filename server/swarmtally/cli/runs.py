"""`swarmtally runs …`: list the project's runs, show one, continue an interrupted one."""

import click

from swarmtally.app import App
from swarmtally.cli import output, session
from swarmtally.cli.group import LazyGroup
from swarmtally.cli.options import Leaf
from swarmtally_tools.definition import View
from swarmtally_tools.runs import RunLine, RunView, run_line, run_view, tell

LISTED = 100
"""The most runs that are listed."""


class RunsView(View):
    runs: list[RunLine]
    """The project's newest runs, at most 100."""
    project: str
    database: str


@click.command("list", cls=Leaf)
def _list() -> None:
    """List the project's runs, newest first."""

    async def listed(app: App) -> RunsView:
        runs = await app.runs()
        return RunsView(
            runs=[run_line(run, status, counts) for run, status, counts in await runs.newest(LISTED)],
            project=app.settings.project,
            database=str(app.settings.database),
        )

    output.show(session.execute(listed))


@click.command("show", cls=Leaf)
@click.argument("run_id", metavar="ID")
def _show(run_id: str) -> None:
    """Show a run: its status, timeline, tokens and artefacts."""

    async def shown(app: App) -> RunView:
        return run_view(app, await (await app.runs()).show(run_id))

    output.show(session.execute(shown))


@click.command("resume", cls=Leaf)
@click.argument("run_id", metavar="ID")
def _resume(run_id: str) -> int:
    """Continue an interrupted run to its end, with the backend it began with. Exits with 1 when it failed."""

    async def resumed(app: App) -> RunView:
        runs = await app.runs()
        await runs.resume(run_id)
        await runs.wait(run_id, None, tell)
        return run_view(app, await runs.show(run_id))

    view = session.execute(resumed)
    output.show(view)
    return int(view.status != "succeeded")


command = LazyGroup(
    name="runs",
    help="The project's runs.",
    loaders={"list": lambda: _list, "show": lambda: _show, "resume": lambda: _resume},
)

"""`swarmtally swarms …`: list the project's swarms, choose the current one, delete one."""

import click

from swarmtally.app import App
from swarmtally.cli import output, session
from swarmtally.cli.group import LazyGroup
from swarmtally.cli.options import Leaf
from swarmtally_tools.definition import View
from swarmtally_tools.run_views import SwarmLine, swarm_line


class SwarmsView(View):
    swarms: list[SwarmLine]
    """The project's newest swarms, at most 100."""
    project: str
    database: str


class SwarmChangedView(View):
    swarm_id: str
    name: str
    change: str
    """What was done: made current or deleted."""
    project: str
    database: str


@click.command("list", cls=Leaf)
def _list() -> None:
    """List the project's swarms, newest first."""

    async def listed(app: App) -> SwarmsView:
        return SwarmsView(
            swarms=[swarm_line(state) for state in await app.swarms.states()],
            project=app.settings.project,
            database=str(app.settings.database),
        )

    output.show(session.execute(listed))


@click.command("use", cls=Leaf)
@click.argument("swarm_id", metavar="ID")
def _use(swarm_id: str) -> None:
    """Make a swarm the project's current one: what names none means it."""

    async def used(app: App) -> SwarmChangedView:
        swarm = await app.swarms.use(swarm_id)
        return _changed(app, swarm.swarm_id, swarm.name, "made current")

    output.show(session.execute(used))


@click.command("delete", cls=Leaf)
@click.argument("swarm_id", metavar="ID")
def _delete(swarm_id: str) -> None:
    """Delete a swarm and its agents; its runs, figures and artefacts stay."""

    async def deleted(app: App) -> SwarmChangedView:
        swarm = await app.swarms.delete(swarm_id)
        return _changed(app, swarm.swarm_id, swarm.name, "deleted")

    output.show(session.execute(deleted))


def _changed(app: App, swarm_id: str, name: str, change: str) -> SwarmChangedView:
    return SwarmChangedView(
        swarm_id=swarm_id,
        name=name,
        change=change,
        project=app.settings.project,
        database=str(app.settings.database),
    )


command = LazyGroup(
    name="swarms",
    help="The project's swarms.",
    loaders={"list": lambda: _list, "use": lambda: _use, "delete": lambda: _delete},
)

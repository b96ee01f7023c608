"""`swarmtally runs …`: list the project's runs, show one, steer one."""

import click

from swarmtally.app import App
from swarmtally.cli import output, session
from swarmtally.cli.group import LazyGroup
from swarmtally.cli.options import Leaf
from swarmtally_tools.definition import View
from swarmtally_tools.run_views import RunLine, RunView, run_line, run_view
from swarmtally_tools.runs import RunAction, run_control, tell

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


def _going_on(name: str, text: str) -> Leaf:
    """The command that goes on with a run and sees it to its end."""

    @click.command(name, cls=Leaf, help=f"{text} Exits with 1 when it did not succeed.")
    @click.argument("run_id", metavar="ID")
    def go_on(run_id: str) -> int:
        async def gone_on(app: App) -> RunView:
            runs = await app.runs()
            await (runs.resume if name == "resume" else runs.retry)(run_id)
            await runs.wait(run_id, None, tell)
            return run_view(app, await runs.show(run_id))

        view = session.execute(gone_on)
        output.show(view)
        return session.status(view)

    assert isinstance(go_on, Leaf)
    return go_on


def _control(action: RunAction) -> Leaf:
    """`runs cancel ID` and `runs pause ID`."""

    @click.command(action.value, cls=Leaf, help=_CONTROL[action])
    @click.argument("run_id", metavar="ID")
    def control(run_id: str) -> None:
        output.show(session.execute(lambda app: run_control.call(app, {"run_id": run_id, "action": action})))

    assert isinstance(control, Leaf)
    return control


_CONTROL = {
    RunAction.CANCEL: "Cancel what has not ended of a run, whichever process executes it.",
    RunAction.PAUSE: "Let a run's calls under way end and start no more, whichever process executes it.",
}


command = LazyGroup(
    name="runs",
    help="The project's runs.",
    loaders={
        "list": lambda: _list,
        "show": lambda: _show,
        "resume": lambda: _going_on("resume", "Continue a paused or interrupted run to its end."),
        "retry": lambda: _going_on("retry", "Do a run's failed and cancelled tasks again."),
        "pause": lambda: _control(RunAction.PAUSE),
        "cancel": lambda: _control(RunAction.CANCEL),
    },
)

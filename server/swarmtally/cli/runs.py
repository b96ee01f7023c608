"""`swarmtally runs …`: list the project's runs, show one, steer one."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from swarmtally.app import App
from swarmtally.cli import output, session
from swarmtally.cli.group import LazyGroup
from swarmtally.cli.options import Leaf
from swarmtally.domain.budget import Budget
from swarmtally_tools.definition import View
from swarmtally_tools.run_views import RunLine, RunView, run_line, run_view
from swarmtally_tools.runs import RunAction, run_control, tell

if TYPE_CHECKING:
    from swarmtally.core.runs import Runs

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
@click.option("--budget-tokens", type=int, metavar="NUMBER", help="Its budget from now on: higher than it was.")
@click.option("--budget-usd", type=float, metavar="NUMBER", help="The same in dollars.")
def _resume(run_id: str, budget_tokens: int | None, budget_usd: float | None) -> int:
    """Continue a paused or interrupted run to its end. Exits with 1 when it did not succeed."""
    budget = Budget.asked(budget_tokens, budget_usd)
    return _gone_on(run_id, lambda runs: runs.resume(run_id, budget))


@click.command("retry", cls=Leaf)
@click.argument("run_id", metavar="ID")
def _retry(run_id: str) -> int:
    """Do a run's failed and cancelled tasks again. Exits with 1 when it did not succeed."""
    return _gone_on(run_id, lambda runs: runs.retry(run_id))


def _gone_on(run_id: str, how: Callable[["Runs"], Awaitable[object]]) -> int:
    """Go on with a run and see it to its end."""

    async def gone_on(app: App) -> RunView:
        runs = await app.runs()
        await how(runs)
        await runs.wait(run_id, None, tell)
        return run_view(app, await runs.show(run_id))

    view = session.execute(gone_on)
    output.show(view)
    return session.status(view)


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
        "resume": lambda: _resume,
        "retry": lambda: _retry,
        "pause": lambda: _control(RunAction.PAUSE),
        "cancel": lambda: _control(RunAction.CANCEL),
    },
)

"""`swarmtally calibrate`: makes calls one after another, so that reports know what one takes alone."""

import click

from swarmtally.app import App
from swarmtally.cli import output, session
from swarmtally.cli.options import Leaf
from swarmtally.core.progress import report
from swarmtally.core.run_states import Progress
from swarmtally_tools.definition import View

CALLS = 16


class CalibrationView(View):
    run_id: str
    """Its calls; see them with runs show."""
    status: str
    """How it ended."""
    model: str
    """What was called."""
    calls: int
    """How many."""
    lone_calls: int
    """Calls of this model that are known to have run alone, earlier ones too."""
    basis: str | None
    """What a call takes alone, in seconds; null while fewer than nine did."""
    next_step: str
    """What to do now."""


@click.command("calibrate", cls=Leaf)
@click.option(
    "--calls",
    type=click.IntRange(9, 500),
    default=CALLS,
    show_default=True,
    help="How many; a provider bills them.",
)
def command(calls: int) -> int:
    """Make calls one after another on the model in use, for the speed multiplier of performance_report.

    Run nothing else on that model meanwhile: a call counts only when it ran alone.
    """
    view = session.execute(lambda app: _calibrate(app, calls))
    output.show(view)
    return int(view.status != "succeeded" or view.basis is None)


async def _calibrate(app: App, calls: int) -> CalibrationView:
    started = await app.calibrate(calls)
    runs = await app.runs()
    progress = await runs.wait(started.run_id, None, _tell)
    alone, basis = await app.analysis.lone_calls(started.run_id)
    return CalibrationView(
        run_id=started.run_id,
        status=progress.status,
        model=progress.run.backend.model,
        calls=progress.ended,
        lone_calls=alone,
        basis=basis,
        next_step="see speed_multiplier: swarmtally mcp performance_report"
        if basis
        else "run it again while nothing else uses the model",
    )


async def _tell(progress: Progress) -> None:
    await report(progress.ended, progress.known, f"{progress.run.run_id}: {progress.ended} of {progress.known} calls")

"""Runs: what was asked for, how far it is, what came of it; and how to steer one."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from swarmtally.app import App
from swarmtally.core import lending, progress
from swarmtally.core.run_states import Progress
from swarmtally.domain.budget import Budget
from swarmtally.domain.clock import iso
from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.run import INTERRUPTED
from swarmtally_tools.definition import Tool, View, tool
from swarmtally_tools.run_views import (
    PARTS,
    Part,
    RunLine,
    RunView,
    SwarmLine,
    TaskCounts,
    run_line,
    run_view,
    swarm_line,
    task_counts,
)

WAIT_LIMIT_S = 45.0
"""The longest an MCP call waits: clients cut calls off after about a minute."""


class RunStatusView(View):
    run: RunView | None
    """The run asked for; null when none was named."""
    runs: list[RunLine]
    """Without a run_id: the project's newest runs, at most 20."""
    swarms: list[SwarmLine]
    """Without a run_id: the project's newest swarms."""
    project: str
    """What they belong to."""
    database: str
    """The file that holds everything."""
    as_of: str
    """When this was read (UTC)."""


@tool(title="Show a run", read_only=True, idempotent=True)
async def run_status(
    app: App,
    run_id: Annotated[
        str | None, Field(description="The run; omitted: the project's newest runs and swarms", max_length=100)
    ] = None,
    wait_s: Annotated[
        float, Field(description="Wait up to this many seconds for the run to end", ge=0, le=WAIT_LIMIT_S)
    ] = 0,
    include: Annotated[
        list[Part] | None, Field(description="Parts of the run to return; omitted: all; []: none", max_length=3)
    ] = None,
) -> RunStatusView:
    """Progress, timeline, artefacts and token usage of a run; without run_id the newest runs and swarms."""
    runs = await app.runs()
    as_of = iso(app.clock.now_ns())
    if run_id is not None:
        lender = lending.lender()
        if wait_s and lender is not None and (await runs.get(run_id)).backend.lent:
            await lender.work(run_id, wait_s)
        elif wait_s:
            await runs.wait(run_id, wait_s, tell)
        view = run_view(app, await runs.show(run_id), PARTS if include is None else include)
        return RunStatusView(run=view, runs=[], swarms=[], project=view.project, database=view.database, as_of=as_of)
    return RunStatusView(
        run=None,
        runs=[run_line(run, status, counts) for run, status, counts in await runs.newest(20)],
        swarms=[swarm_line(state) for state in (await app.swarms.states())[:20]],
        project=app.settings.project,
        database=str(app.settings.database),
        as_of=as_of,
    )


async def tell(state: Progress) -> None:
    """Report a run's progress to whoever called: how many tasks ended, and what runs now."""
    await progress.report(state.ended, state.known, told(state))


def told(state: Progress) -> str:
    """How far a run is, in one line."""
    names = [task.key for task in state.running[:4]]
    more = f" and {len(state.running) - 4} more" if len(state.running) > 4 else ""
    # What ran when its process went is not running.
    doing = f"running {', '.join(names)}{more}" if names and state.status != INTERRUPTED else state.status
    return f"{state.run.run_id}: {state.ended} of {state.known} tasks, {doing}"


class RunAction(StrEnum):
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"


class RunControlView(View):
    run_id: str
    """The run."""
    action: str
    """What was asked for."""
    status: str
    """Its status now."""
    changed: int
    """Tasks cancelled or made ready again; 0 for pause and resume."""
    tasks: TaskCounts
    """How many are in each state now."""
    slots: str | None
    """After cancel: how long the calls that were stopped may keep their backend busy; null when none was under way."""
    next_step: str
    """What to do now."""
    as_of: str
    """When this was read (UTC)."""


@tool(title="Steer a run", destructive=True)
async def run_control(
    app: App,
    run_id: Annotated[str, Field(description="The run", min_length=1, max_length=100)],
    action: Annotated[RunAction, Field(description="What to do with it")],
    budget_tokens: Annotated[int | None, Field(description="resume: its budget from now on")] = None,
    budget_usd: Annotated[float | None, Field(description="The same in dollars")] = None,
) -> RunControlView:
    """Cancel, pause, resume or retry a run, whichever process executes it. cancel stops its calls and ends it; pause
    lets calls under way end and starts no more; resume continues a paused or interrupted run; retry does its failed
    and cancelled tasks again, never those that succeeded."""
    budget = Budget.asked(budget_tokens, budget_usd)
    if budget and action is not RunAction.RESUME:
        raise InvalidInput(f"a budget goes with action resume, not with {action}; leave it out")
    runs = await app.runs()
    slots, changed = None, 0
    match action:
        case RunAction.CANCEL:
            before = await runs.show(run_id)
            changed = await runs.cancel(run_id)
            slots = app.backing.after_cancel(before.run.backend) if task_counts(before.counts).running else None
        case RunAction.PAUSE:
            await runs.pause(run_id)
        case RunAction.RESUME:
            await runs.resume(run_id, budget)
        case RunAction.RETRY:
            changed = await runs.retry(run_id)
    view = run_view(app, await runs.show(run_id))
    return RunControlView(
        run_id=run_id,
        action=action,
        status=view.status,
        changed=changed,
        tasks=view.tasks,
        slots=slots,
        next_step=view.next_step,
        as_of=view.as_of,
    )


TOOLS: tuple[Tool, ...] = (run_status, run_control)

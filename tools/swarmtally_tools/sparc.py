"""SPARC: one mode on one task, many on many, or a whole pipeline, executed by the swarm."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from swarmtally.app import App
from swarmtally.core import lending, progress
from swarmtally.domain.run import RunKind
from swarmtally.domain.task import TASK_TEXT_LIMIT
from swarmtally.requests import SparcRequest
from swarmtally_tools.definition import Tool, tool
from swarmtally_tools.dry_run_views import DryRunView, dry_run_view
from swarmtally_tools.run_views import RunView, run_view
from swarmtally_tools.runs import WAIT_LIMIT_S, tell

FIRST_PACKETS = 3
"""The most packets that a host-driven run's start hands out."""

NO_SAMPLING = "This client takes no sampling requests, so the work comes as packets. "

ModeName = Annotated[str, Field(min_length=1, max_length=64)]
TaskText = Annotated[str, Field(min_length=1, max_length=TASK_TEXT_LIMIT)]

Mode = Annotated[str, Field(description="A mode, such as coder or architect", min_length=1, max_length=64)]
Task = Annotated[str, Field(description="What to do", min_length=1, max_length=TASK_TEXT_LIMIT)]
Tasks = Annotated[list[TaskText], Field(description="What to do, one text a task", min_length=1, max_length=1_000)]
Modes = Annotated[list[ModeName], Field(description="Modes, such as coder and tester", min_length=1, max_length=50)]
SwarmId = Annotated[str | None, Field(description="Omitted: the current one", max_length=100)]
Model = Annotated[str | None, Field(description="PROVIDER:NAME, local or host (you)", max_length=200)]
WaitS = Annotated[float, Field(description="Seconds to wait at most", ge=0, le=WAIT_LIMIT_S)]
Context = Annotated[list[str] | None, Field(description="Texts that all tasks see", max_length=100)]
OutDir = Annotated[str | None, Field(description="Folder for the deliverables", max_length=1_000)]
BudgetTokens = Annotated[int | None, Field(description="The most tokens to spend")]
BudgetUsd = Annotated[float | None, Field(description="The most dollars to spend")]
DryRun = Annotated[bool, Field(description="Only estimate")]


@tool(title="Run one task", open_world=True)
async def sparc_run(
    app: App,
    mode: Mode,
    task: Task,
    swarm_id: SwarmId = None,
    model: Model = None,
    wait_s: WaitS = 30,
    context: Context = None,
    out_dir: OutDir = None,
    budget_tokens: BudgetTokens = None,
    budget_usd: BudgetUsd = None,
    dry_run: DryRun = False,
) -> RunView | DryRunView:
    """Execute one task in one SPARC mode (coder, architect, tester, reviewer, …) and return its run: status, timeline,
    tokens, deliverable. Host-driven: with packets for you to do. Else, still running after wait_s? Poll with
    run_status. A budget pauses the run; dry_run only estimates."""
    request = SparcRequest(
        RunKind.RUN, (mode,), (task,), swarm_id, model, _texts(context), out_dir, budget_tokens, budget_usd
    )
    return await _execute(app, request, wait_s, dry_run)


@tool(title="Run many modes on many tasks", open_world=True)
async def sparc_batch(
    app: App,
    modes: Modes,
    tasks: Tasks,
    swarm_id: SwarmId = None,
    model: Model = None,
    wait_s: WaitS = 30,
    context: Context = None,
    out_dir: OutDir = None,
    budget_tokens: BudgetTokens = None,
    budget_usd: BudgetUsd = None,
    dry_run: DryRun = False,
) -> RunView | DryRunView:
    """Execute every mode on every task, all at once, and return the run. Host-driven: with packets for you to do.
    Still running? Poll with run_status."""
    request = SparcRequest(
        RunKind.BATCH, tuple(modes), tuple(tasks), swarm_id, model, _texts(context), out_dir, budget_tokens, budget_usd
    )
    return await _execute(app, request, wait_s, dry_run)


@tool(title="Run one mode on many tasks", open_world=True)
async def sparc_concurrent(
    app: App,
    mode: Mode,
    tasks: Tasks,
    swarm_id: SwarmId = None,
    model: Model = None,
    wait_s: WaitS = 30,
    context: Context = None,
    out_dir: OutDir = None,
    budget_tokens: BudgetTokens = None,
    budget_usd: BudgetUsd = None,
    dry_run: DryRun = False,
) -> RunView | DryRunView:
    """Execute one mode on every task, all at once, and return the run. Host-driven: with packets for you to do.
    Still running? Poll with run_status."""
    request = SparcRequest(
        RunKind.CONCURRENT, (mode,), tuple(tasks), swarm_id, model, _texts(context), out_dir, budget_tokens, budget_usd
    )
    return await _execute(app, request, wait_s, dry_run)


@tool(title="Run a whole pipeline", open_world=True)
async def sparc_pipeline(
    app: App,
    task: Task,
    swarm_id: SwarmId = None,
    model: Model = None,
    wait_s: WaitS = 30,
    context: Context = None,
    out_dir: OutDir = None,
    budget_tokens: BudgetTokens = None,
    budget_usd: BudgetUsd = None,
    dry_run: DryRun = False,
) -> RunView | DryRunView:
    """Execute specification, architecture, then code, tests, documents and review for each component in parallel, then
    completion; returns the run. Components come from the architecture, else from the task's comma list. Host-driven:
    with a packet for you to do. Still running? Poll with run_status."""
    request = SparcRequest(
        RunKind.PIPELINE, (), (task,), swarm_id, model, _texts(context), out_dir, budget_tokens, budget_usd
    )
    return await _execute(app, request, wait_s, dry_run)


async def _execute(app: App, request: SparcRequest, wait_s: float, dry_run: bool) -> RunView | DryRunView:
    if dry_run:
        return dry_run_view(await app.dry_run(request))
    started = await app.start(request)
    runs = await app.runs()
    notes = "There was no current swarm: `default` (star, 8 agents) was made. " if started.made_swarm else ""
    notes += started.note or ""
    # Before the first wait: whoever is interrupted from here on knows which run to resume.
    await progress.report(0, None, f"{started.run_id}: started in swarm {started.swarm.swarm_id}")
    lender, lent = lending.lender(), started.host_driven and (await runs.get(started.run_id)).backend.lent
    if lent and lender is not None:
        await lender.work(started.run_id, wait_s, notes)
        return run_view(app, await runs.show(started.run_id), notes=notes)
    if started.host_driven:
        notes += NO_SAMPLING if lent else ""
        claimed = await (await app.packets()).claim(FIRST_PACKETS, run_id=started.run_id)
        # What has not begun has no timeline worth a model's attention; what could not be told to anybody has.
        return run_view(
            app,
            await runs.show(started.run_id),
            () if claimed.packets else ("timeline",),
            notes=notes,
            packets=claimed.packets,
        )
    await runs.wait(started.run_id, app.patience(wait_s), tell)
    return run_view(app, await runs.show(started.run_id), notes=notes)


def _texts(context: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(context or ())


TOOLS: tuple[Tool, ...] = (sparc_run, sparc_batch, sparc_concurrent, sparc_pipeline)

"""Runs: what was asked for, how far it is, what came of it."""

import shlex
from typing import Annotated, Literal

from pydantic import Field

from swarmtally.app import App
from swarmtally.core import progress
from swarmtally.core.runs import LISTED, Counts, Progress, RunState, TaskState
from swarmtally.core.swarms import SwarmState
from swarmtally.domain.clock import NS_PER_S, iso
from swarmtally.domain.run import INTERRUPTED, Run
from swarmtally.domain.task import Artefact, TaskStatus
from swarmtally.domain.usage import UsageTotals
from swarmtally_tools.definition import Tool, View, tool

WAIT_LIMIT_S = 45.0
"""The longest an MCP call waits: clients cut calls off after about a minute."""

Part = Literal["timeline", "artefacts", "usage"]


class TaskCounts(View):
    total: int
    """Tasks known so far; a pipeline learns of more when its architecture is done."""
    queued: int
    """Blocked or ready."""
    running: int
    """With an agent now."""
    succeeded: int
    """Delivered."""
    failed: int
    """Failed for good."""
    cancelled: int
    """Could not run, because something they need failed."""


class TaskView(View):
    task_id: str
    """Its id."""
    key: str
    """Its name within the run, such as `code_2`."""
    phase: str
    """The stage it belongs to."""
    mode: str
    """How it is done."""
    role: str
    """The kind of agent it wants."""
    agent_id: str | None
    """Who has it, or had it last."""
    status: str
    """blocked, ready, running, succeeded, failed or cancelled."""
    attempts: int
    """Attempts counted so far; those lost with their process are not."""
    started_at: str | None
    """When its last attempt started (UTC)."""
    duration_s: float | None
    """How long its last attempt's call took; null until it ended."""
    raw_tokens: int | None
    """Input and output tokens its calls reported; null when none did."""
    error: str | None
    """Why it failed, was cancelled or is tried again."""


class ArtefactView(View):
    artefact_id: str
    """Its id."""
    phase: str
    """The stage that delivered it."""
    name: str
    """The key of the task that delivered it."""
    memory_key: str
    """Retrieve it with memory_usage under this key."""
    size_bytes: int
    """Its text in UTF-8."""
    sha256: str
    """Of its text in UTF-8."""
    path: str | None
    """Where it lies on disk; null when the run has no out_dir."""
    truncated: bool
    """The model was cut off at its output limit: the text is not whole."""


class UsageView(View):
    calls: int
    """Calls made, failed and lost ones too."""
    raw_tokens: int | None
    """Input (cached too) and output tokens, as reported. Null when no call reported any."""
    input_tokens: int | None
    """Cached ones too."""
    output_tokens: int | None
    """Reasoning too."""
    cache_read_tokens: int | None
    """Of the input, read from the provider's cache."""
    cache_write_tokens: int | None
    """Of the input, written to the provider's cache."""
    unknown_calls: int
    """Ended calls without figures; they are not in the sums."""
    open_calls: int
    """Calls under way; they are not in the sums."""
    reasons: dict[str, str]
    """Why a figure is null or incomplete, by its name."""


class BackendView(View):
    name: str
    """model or local."""
    model: str
    """The model that does the work."""
    base_url: str | None
    """The server it is on, when one was named."""
    reason: str
    """Why this one."""


class RunView(View):
    run_id: str
    """Its id."""
    kind: str
    """run, batch, concurrent or pipeline."""
    status: str
    """queued, running, interrupted, succeeded or failed."""
    reason: str | None
    """Why it failed, or what is incomplete."""
    task: str
    """What was asked for."""
    project: str
    """What it belongs to."""
    swarm_id: str
    """The swarm that does it."""
    backend: BackendView
    """What does the work."""
    tasks: TaskCounts
    """How many are in each state."""
    timeline: list[TaskView] | None
    """The first 100 tasks in order; null when not asked for."""
    artefacts: list[ArtefactView] | None
    """The first 100 deliverables; null when not asked for."""
    usage: UsageView | None
    """What its calls used; null when not asked for."""
    created_at: str
    """UTC."""
    started_at: str | None
    """When the first task was claimed (UTC)."""
    finished_at: str | None
    """When the last result was committed (UTC)."""
    duration_s: float | None
    """First claim to last commit; null until finished."""
    out_dir: str | None
    """Where deliverables are written; null for nowhere."""
    as_of: str
    """When this was read (UTC)."""
    database: str
    """The file that holds everything."""
    next_step: str
    """What to do now."""


class RunLine(View):
    run_id: str
    """Its id."""
    kind: str
    """run, batch, concurrent or pipeline."""
    status: str
    """queued, running, interrupted, succeeded or failed."""
    task: str
    """What was asked for, shortened."""
    tasks: TaskCounts
    """How many are in each state."""
    created_at: str
    """UTC."""


class SwarmLine(View):
    swarm_id: str
    """Its id."""
    name: str
    """For people."""
    topology: str
    """Who may speak to whom."""
    strategy: str
    """How tasks find agents."""
    agents: int
    """Agents in it now."""
    max_agents: int
    """The most it may hold."""
    current: bool
    """Whether the project uses it when none is named."""


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
        list[Part] | None, Field(description="Parts of the run to return; omitted: all", max_length=3)
    ] = None,
) -> RunStatusView:
    """Progress, timeline, artefacts and token usage of a run; without run_id the newest runs and swarms."""
    runs = await app.runs()
    as_of = iso(app.clock.now_ns())
    if run_id is not None:
        if wait_s:
            await runs.wait(run_id, wait_s, tell)
        view = run_view(app, await runs.show(run_id), include)
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
    names = [task.key for task in state.running[:4]]
    more = f" and {len(state.running) - 4} more" if len(state.running) > 4 else ""
    doing = f"running {', '.join(names)}{more}" if names else state.status
    await progress.report(
        state.ended, state.known, f"{state.run.run_id}: {state.ended} of {state.known} tasks, {doing}"
    )


def run_view(app: App, state: RunState, include: list[Part] | None = None, notes: str = "") -> RunView:
    """A run as tools return it; `notes` go before the next step."""
    run, parts = state.run, set(include or ("timeline", "artefacts", "usage"))
    return RunView(
        run_id=run.run_id,
        kind=run.kind,
        status=state.status,
        reason=run.reason,
        task=run.task,
        project=run.project,
        swarm_id=run.swarm_id,
        backend=BackendView(
            name=run.backend.name,
            model=run.backend.model,
            base_url=run.backend.base_url,
            reason=run.backend.reason,
        ),
        tasks=task_counts(state.counts),
        timeline=[_task(item) for item in state.tasks] if "timeline" in parts else None,
        artefacts=[_artefact(item) for item in state.artefacts] if "artefacts" in parts else None,
        usage=usage_view(state.usage) if "usage" in parts else None,
        created_at=iso(run.created_ns),
        started_at=_iso(run.started_ns),
        finished_at=_iso(run.finished_ns),
        duration_s=_seconds(run.finished_ns - run.started_ns) if run.finished_ns and run.started_ns else None,
        out_dir=run.out_dir,
        as_of=iso(state.as_of_ns),
        database=str(app.settings.database),
        next_step=notes + _next_step(run, state),
    )


def run_line(run: Run, status: str, counts: Counts) -> RunLine:
    return RunLine(
        run_id=run.run_id,
        kind=run.kind,
        status=status,
        task=run.task if len(run.task) <= 120 else f"{run.task[:119]}…",
        tasks=task_counts(counts),
        created_at=iso(run.created_ns),
    )


def swarm_line(state: SwarmState) -> SwarmLine:
    return SwarmLine(
        swarm_id=state.swarm.swarm_id,
        name=state.swarm.name,
        topology=state.swarm.topology,
        strategy=state.swarm.strategy,
        agents=state.agents,
        max_agents=state.swarm.max_agents,
        current=state.current,
    )


def task_counts(counts: Counts) -> TaskCounts:
    return TaskCounts(
        total=sum(counts.values()),
        queued=counts.get(TaskStatus.BLOCKED, 0) + counts.get(TaskStatus.READY, 0),
        running=counts.get(TaskStatus.RUNNING, 0),
        succeeded=counts.get(TaskStatus.SUCCEEDED, 0),
        failed=counts.get(TaskStatus.FAILED, 0),
        cancelled=counts.get(TaskStatus.CANCELLED, 0),
    )


def usage_view(totals: UsageTotals) -> UsageView:
    """Sums of what was reported; a sum over nothing is null, and what is missing is said."""
    reported = totals.calls - totals.open - totals.unknown
    reasons = {}
    if not totals.calls:
        reasons["raw_tokens"] = "no call was made yet"
    elif not reported:
        reasons["raw_tokens"] = "no call has reported its tokens"
    elif totals.unknown:
        reasons["raw_tokens"] = (
            f"without {totals.unknown} calls whose tokens are unknown (failed, lost or not reported)"
        )

    def figure(number: int) -> int | None:
        return number if reported else None

    return UsageView(
        calls=totals.calls,
        raw_tokens=figure(totals.input_tokens + totals.output_tokens),
        input_tokens=figure(totals.input_tokens),
        output_tokens=figure(totals.output_tokens),
        cache_read_tokens=figure(totals.cache_read_tokens),
        cache_write_tokens=figure(totals.cache_write_tokens),
        unknown_calls=totals.unknown,
        open_calls=totals.open,
        reasons=reasons,
    )


def _task(state: TaskState) -> TaskView:
    task = state.task
    return TaskView(
        task_id=task.task_id,
        key=task.key,
        phase=task.phase,
        mode=task.mode,
        role=task.role,
        agent_id=task.agent_id,
        status=task.status,
        attempts=task.attempts,
        started_at=_iso(state.started_ns),
        duration_s=None if state.exec_ns is None else _seconds(state.exec_ns),
        raw_tokens=usage_view(state.usage).raw_tokens if state.usage else None,
        error=task.error,
    )


def _artefact(artefact: Artefact) -> ArtefactView:
    return ArtefactView(
        artefact_id=artefact.artefact_id,
        phase=artefact.phase,
        name=artefact.name,
        memory_key=artefact.memory_key,
        size_bytes=artefact.size_bytes,
        sha256=artefact.sha256,
        path=artefact.path,
        truncated=artefact.truncated,
    )


def _next_step(run: Run, state: RunState) -> str:
    more = f"Only the first {LISTED} tasks are listed. " if sum(state.counts.values()) > LISTED else ""
    cut = sum(artefact.truncated for artefact in state.artefacts)
    if cut:
        more += f"{cut} deliverables were cut off at the model's output limit: raise it with --max-output-tokens. "
    if state.status == INTERRUPTED:
        resume = f"swarmtally runs resume {run.run_id} --project {shlex.quote(run.project)}"
        return f"{more}Its process is gone: continue it in a shell with `{resume}`."
    if not run.status.final:
        return f"{more}Call run_status with run_id {run.run_id} and wait_s 45 until it has ended."
    if not state.artefacts:
        return f"{more}Nothing was delivered; the timeline's errors say why."
    return f"{more}Read a deliverable with memory_usage, action retrieve, key {state.artefacts[-1].memory_key}"


def _iso(ns: int | None) -> str | None:
    return None if ns is None else iso(ns)


def _seconds(ns: int) -> float:
    return round(ns / NS_PER_S, 3)


TOOLS: tuple[Tool, ...] = (run_status,)

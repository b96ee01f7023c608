"""Runs as tools return them."""

from collections.abc import Sequence
from typing import Literal

from swarmtally.app import App
from swarmtally.core import lending
from swarmtally.core.packets import Packet
from swarmtally.core.run_states import Counts, RunState, TaskState
from swarmtally.core.swarms import SwarmState
from swarmtally.domain.clock import NS_PER_S, iso
from swarmtally.domain.run import HOST, INTERRUPTED, BackendChoice, Run, RunStatus
from swarmtally.domain.task import Artefact, TaskStatus
from swarmtally.domain.text import counted
from swarmtally_tools.budget_views import BudgetView, budget_view, higher_budget
from swarmtally_tools.definition import View, that_fit
from swarmtally_tools.packet_views import WORK, PacketView, packet_view
from swarmtally_tools.usage_views import UsageView, raw_tokens, usage_view

Part = Literal["timeline", "artefacts", "usage"]

PARTS: tuple[Part, ...] = ("timeline", "artefacts", "usage")

TASK_SHOWN = 500
"""How much of what a run was asked for is shown, in characters: its caller knows it, and packets need the room."""


LIST_BYTES = 26_000
"""The most that a timeline takes, and the most that a list of deliverables does: both and the rest of a run stay below
what clients put before a model."""


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
    """Could not run because something they need failed, or were cancelled."""


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
    """Attempts counted so far; those lost with their process, and packets that expired, are not."""
    started_at: str | None
    """When its last attempt started (UTC)."""
    duration_s: float | None
    """How long its last attempt's call took; null until it ended."""
    raw_tokens: int | None
    """Input and output tokens of its calls; null when one of them has not reported them."""
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
    """As memory_usage retrieves it, in UTF-8: its text with the files that came with it below."""
    sha256: str
    """Of the same; so not of the file at path when files came with it."""
    path: str | None
    """Where its text lies on disk, its files in the folder beside it; null without out_dir or when not written."""
    truncated: bool
    """The model was cut off at its output limit: the text is not whole."""


class BackendView(View):
    name: str
    """host (the calling client), model or local."""
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
    """run, batch, concurrent, pipeline or queue."""
    status: str
    """queued, running, waiting_for_host, paused, interrupted, succeeded, failed or cancelled."""
    reason: str | None
    """Why it failed, was paused or cancelled, or what is incomplete."""
    task: str
    """What was asked for, shortened."""
    project: str
    """What it belongs to."""
    swarm_id: str
    """The swarm that does it."""
    backend: BackendView
    """What does the work."""
    topology: str | None
    """What tasks see of each other: solo, star, hierarchical, ring or mesh; null until an adaptive run has chosen."""
    topology_reason: str | None
    """Why this one."""
    messages: int
    """Hand-overs between agents so far, one for each edge they travelled."""
    tasks: TaskCounts
    """How many are in each state."""
    timeline: list[TaskView] | None
    """The first tasks in order, at most 100 and as many as fit; null when not asked for."""
    artefacts: list[ArtefactView] | None
    """The first deliverables, at most 100 and as many as fit; null when not asked for."""
    usage: UsageView | None
    """What its calls used; null when not asked for."""
    budget: BudgetView | None
    """What it may spend, has spent and holds for calls under way; null when it has no budget."""
    packets: list[PacketView]
    """Work for you to do now; only of a host-driven run you have just started."""
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
    """run, batch, concurrent, pipeline or queue."""
    status: str
    """queued, running, waiting_for_host, paused, interrupted, succeeded, failed or cancelled."""
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


def run_view(
    app: App, state: RunState, parts: Sequence[Part] = PARTS, *, notes: str = "", packets: Sequence[Packet] = ()
) -> RunView:
    """A run as tools return it; `notes` go before the next step."""
    run = state.run
    timeline = that_fit([_task(item) for item in state.tasks], LIST_BYTES) if "timeline" in parts else None
    artefacts = that_fit([_artefact(item) for item in state.artefacts], LIST_BYTES) if "artefacts" in parts else None
    if timeline is not None and len(timeline) < sum(state.counts.values()):
        notes += f"Only the first {len(timeline)} tasks are listed. "
    if artefacts is not None and len(artefacts) < state.counts.get(TaskStatus.SUCCEEDED, 0):
        notes += f"Only the first {len(artefacts)} deliverables are listed. "
    return RunView(
        run_id=run.run_id,
        kind=run.kind,
        status=state.status,
        reason=run.reason,
        task=_shortened(run.task, TASK_SHOWN),
        project=run.project,
        swarm_id=run.swarm_id,
        backend=backend_view(run.backend),
        topology=run.shape,
        topology_reason=run.shape_reason,
        messages=state.messages,
        tasks=task_counts(state.counts),
        timeline=timeline,
        artefacts=artefacts,
        usage=usage_view(state.usage, lost=calls_lost(state)) if "usage" in parts else None,
        budget=budget_view(run.budget, state.account.spending) if state.account else None,
        packets=[packet_view(packet) for packet in packets],
        created_at=iso(run.created_ns),
        started_at=_iso(run.started_ns),
        finished_at=_iso(run.finished_ns),
        duration_s=_seconds(run.finished_ns - run.started_ns) if run.finished_ns and run.started_ns else None,
        out_dir=run.out_dir,
        as_of=iso(state.as_of_ns),
        database=str(app.settings.database),
        next_step=notes + (WORK if packets else _next_step(app, run, state)),
    )


def backend_view(choice: BackendChoice) -> BackendView:
    return BackendView(name=choice.name, model=choice.model, base_url=choice.base_url, reason=choice.reason)


def run_line(run: Run, status: str, counts: Counts) -> RunLine:
    return RunLine(
        run_id=run.run_id,
        kind=run.kind,
        status=status,
        task=_shortened(run.task, 120),
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


def calls_lost(state: RunState) -> bool:
    """Whether the run's open calls are none that somebody waits for; those of clients are packets that are out."""
    return state.abandoned and state.run.backend.name != HOST


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
        raw_tokens=raw_tokens(state.usage) if state.usage and state.usage.reported == state.usage.calls else None,
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


def _next_step(app: App, run: Run, state: RunState) -> str:
    more = ""
    cut = sum(artefact.truncated for artefact in state.artefacts)
    if cut:
        were = f"{counted(cut, 'deliverable')} {'was' if cut == 1 else 'were'}"
        more += f"{were} cut off at the model's output limit: raise it with --max-output-tokens. "
    resume = f"run_control with run_id {run.run_id} and action resume"
    shell = f"in a shell with `swarmtally runs resume {run.run_id}{app.settings.named()}`"
    if state.status == INTERRUPTED:
        return f"{more}Its process is gone: continue it with {resume}, or {shell}."
    if run.status is RunStatus.PAUSED:
        more += higher_budget(run.budget, state.account)
        return f"{more}Nothing more starts until you continue it with {resume}, or {shell}."
    if run.backend.lent and lending.lender() is not None and not run.status.final:
        if state.counts.get(TaskStatus.READY) and not state.counts.get(TaskStatus.RUNNING):
            more += (
                "Where its tasks stay ready, the swarm's agents have tasks of other runs: raise its size with "
                "swarm_scale, or cancel with run_control a run that nobody does any more. "
            )
        return f"{more}Your client's model does its work: call run_status with run_id {run.run_id} and wait_s 45."
    if run.backend.name == HOST and not run.status.final:
        return f"{more}Clients do its work: call work_claim with run_id {run.run_id}, do each packet, then work_report."
    if run.status in (RunStatus.FAILED, RunStatus.CANCELLED):
        more += f"Have what failed or was cancelled done again with run_control {run.run_id} retry. "
    if not run.status.final:
        return f"{more}{poll(run.run_id)}"
    if not state.artefacts:
        return f"{more}Nothing was delivered; the timeline's errors say why."
    return f"{more}Read a deliverable with memory_usage, action retrieve, key {state.artefacts[-1].memory_key}"


def poll(run_id: str) -> str:
    """What to do about a run that goes on by itself."""
    return f"Call run_status with run_id {run_id} and wait_s 45 until it has ended."


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _iso(ns: int | None) -> str | None:
    return None if ns is None else iso(ns)


def _seconds(ns: int) -> float:
    return round(ns / NS_PER_S, 3)

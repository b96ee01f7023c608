"""A run's timeline as clients read it: tasks and attempts with their recorded times."""

from swarmtally.app import App
from swarmtally.core.published import Timeline
from swarmtally.domain.clock import NS_PER_S, iso
from swarmtally.domain.task import Task
from swarmtally.store.history import Attempt
from swarmtally_tools.definition import View, that_fit

TIMELINE_BYTES = 900_000
"""The most that the tasks of a timeline take: with the rest of it less than a resource may have."""


class AttemptView(View):
    number: int
    """From 1; lost ones have a number too."""
    agent_id: str
    """Who had the task."""
    status: str
    """running, succeeded, failed, lost (with its process), expired (a packet nobody reported in time) or cancelled."""
    ready_at: str | None
    """When the task had become ready (UTC); null when an older version made the row."""
    claimed_at: str
    """When the agent got it (UTC)."""
    started_at: str | None
    """When its first call was sent (UTC); null for none, and until the attempt has ended."""
    ended_at: str | None
    """When its last call came back (UTC); null until the attempt has ended."""
    committed_at: str | None
    """When its result was recorded (UTC); null while it is under way."""
    exec_s: float | None
    """What its calls took, monotonic; null where none was sent, and until the attempt has ended."""
    cause: str | None
    """Of a failure: rate_limit, timeout, network, server or other."""


class TimelineTaskView(View):
    task_id: str
    """Its id."""
    key: str
    """Its name within the run, such as code_2."""
    phase: str
    """The stage it belongs to."""
    role: str
    """The kind of agent it wants."""
    status: str
    """blocked, ready, running, succeeded, failed or cancelled."""
    created_at: str
    """When it became known (UTC)."""
    ready_at: str | None
    """When it last became ready (UTC); null until then."""
    finished_at: str | None
    """When it ended (UTC); null until then."""
    error: str | None
    """Why it failed, was cancelled or is tried again."""
    attempts: list[AttemptView]
    """In order."""


class RunTimelineView(View):
    run_id: str
    """The run."""
    status: str
    """As recorded: queued, running, waiting_for_host, paused, succeeded, failed or cancelled."""
    project: str
    """What it belongs to."""
    created_at: str
    """UTC."""
    started_at: str | None
    """When the first task was claimed (UTC)."""
    finished_at: str | None
    """When the last result was committed (UTC)."""
    tasks_total: int
    """Tasks known so far."""
    tasks: list[TimelineTaskView]
    """The first of them in order: at most 1,000, and as many as fit."""
    as_of: str
    """When this was read (UTC)."""
    database: str
    """The file the rows are in."""


async def run_timeline(app: App, run_id: str) -> RunTimelineView:
    """The timeline of a run.

    Raises:
        NotFound: the project has no such run.
    """
    found = await app.published().timeline(run_id)
    run = found.run
    return RunTimelineView(
        run_id=run.run_id,
        status=run.status,
        project=run.project,
        created_at=iso(run.created_ns),
        started_at=_iso(run.started_ns),
        finished_at=_iso(run.finished_ns),
        tasks_total=found.total,
        tasks=that_fit([_task(found, task) for task in found.tasks], TIMELINE_BYTES),
        as_of=iso(found.as_of_ns),
        database=str(app.settings.database),
    )


def _task(found: Timeline, task: Task) -> TimelineTaskView:
    return TimelineTaskView(
        task_id=task.task_id,
        key=task.key,
        phase=task.phase,
        role=task.role,
        status=task.status,
        created_at=iso(task.created_ns),
        ready_at=_iso(task.ready_ns),
        finished_at=_iso(task.finished_ns),
        error=task.error,
        attempts=[_attempt(each) for each in found.attempts.get(task.task_id, ())],
    )


def _attempt(each: Attempt) -> AttemptView:
    return AttemptView(
        number=each.number,
        agent_id=each.agent_id,
        status=each.status,
        ready_at=_iso(each.ready_ns),
        claimed_at=iso(each.claimed_ns),
        started_at=_iso(each.started_ns),
        ended_at=_iso(each.ended_ns),
        committed_at=_iso(each.committed_ns),
        exec_s=None if each.exec_ns is None else round(each.exec_ns / NS_PER_S, 6),
        cause=each.cause,
    )


def _iso(ns: int | None) -> str | None:
    return None if ns is None else iso(ns)

"""The load on a swarm as its rows tell it: what became ready, how long attempts took, what waits."""

from dataclasses import dataclass

from swarmtally.store.connection import Connection

ATTEMPTS_LIMIT = 10_000
"""The most attempts whose times are read: those under way, then the newest that ended."""

# Runs that may have rows in the window. Both halves have an index of their own.
_RECENT = (
    "WITH recent AS (SELECT run_id FROM run WHERE swarm_id = :swarm_id AND finished_ns IS NULL"
    " UNION ALL SELECT run_id FROM run WHERE project = :project AND finished_ns > :since AND swarm_id = :swarm_id)"
)

# Paused runs start nothing, and interrupted ones only when somebody goes on with them.
_GOES_ON = "(run.status = 'waiting_for_host' OR (run.status IN ('queued', 'running') AND run.lease_expires_ns > :now))"


@dataclass(frozen=True, slots=True)
class Window:
    """The swarm meant, and the time after `since_ns` and up to `now_ns`."""

    project: str
    swarm_id: str
    since_ns: int
    now_ns: int

    @property
    def bound(self) -> dict[str, str | int]:
        return {"project": self.project, "swarm_id": self.swarm_id, "since": self.since_ns, "now": self.now_ns}


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How often tasks of a role became ready in a window, and when the first did."""

    count: int
    first_ns: int


@dataclass(frozen=True, slots=True)
class Service:
    """How long one attempt took from claim to commit, or has taken while it is `under_way`."""

    role: str
    duration_ns: int
    under_way: bool


async def arrivals(tx: Connection, window: Window) -> dict[str, Arrivals]:
    """By role. A task that is to be tried again arrives again; one that was cancelled asks for nobody."""
    rows = await tx.rows(
        f"{_RECENT} SELECT task.role, COUNT(*) AS n, MIN(event.at_ns) AS first_ns FROM recent"
        " JOIN event ON event.run_id = recent.run_id JOIN task ON task.task_id = event.task_id"
        " WHERE event.kind = 'task.ready' AND event.at_ns > :since AND event.at_ns <= :now"
        " AND task.status <> 'cancelled' GROUP BY task.role ORDER BY task.role",
        window.bound,
    )
    return {row["role"]: Arrivals(row["n"], row["first_ns"]) for row in rows}


async def services(tx: Connection, window: Window) -> list[Service]:
    """Attempts that ended in the window by succeeding or failing, and those under way in runs that go on.

    What was cut off (cancelled, lost with its process, expired) does not say how long it would have taken.
    """
    rows = await tx.rows(
        f"{_RECENT} SELECT task.role, attempt.status = 'running' AS under_way,"
        " MAX(0, COALESCE(attempt.committed_ns, :now) - attempt.claimed_ns) AS duration_ns FROM recent"
        " JOIN run ON run.run_id = recent.run_id"
        " JOIN task ON task.run_id = run.run_id AND task.status <> 'blocked'"
        " AND (task.finished_ns IS NULL OR task.finished_ns > :since)"
        " JOIN attempt ON attempt.task_id = task.task_id"
        " WHERE (attempt.status IN ('succeeded', 'failed')"
        "        AND attempt.committed_ns > :since AND attempt.committed_ns <= :now)"
        f" OR (attempt.status = 'running' AND (run.status = 'paused' OR {_GOES_ON}))"
        " ORDER BY under_way DESC, attempt.committed_ns DESC, attempt.task_id, attempt.number LIMIT :limit",
        {**window.bound, "limit": ATTEMPTS_LIMIT},
    )
    return [Service(row["role"], row["duration_ns"], bool(row["under_way"])) for row in rows]


async def backlog(tx: Connection, window: Window) -> dict[str, int]:
    """By role, the tasks that wait at the window's end for any agent; not those that only one agent may take."""
    rows = await tx.rows(
        "SELECT task.role, COUNT(*) AS n FROM run JOIN task ON task.run_id = run.run_id"
        f" WHERE run.swarm_id = :swarm_id AND run.finished_ns IS NULL AND {_GOES_ON}"
        " AND task.status = 'ready' AND task.not_before_ns <= :now"
        " AND NOT task.hub AND run.shape IS NOT 'solo' GROUP BY task.role ORDER BY task.role",
        window.bound,
    )
    return {row["role"]: row["n"] for row in rows}


async def at_once(tx: Connection, window: Window) -> int | None:
    """How many calls the backends of the swarm's unfinished runs take at once, together, or of those that ended in the
    window where none is unfinished; None when one of them has no limit or has not begun.

    Each process opens a backend of its own, so runs of one process and backend share its limit.
    """
    rows = await tx.rows(
        f"{_RECENT} SELECT run.finished_ns IS NULL AS unfinished, MAX(run.max_parallel) AS most FROM recent"
        " JOIN run ON run.run_id = recent.run_id"
        f" WHERE run.finished_ns IS NOT NULL OR run.status = 'paused' OR {_GOES_ON}"
        " GROUP BY unfinished, run.lease_owner, run.backend",
        window.bound,
    )
    counted = [row["most"] for row in rows if row["unfinished"]] or [row["most"] for row in rows]
    return sum(counted) if counted and None not in counted else None

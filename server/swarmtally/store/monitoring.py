"""What a swarm does now, and what came in since one looked last.

"Since" is told by row numbers, which grow in the order of commits: a row that was timed before one looked and committed
after is in the next look, so that nothing is missed or counted twice.
"""

from dataclasses import dataclass
from typing import Any

from swarmtally.domain.resources import ResourceSample
from swarmtally.domain.run import Run
from swarmtally.store.connection import Connection, Row

EXECUTORS_LIMIT = 1_000
"""The most resource samples one look reads: a minute of sixteen processes."""


@dataclass(frozen=True, slots=True)
class Marks:
    """The newest rows seen."""

    event_id: int
    sample_id: int


async def newest_marks(tx: Connection) -> Marks:
    """The newest rows there are."""
    row = await tx.row(
        "SELECT COALESCE((SELECT MAX(event_id) FROM event), 0) AS event_id,"
        " COALESCE((SELECT MAX(sample_id) FROM resource_sample), 0) AS sample_id"
    )
    assert row is not None
    return Marks(row["event_id"], row["sample_id"])


async def marks_at(tx: Connection, since_ns: int) -> Marks:
    """The newest rows that are not younger than `since_ns`; looks back from the newest only that far."""
    row = await tx.row(
        "SELECT COALESCE((SELECT event_id FROM event WHERE at_ns <= :since ORDER BY event_id DESC LIMIT 1), 0)"
        " AS event_id, COALESCE((SELECT sample_id FROM resource_sample WHERE at_ns <= :since"
        " ORDER BY sample_id DESC LIMIT 1), 0) AS sample_id",
        {"since": since_ns},
    )
    assert row is not None
    return Marks(row["event_id"], row["sample_id"])


async def agents(tx: Connection, swarm_id: str) -> Row:
    """How many agents are idle, busy, and leaving when their task is done."""
    row = await tx.row(
        "SELECT COUNT(*) FILTER (WHERE status = 'idle') AS idle,"
        " COUNT(*) FILTER (WHERE status = 'busy' AND NOT draining) AS busy,"
        " COUNT(*) FILTER (WHERE status = 'busy' AND draining) AS leaving"
        " FROM agent WHERE swarm_id = :swarm_id AND status IN ('idle', 'busy')",
        {"swarm_id": swarm_id},
    )
    assert row is not None
    return row


async def queue(tx: Connection, swarm_id: str, now_ns: int) -> Row:
    """The tasks of the swarm's unfinished runs: `ready` to start (`since_ns`: the oldest of them), `retrying` later,
    `held` by a paused run, `running`, `blocked`."""
    row = await tx.row(
        "SELECT COUNT(*) FILTER (WHERE due AND NOT paused) AS ready,"
        " MIN(MAX(ready_ns, not_before_ns)) FILTER (WHERE due AND NOT paused) AS since_ns,"
        " COUNT(*) FILTER (WHERE status = 'ready' AND NOT due) AS retrying,"
        " COUNT(*) FILTER (WHERE due AND paused) AS held,"
        " COUNT(*) FILTER (WHERE status = 'running') AS running,"
        " COUNT(*) FILTER (WHERE status = 'blocked') AS blocked"
        " FROM (SELECT task.status, task.ready_ns, task.not_before_ns, run.status = 'paused' AS paused,"
        "              task.status = 'ready' AND task.not_before_ns <= :now AS due"
        "       FROM run JOIN task ON task.run_id = run.run_id"
        "       WHERE run.swarm_id = :swarm_id AND run.finished_ns IS NULL"
        "       AND task.status IN ('ready', 'running', 'blocked'))",
        {"swarm_id": swarm_id, "now": now_ns},
    )
    assert row is not None
    return row


async def ended(tx: Connection, swarm_id: str, after: Marks) -> Row:
    """How many of the swarm's tasks `succeeded` and `failed` after the marks."""
    row = await tx.row(
        "SELECT COUNT(*) FILTER (WHERE kind = 'task.succeeded') AS succeeded,"
        " COUNT(*) FILTER (WHERE kind = 'task.failed') AS failed"
        " FROM event WHERE event_id > :after AND swarm_id = :swarm_id",
        {"swarm_id": swarm_id, "after": after.event_id},
    )
    assert row is not None
    return row


# The attempts that ended, each found by the event that tells of it; then one row for each message, as the measures
# define them. What a packet's holder does with its time is not known (begun_ns is NULL).
_LATENCIES = (
    "WITH past AS ("
    "  SELECT DISTINCT attempt.* FROM event CROSS JOIN attempt ON attempt.task_id = event.task_id"
    "   AND attempt.committed_ns = event.at_ns"
    "  WHERE event.event_id > :after AND event.swarm_id = :swarm_id"
    "  AND event.kind IN ('task.succeeded', 'task.failed', 'task.ready')"
    "  AND attempt.status IN ('succeeded', 'failed')),"
    " latency (kind, ns) AS ("
    "  SELECT 'task_assignment', begun_ns - claimed_ns FROM past WHERE begun_ns IS NOT NULL"
    "  UNION ALL SELECT CASE status WHEN 'failed' THEN 'error_handling' ELSE 'status_update' END,"
    "   committed_ns - ended_ns FROM past WHERE begun_ns IS NOT NULL"
    "  UNION ALL SELECT message.kind, message.received_ns - message.sent_ns FROM past CROSS JOIN message"
    "   ON message.sent_ns = past.claimed_ns AND message.task_id = past.task_id"
    "   WHERE message.hop = message.hops AND message.received_ns IS NOT NULL),"
    " ranked AS (SELECT kind, MAX(0, ns) AS ns, ROW_NUMBER() OVER (PARTITION BY kind ORDER BY ns) AS rank,"
    "  COUNT(*) OVER (PARTITION BY kind) AS n FROM latency)"
    " SELECT kind, n, MIN(ns) FILTER (WHERE rank * 100 >= n * 50) AS p50_ns,"
    " MIN(ns) FILTER (WHERE rank * 100 >= n * 95) AS p95_ns FROM ranked GROUP BY kind"
)


async def latencies(tx: Connection, swarm_id: str, after: Marks) -> list[Row]:
    """By kind of message: n, p50_ns and p95_ns (nearest rank) of the swarm's attempts that ended after the marks."""
    return await tx.rows(_LATENCIES, {"swarm_id": swarm_id, "after": after.event_id})


async def samples(tx: Connection, project: str, after: Marks) -> list[ResourceSample]:
    """The resource samples of the project's processes that came in after the marks, oldest first."""
    rows = await tx.rows(
        "SELECT * FROM (SELECT * FROM resource_sample WHERE sample_id > :after AND project = :project"
        " ORDER BY sample_id DESC LIMIT :limit) ORDER BY sample_id",
        {"project": project, "after": after.sample_id, "limit": EXECUTORS_LIMIT},
    )
    return [ResourceSample.from_row(row) for row in rows]


async def unfinished(tx: Connection, swarm_id: str, limit: int) -> tuple[list[Run], int]:
    """The swarm's unfinished runs, newest first, at most `limit`; and how many there are."""
    bound: dict[str, Any] = {"swarm_id": swarm_id, "limit": limit}
    rows = await tx.rows(
        "SELECT *, COUNT(*) OVER () AS n FROM run WHERE swarm_id = :swarm_id AND finished_ns IS NULL"
        " ORDER BY created_ns DESC, run_id LIMIT :limit",
        bound,
    )
    return [Run.from_row(row) for row in rows], rows[0]["n"] if rows else 0

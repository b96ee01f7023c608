"""For each figure the query that gives it straight from the recorded rows, so that a reader can check it by hand.

They go another way than the report, which sums up measures of runs: a test holds both together. Bound names are
:project, :swarm_id (NULL: every swarm), :since, :until and :calibration, the kind of runs that is left out.
"""

from dataclasses import dataclass

from swarmtally.store.connection import Connection
from swarmtally.store.measures import Asked

_ATTEMPTS = """
FROM attempt JOIN task ON task.task_id = attempt.task_id JOIN run ON run.run_id = task.run_id
WHERE run.project = :project AND (:swarm_id IS NULL OR run.swarm_id = :swarm_id) AND run.kind <> :calibration
  AND attempt.committed_ns > :since AND attempt.committed_ns <= :until"""

_MESSAGES = """
FROM message JOIN run ON run.run_id = message.run_id
WHERE run.project = :project AND (:swarm_id IS NULL OR run.swarm_id = :swarm_id) AND run.kind <> :calibration
  AND hop = hops AND received_ns > :since AND received_ns <= :until"""

_RUNS = """
FROM run_measure
WHERE project = :project AND (:swarm_id IS NULL OR swarm_id = :swarm_id) AND kind <> :calibration
  AND status <> 'cancelled' AND makespan_ns > 0 AND ended_ns > :since AND ended_ns <= :until"""

_CANCELLED = """
SELECT COUNT(*) FROM event JOIN run ON run.run_id = event.run_id
WHERE run.project = :project AND (:swarm_id IS NULL OR run.swarm_id = :swarm_id) AND run.kind <> :calibration
  AND event.kind = 'task.cancelled' AND at_ns > :since AND at_ns <= :until"""

_ENDED = f"SELECT COUNT(*) {_ATTEMPTS} AND final AND attempt.status IN ('succeeded', 'failed')"

_UTILISATION = """
SELECT 1.0 * busy.ns / alive.ns AS value, busy.n AS n FROM
(SELECT SUM(spent) AS ns, COUNT(*) AS n FROM
  (SELECT MIN(:until, COALESCE(attempt.committed_ns, :until), COALESCE(attempt.expires_ns, :until))
          - MAX(attempt.claimed_ns, :since) AS spent
   FROM attempt JOIN task ON task.task_id = attempt.task_id JOIN run ON run.run_id = task.run_id
   JOIN swarm ON swarm.swarm_id = run.swarm_id
   WHERE run.project = :project AND (:swarm_id IS NULL OR run.swarm_id = :swarm_id) AND run.kind <> :calibration)
 WHERE spent > 0) AS busy,
(SELECT SUM(MAX(0, MIN(COALESCE(left_ns, :until), :until) - MAX(agent.created_ns, :since))) AS ns
 FROM agent JOIN swarm ON swarm.swarm_id = agent.swarm_id
 WHERE project = :project AND (:swarm_id IS NULL OR swarm.swarm_id = :swarm_id)) AS alive"""


def _median(column: str) -> str:
    """The lower median of a column of `run_measure`, in seconds."""
    return (
        f"SELECT (SELECT {column} / 1e9 {_RUNS} ORDER BY {column} LIMIT 1"
        f" OFFSET (SELECT MAX(0, (COUNT(*) + 1) / 2 - 1) {_RUNS})) AS value, COUNT(*) AS n {_RUNS}"
    )


def _p50_ms(duration: str, rows: str) -> str:
    """The median (nearest rank) of a duration over rows, in milliseconds."""
    return (
        f"SELECT (SELECT MAX(0, {duration}) / 1e6 {rows} ORDER BY {duration} LIMIT 1"
        f" OFFSET (SELECT MAX(0, (COUNT(*) + 1) / 2 - 1) {rows})) AS value, COUNT(*) AS n {rows}"
    )


_ARRIVED = f"{_ATTEMPTS} AND begun_ns IS NOT NULL AND ended_ns IS NOT NULL AND attempt.status"

QUERIES = {
    "tasks_ended": f"SELECT NULLIF(n, 0) AS value, n FROM (SELECT ({_ENDED}) + ({_CANCELLED}) AS n)",
    "success_rate": (
        "SELECT AVG(attempt.status = 'succeeded') AS value, COUNT(*) AS n"
        f" {_ATTEMPTS} AND final AND attempt.status IN ('succeeded', 'failed')"
    ),
    "retry_rate": (
        "SELECT AVG(attempt.status = 'failed' AND NOT final) AS value, COUNT(*) AS n"
        f" {_ATTEMPTS} AND attempt.status IN ('succeeded', 'failed')"
    ),
    "cancelled_rate": (
        f"SELECT 1.0 * cancelled / NULLIF(cancelled + ended, 0) AS value, cancelled + ended AS n"
        f" FROM (SELECT ({_CANCELLED}) AS cancelled, ({_ENDED}) AS ended)"
    ),
    "makespan_s": _median("makespan_ns"),
    "work_s": _median("work_ns"),
    "critical_path_s": _median("critical_path_ns"),
    "parallelism": f"SELECT 1.0 * SUM(work_ns) / SUM(makespan_ns) AS value, COUNT(*) AS n {_RUNS}",
    "schedule_efficiency": (
        "SELECT SUM(MAX(1.0 * work_ns / MAX(1, COALESCE(places, 1)), 1.0 * critical_path_ns)) / SUM(makespan_ns)"
        " AS value,"
        f" COUNT(*) AS n {_RUNS}"
    ),
    "speed_multiplier": (
        "SELECT NULL AS value, COUNT(*) AS n FROM usage JOIN run ON run.run_id = usage.run_id"
        " WHERE alone = 1 AND project = :project AND (:swarm_id IS NULL OR swarm_id = :swarm_id"
        " OR kind = :calibration) AND closed_ns <= :until"
    ),
    "agent_utilisation": _UTILISATION,
    "latency_ms.task_assignment": _p50_ms("begun_ns - claimed_ns", f"{_ARRIVED} IN ('succeeded', 'failed')"),
    "latency_ms.status_update": _p50_ms("attempt.committed_ns - ended_ns", f"{_ARRIVED} = 'succeeded'"),
    "latency_ms.error_handling": _p50_ms("attempt.committed_ns - ended_ns", f"{_ARRIVED} = 'failed'"),
    "latency_ms.data_transfer": _p50_ms("received_ns - sent_ns", f"{_MESSAGES} AND message.kind = 'data_transfer'"),
    "latency_ms.coordination": _p50_ms("received_ns - sent_ns", f"{_MESSAGES} AND message.kind = 'coordination'"),
}
"""Figure → a statement that returns one row: value, n. That of `speed_multiplier` counts the lone calls its fit rests
on; the fit itself is given as the figure's basis. Latencies are medians."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A figure's query, what was bound in it, what it gives, and how many rows it counts."""

    figure: str
    query: str
    parameters: dict[str, str | int | None]
    value: float | None
    rows: int


async def explain(tx: Connection, figure: str, asked: Asked) -> Explanation:
    """Run the query of `figure`, one of `QUERIES`."""
    query = " ".join(QUERIES[figure].split())
    bound = {name: value for name, value in asked.bound().items() if f":{name}" in query}
    row = await tx.row(query, bound)
    assert row is not None, "an aggregate gives a row"
    return Explanation(figure, query, bound, row["value"], row["n"])

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
SELECT IFNULL(busy.ns, 0.0) / alive.ns AS value, busy.n AS n FROM
(SELECT TOTAL(spent) AS ns, COUNT(*) AS n FROM
  (SELECT MIN(:until, COALESCE(attempt.committed_ns, :until), COALESCE(attempt.expires_ns, :until))
          - MAX(attempt.claimed_ns, :since) AS spent
   FROM attempt JOIN task ON task.task_id = attempt.task_id JOIN run ON run.run_id = task.run_id
   JOIN swarm ON swarm.swarm_id = run.swarm_id
   WHERE run.project = :project AND (:swarm_id IS NULL OR run.swarm_id = :swarm_id) AND run.kind <> :calibration)
 WHERE spent > 0) AS busy,
(SELECT TOTAL(MAX(0, MIN(COALESCE(left_ns, :until), :until) - MAX(agent.created_ns, :since))) AS ns
 FROM agent JOIN swarm ON swarm.swarm_id = agent.swarm_id
 WHERE project = :project AND (:swarm_id IS NULL OR swarm.swarm_id = :swarm_id)) AS alive"""


# Over the calls themselves; a run's stretch is what happened since it had ended before.
_TOKEN_EFFICIENCY = f"""
SELECT 1 - SUM(raw) / SUM(separate) AS value, COUNT(*) AS n FROM
(SELECT TOTAL(input_tokens + output_tokens) AS raw,
        SUM(1.0 * input_tokens / MAX(1, prompt_bytes) * baseline_bytes + output_tokens) FILTER (WHERE delivered)
          AS separate
 FROM (SELECT run_id, ended_ns, IFNULL((SELECT MAX(ended_ns) FROM run_measure AS other
         WHERE other.run_id = run_measure.run_id AND other.ended_ns < run_measure.ended_ns), 0) AS begun {_RUNS}) AS run
 JOIN usage ON usage.run_id = run.run_id AND closed_ns > begun AND closed_ns <= run.ended_ns
 GROUP BY run.run_id, run.ended_ns
 HAVING separate IS NOT NULL AND COUNT(*) = COUNT(input_tokens + output_tokens) AND COUNT(*) = COUNT(delivered))"""


def _median(column: str) -> str:
    """The lower median of a column of `run_measure`, in seconds."""
    return (
        f"SELECT (SELECT {column} / 1e9 {_RUNS} ORDER BY {column} LIMIT 1"
        f" OFFSET (SELECT MAX(0, (COUNT(*) + 1) / 2 - 1) {_RUNS})) AS value, COUNT(*) AS n {_RUNS}"
    )


def _p50(duration: str, rows: str, unit: str = "1e6") -> str:
    """The median (nearest rank) of a duration over rows, in milliseconds or another unit of so many nanoseconds."""
    return (
        f"SELECT (SELECT MAX(0, {duration}) / {unit} {rows} ORDER BY {duration} LIMIT 1"
        f" OFFSET (SELECT MAX(0, (COUNT(*) + 1) / 2 - 1) {rows})) AS value, COUNT(*) AS n {rows}"
    )


_WEIGHTS = """
(SELECT value ->> 0 AS backend, value ->> 1 AS model, value ->> 2 AS prompt, value ->> 3 AS output, value ->> 4 AS call
 FROM json_each(:weights)) AS weight"""

_SAMPLES = "FROM resource_sample WHERE project = :project AND at_ns > :since AND at_ns <= :until"

_MIB_PER_S = "1e9 / 1048576"


def _rate(column: str, unit: str = "1") -> str:
    """The mean rate of a column of `resource_sample`, per nanosecond times `unit`; over the samples that know it."""
    return (
        f"SELECT 1.0 * SUM({column}) / SUM(interval_ns) * {unit} AS value, COUNT(*) AS n {_SAMPLES}"
        f" AND {column} IS NOT NULL"
    )


def _of_samples(value: str) -> str:
    return f"SELECT {value} AS value, COUNT(*) AS n {_SAMPLES}"


_OF_PREDICTION = """
JOIN run ON run.run_id = prediction.run_id
WHERE run.project = :project AND (:swarm_id IS NULL OR run.swarm_id = :swarm_id) AND run.kind <> :calibration
  AND ended_ns > :since AND ended_ns <= :until"""

_SAID = "prediction_id, prediction.run_id, prediction.task_id, target, value, low, high"

# With what is known of the first end of what was predicted.
_FIRST_ENDS = f"""
(SELECT {_SAID}, attempt.number, attempt.committed_ns AS ended_ns, attempt.exec_ns AS took_ns, attempt.status
 FROM prediction JOIN attempt ON attempt.task_id = prediction.task_id AND attempt.final
   AND attempt.status IN ('succeeded', 'failed')
 WHERE prediction.task_id <> '' AND NOT EXISTS (SELECT 1 FROM attempt AS earlier WHERE earlier.final
   AND earlier.task_id = attempt.task_id AND earlier.number < attempt.number
   AND earlier.status IN ('succeeded', 'failed'))
 UNION ALL
 SELECT {_SAID}, NULL, run_measure.ended_ns, makespan_ns, run_measure.status
 FROM prediction JOIN run_measure ON run_measure.run_id = prediction.run_id AND run_measure.status <> 'cancelled'
 WHERE prediction.task_id = '' AND NOT EXISTS (SELECT 1 FROM run_measure AS earlier WHERE earlier.status <> 'cancelled'
   AND earlier.run_id = run_measure.run_id AND earlier.ended_ns < run_measure.ended_ns))"""

# Of a task the calls of the attempt that ended it, of a run all until it ended.
_TOKENS_USED = """
(SELECT CASE WHEN COUNT(*) = COUNT(input_tokens + output_tokens) THEN SUM(input_tokens + output_tokens) END
 FROM usage WHERE usage.run_id = prediction.run_id AND CASE WHEN prediction.task_id = '' THEN opened_ns <= ended_ns
   ELSE usage.task_id = prediction.task_id AND usage.number = prediction.number END)"""


def _held(target: str, happened: str, value: str) -> str:
    """`value` over the newest 50 predictions of `target` of which it is known what `happened`; fewer than 20 say
    nothing."""
    return (
        f"SELECT CASE WHEN COUNT(*) >= 20 THEN AVG({value}) END AS value, COUNT(*) AS n FROM (SELECT * FROM"
        f" (SELECT prediction_id, ended_ns, value, low, high, {happened} AS happened FROM {_FIRST_ENDS} AS prediction"
        f" {_OF_PREDICTION} AND target = '{target}') WHERE happened IS NOT NULL"
        " ORDER BY ended_ns DESC, prediction_id DESC LIMIT 50)"
    )


_WITH_RESULT = f"{_ATTEMPTS} AND attempt.status IN ('succeeded', 'failed')"

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
    "parallelism": f"SELECT TOTAL(work_ns) / SUM(makespan_ns) AS value, COUNT(*) AS n {_RUNS}",
    "schedule_efficiency": (
        "SELECT SUM(MAX(1.0 * work_ns / MAX(1, COALESCE(places, 1)), 1.0 * critical_path_ns)) / SUM(makespan_ns)"
        " AS value,"
        f" COUNT(*) AS n {_RUNS}"
    ),
    "speed_multiplier": (
        "SELECT SUM(weight.prompt * fresh_tokens + weight.output * output_tokens + weight.call * calls)"
        f" / (SUM(makespan_ns) / 1e9) AS value, COUNT(*) AS n {_RUNS} AND calls > 0 AND calls_unknown = 0"
    ).replace("FROM run_measure", f"FROM run_measure JOIN {_WEIGHTS} USING (backend, model)"),
    "agent_utilisation": _UTILISATION,
    "token_efficiency": _TOKEN_EFFICIENCY,
    "durations_s.wait": _p50("claimed_ns - attempt.ready_ns", f"{_ATTEMPTS} AND attempt.ready_ns IS NOT NULL", "1e9"),
    "durations_s.exec": _p50("attempt.exec_ns", f"{_WITH_RESULT} AND attempt.exec_ns IS NOT NULL", "1e9"),
    "durations_s.overhead": _p50(
        "attempt.committed_ns - claimed_ns - attempt.exec_ns",
        f"{_WITH_RESULT} AND attempt.exec_ns IS NOT NULL AND begun_ns IS NOT NULL",
        "1e9",
    ),
    "latency_ms.task_assignment": _p50("begun_ns - claimed_ns", f"{_ARRIVED} IN ('succeeded', 'failed')"),
    "latency_ms.status_update": _p50("attempt.committed_ns - ended_ns", f"{_ARRIVED} = 'succeeded'"),
    "latency_ms.error_handling": _p50("attempt.committed_ns - ended_ns", f"{_ARRIVED} = 'failed'"),
    "latency_ms.data_transfer": _p50("received_ns - sent_ns", f"{_MESSAGES} AND message.kind = 'data_transfer'"),
    "latency_ms.coordination": _p50("received_ns - sent_ns", f"{_MESSAGES} AND message.kind = 'coordination'"),
    "predictions.duration_s": _held("duration_s", "took_ns / 1e9", "happened BETWEEN low AND high"),
    "predictions.tokens": _held("tokens", _TOKENS_USED, "happened BETWEEN low AND high"),
    "predictions.success": _held(
        "success", "prediction.status = 'succeeded'", "(value - happened) * (value - happened)"
    ),
    "resources.cpu_cores": _rate("cpu_ns"),
    "resources.rss_mib_max": _of_samples("MAX(rss_bytes) / 1048576.0"),
    "resources.read_mib_per_s": _rate("read_bytes", _MIB_PER_S),
    "resources.written_mib_per_s": _rate("written_bytes", _MIB_PER_S),
    "resources.machine_sent_mib_per_s": _rate("net_sent_bytes", _MIB_PER_S),
    "resources.machine_received_mib_per_s": _rate("net_received_bytes", _MIB_PER_S),
    "resources.lock_wait_s": _of_samples("SUM(lock_wait_ns) / 1e9"),
    "resources.loop_lag_ms_max": _of_samples("MAX(lag_ns) / 1e6"),
    "resources.time.store": _rate("store_ns"),
    "resources.time.scheduling": _rate("scheduling_ns"),
    "resources.time.backends": _rate("backends_ns"),
    "resources.time.rest": _rate("rest_ns"),
}
"""Figure → a statement that returns one row: value, n. Durations and latencies are medians. That of `speed_multiplier`
takes the weights of the fit over lone calls, which the figure's basis tells, as :weights, JSON [[backend, model,
seconds per uncached prompt token, per output token, per call], …]."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A figure's query, what was bound in it, what it gives, and how many rows it counts."""

    figure: str
    query: str
    parameters: dict[str, str | int | None]
    value: float | None
    rows: int


async def explain(tx: Connection, figure: str, asked: Asked, weights: str) -> Explanation:
    """Run the query of `figure`, one of `QUERIES`."""
    query = " ".join(QUERIES[figure].split())
    given = {**asked.bound(), "weights": weights}
    bound = {name: value for name, value in given.items() if f":{name}" in query}
    row = await tx.row(query, bound)
    assert row is not None, "an aggregate gives a row"
    return Explanation(figure, query, bound, row["value"], row["n"])

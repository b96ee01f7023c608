"""What a run's recorded rows add up to: the definitions of docs/measures.md as SQL, for runs may have many rows.

`swarmtally.domain.measures` has the rest: the longest chain, and what calls would have left uncached one by one.
"""

import json
from array import array
from dataclasses import dataclass
from functools import lru_cache

from swarmtally.domain.measures import LATENCY_OF, CallFacts, Durations, RunSums, critical_path_ns, fresh_tokens
from swarmtally.store.connection import Connection, Row, values


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that ended at `ended_ns` and was not measured for that yet; it ended before at `since_ns`, or never (0)."""

    run_id: str
    ended_ns: int
    since_ns: int

    def bound(self) -> dict[str, str | int]:
        return {"run_id": self.run_id, "since": self.since_ns, "until": self.ended_ns}


_ENDED = "COALESCE(attempt.committed_ns, CASE attempt.status WHEN 'expired' THEN attempt.expires_ns END)"
"""When an attempt was over: a packet that nobody reported is over with its lease."""

_INSIDE = f"{_ENDED} > :since AND {_ENDED} <= :until"

_HAS_RESULT = "attempt.status IN ('succeeded', 'failed')"

_DELIVERED = f"attempt.final AND {_HAS_RESULT}"
"""It ended its task."""

_TOLD = f"{_HAS_RESULT} AND begun_ns IS NOT NULL AND ended_ns IS NOT NULL"

# Until when an attempt kept its agent busy: a packet's agent is free again when its lease ends.
_BUSY = (
    "MAX(0, MIN(:until, COALESCE(attempt.committed_ns, :until), COALESCE(attempt.expires_ns, :until))"
    " - attempt.claimed_ns)"
)

# Latencies and waits are differences of wall-clock times, which may be set back between two readings: none is below
# nothing. What was not recorded is NULL, which no list has.
_ATTEMPTS = (
    "SELECT COALESCE(MIN(claimed_ns), :until) AS begun_ns, MAX(committed_ns) AS last_ns,"
    f" SUM(attempt.final AND attempt.status = 'succeeded') AS succeeded,"
    f" SUM(attempt.final AND attempt.status = 'failed') AS failed, SUM({_BUSY} > 0) AS attempts,"
    f" SUM({_HAS_RESULT}) AS results, SUM(attempt.status = 'failed' AND NOT attempt.final) AS retried,"
    f" SUM({_BUSY}) AS busy_ns, SUM(CASE WHEN {_DELIVERED} THEN exec_ns END) AS work_ns,"
    f" MAX(CASE WHEN {_DELIVERED} THEN exec_ns END) AS longest_ns,"
    " group_concat(CASE WHEN committed_ns IS NOT NULL THEN MAX(0, claimed_ns - attempt.ready_ns) END) AS waits,"
    f" group_concat(CASE WHEN committed_ns IS NOT NULL AND {_HAS_RESULT} THEN MAX(0, exec_ns) END) AS execs,"
    f" group_concat(CASE WHEN {_HAS_RESULT} AND begun_ns IS NOT NULL"
    "  THEN MAX(0, committed_ns - claimed_ns - exec_ns) END) AS overheads,"
    f" group_concat(CASE WHEN {_TOLD} AND committed_ns IS NOT NULL THEN MAX(0, begun_ns - claimed_ns) END)"
    "  AS assignments,"
    f" group_concat(CASE WHEN {_TOLD} AND attempt.status = 'succeeded' THEN MAX(0, committed_ns - ended_ns) END)"
    "  AS updates,"
    f" group_concat(CASE WHEN {_TOLD} AND attempt.status = 'failed' THEN MAX(0, committed_ns - ended_ns) END) AS errors"
    " FROM task JOIN attempt ON attempt.task_id = task.task_id"
    f" WHERE task.run_id = :run_id AND {_INSIDE}"
)

_COUNTED = "attempt.task_id IS NOT NULL"
"""The call is one of the attempt that ended its task."""

_KNOWN = "(usage.exec_ns IS NOT NULL AND input_tokens IS NOT NULL AND output_tokens IS NOT NULL)"

_CALLS = (
    " FROM usage LEFT JOIN attempt ON attempt.task_id = usage.task_id AND attempt.number = usage.number"
    f" AND {_DELIVERED} AND {_INSIDE} WHERE usage.run_id = :run_id AND closed_ns > :since AND closed_ns <= :until"
)

# What a separate request for the same task would have used: its prompt by the same counter, as many bytes a token as
# this one's had, and the same answer.
_SEPARATE = (
    "CASE WHEN delivered AND baseline_bytes IS NOT NULL"
    " THEN 1.0 * input_tokens / MAX(1, prompt_bytes) * baseline_bytes + output_tokens END"
)

_GIVEN = f"({_COUNTED} AND {_KNOWN})"

_OF_CALLS = (
    f"SELECT IFNULL(SUM({_GIVEN}), 0) AS calls, IFNULL(SUM({_COUNTED} AND NOT {_KNOWN}), 0) AS unknown,"
    f" COUNT(DISTINCT CASE WHEN attempt.status = 'succeeded' AND {_KNOWN} THEN usage.task_id END) AS clear,"
    f" IFNULL(SUM(CASE WHEN {_GIVEN} THEN input_tokens END), 0) AS input_tokens,"
    f" IFNULL(SUM(CASE WHEN {_GIVEN} THEN output_tokens END), 0) AS output_tokens,"
    f" IFNULL(MAX({_GIVEN} AND cache_read_tokens > 0), 0) AS cached,"
    " COUNT(*) = COUNT(input_tokens + output_tokens) AND COUNT(*) = COUNT(delivered) AS whole,"
    f" COUNT({_SEPARATE}) AS compared, SUM(input_tokens + output_tokens) AS raw_tokens,"
    f" SUM({_SEPARATE}) AS separate_tokens{_CALLS}"
)

_UNCLEAR = (
    f"SELECT COUNT(*) AS n FROM (SELECT 1{_CALLS} AND attempt.status = 'succeeded' GROUP BY usage.task_id"
    f" HAVING SUM({_KNOWN}) > 0 AND SUM(NOT {_KNOWN}) > 0)"
)
"""Tasks of whose calls some are known and some are not."""


async def run_sums(tx: Connection, ended: EndedRun) -> RunSums:
    """The sums of a run's rows from `since_ns` to its end."""
    bound = ended.bound()
    row = await tx.row(_ATTEMPTS, bound)
    calls = await tx.row(_OF_CALLS, bound)
    assert row is not None, "an aggregate gives a row"
    assert calls is not None, "an aggregate gives a row"
    critical_ns = await _critical_ns(tx, ended, row["longest_ns"] or 0)
    succeeded, begun_ns, last_ns = row["succeeded"] or 0, row["begun_ns"], row["last_ns"]
    compared = calls["whole"] and calls["compared"]
    return RunSums(
        begun_ns=begun_ns,
        succeeded=succeeded,
        failed=row["failed"] or 0,
        cancelled=await _cancelled(tx, ended),
        attempts=row["attempts"] or 0,
        results=row["results"] or 0,
        retried=row["retried"] or 0,
        busy_ns=row["busy_ns"] or 0,
        work_ns=row["work_ns"] or 0,
        critical_path_ns=critical_ns,
        # Execs are monotonic: where the wall clock was set back, they say how long it took at least.
        makespan_ns=None if last_ns is None else max(last_ns - begun_ns, critical_ns),
        places=await _places(tx, ended),
        calls=calls["calls"],
        calls_unknown=succeeded - await _clear(tx, ended, calls),
        fresh_tokens=await _fresh_tokens(tx, ended) if calls["cached"] else calls["input_tokens"],
        output_tokens=calls["output_tokens"],
        raw_tokens=calls["raw_tokens"] if compared else None,
        separate_tokens=calls["separate_tokens"] if compared else None,
        durations=await _durations(tx, ended, row),
    )


async def _clear(tx: Connection, ended: EndedRun, calls: Row) -> int:
    """How many succeeded tasks had calls, of all of which the figures are known."""
    if not calls["unknown"]:
        return int(calls["clear"])
    unclear = await tx.row(_UNCLEAR, ended.bound())
    assert unclear is not None, "an aggregate gives a row"
    return int(calls["clear"] - unclear["n"])


async def _critical_ns(tx: Connection, ended: EndedRun, longest_ns: int) -> int:
    """The longest dependent chain; where no task depends on another, that is the longest task."""
    edges = await tx.rows(
        "SELECT dependency.task_id, dependency.depends_on FROM task JOIN dependency"
        " ON dependency.task_id = task.task_id WHERE task.run_id = :run_id",
        ended.bound(),
    )
    if not edges:
        return longest_ns
    execs = await tx.rows(
        "SELECT attempt.task_id, IFNULL(exec_ns, 0) AS exec_ns FROM task JOIN attempt"
        f" ON attempt.task_id = task.task_id WHERE task.run_id = :run_id AND {_DELIVERED} AND {_INSIDE}",
        ended.bound(),
    )
    needs = [(row["task_id"], row["depends_on"]) for row in edges]
    return critical_path_ns({row["task_id"]: row["exec_ns"] for row in execs}, needs)


async def _fresh_tokens(tx: Connection, ended: EndedRun) -> int:
    columns = ", ".join(f"usage.{name}" for name in CallFacts._fields)
    rows = await tx.rows(
        f"SELECT {columns}{_CALLS} AND {_COUNTED} AND {_KNOWN}"
        " ORDER BY (SELECT ordinal FROM task WHERE task.task_id = usage.task_id), usage_id",
        ended.bound(),
    )
    # Many calls of a run begin alike.
    read = lru_cache(maxsize=64)(_prefix)
    return fresh_tokens([CallFacts._make((*values(row)[:-1], read(row["prefix"]))) for row in rows])


def _prefix(text: str | None) -> tuple[tuple[int, str], ...]:
    return tuple((size, digest) for size, digest in json.loads(text)) if text else ()


async def _cancelled(tx: Connection, ended: EndedRun) -> int:
    row = await tx.row(
        "SELECT COUNT(*) AS n FROM event WHERE run_id = :run_id AND kind = 'task.cancelled'"
        " AND at_ns > :since AND at_ns <= :until",
        ended.bound(),
    )
    assert row is not None, "an aggregate gives a row"
    return int(row["n"])


async def _places(tx: Connection, ended: EndedRun) -> int | None:
    """The most tasks that agents, roles and backend allowed at once: one in a solo run; in a specialized swarm no more
    than it had agents of the roles the run's tasks want."""
    row = await tx.row(
        "SELECT CASE WHEN run.shape = 'solo' THEN 1 WHEN swarm.strategy = 'specialized' THEN"
        "   MIN(run.places, MAX(1, (SELECT COUNT(*) FROM agent WHERE agent.swarm_id = run.swarm_id"
        "     AND agent.created_ns <= :until AND (agent.left_ns IS NULL OR agent.left_ns > :since)"
        "     AND agent.role IN (SELECT role FROM task WHERE task.run_id = run.run_id))))"
        " ELSE run.places END AS places"
        " FROM run LEFT JOIN swarm ON swarm.swarm_id = run.swarm_id WHERE run.run_id = :run_id",
        ended.bound(),
    )
    return row["places"] if row else None


async def _durations(tx: Connection, ended: EndedRun, attempts: Row) -> Durations:
    """Those of attempts, which the row has, and the latencies of messages that arrived."""
    messages = await tx.rows(
        "SELECT kind, group_concat(MAX(0, received_ns - sent_ns)) AS latencies FROM message WHERE run_id = :run_id"
        " AND hop = hops AND kind IN ('data_transfer', 'coordination') AND received_ns > :since"
        " AND received_ns <= :until GROUP BY kind",
        ended.bound(),
    )
    latencies = {LATENCY_OF[row["kind"]]: row["latencies"] for row in messages}
    return Durations(
        **{name: _listed(attempts[name]) for name in _OF_ATTEMPTS},
        transfers=_listed(latencies.get("transfers")),
        coordinations=_listed(latencies.get("coordinations")),
    )


_OF_ATTEMPTS = ("waits", "execs", "overheads", "assignments", "updates", "errors")


def _listed(text: str | None) -> "array[int]":
    return array("q", map(int, text.split(","))) if text else array("q")

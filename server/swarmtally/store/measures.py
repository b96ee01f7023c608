"""The measures that are kept of runs that ended, and the rows of runs that go on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from swarmtally.domain.measures import (
    DURATIONS,
    AttemptFacts,
    MessageFacts,
    RunSums,
    packed,
)
from swarmtally.domain.run import RunKind
from swarmtally.store.connection import Connection, Row, as_json, values
from swarmtally.store.run_sums import EndedRun


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose rows are meant, and which: those of (`since_ns`, `until_ns`] of a project, or of one of its swarms."""

    project: str
    swarm_id: str | None
    since_ns: int
    until_ns: int

    def bound(self) -> dict[str, Any]:
        return {
            "project": self.project,
            "swarm_id": self.swarm_id,
            "since": self.since_ns,
            "until": self.until_ns,
            "calibration": RunKind.CALIBRATION,
        }


# As the partial index run_unmeasured has it, word for word.
_UNMEASURED = "finished_ns IS NOT NULL AND (measured_ns IS NULL OR measured_ns <> finished_ns)"


async def unmeasured(tx: Connection, limit: int, run_id: str | None = None) -> list[EndedRun]:
    """Runs of any project (or that one run) that ended and whose end has no measure, the first to end first."""
    rows = await tx.rows(
        "SELECT run_id, finished_ns, COALESCE((SELECT MAX(ended_ns) FROM run_measure"
        " WHERE run_measure.run_id = run.run_id), 0) AS since FROM run"
        f" WHERE {_UNMEASURED} AND (:run_id IS NULL OR run_id = :run_id) ORDER BY finished_ns LIMIT :limit",
        {"limit": limit, "run_id": run_id},
    )
    return [EndedRun(row["run_id"], row["finished_ns"], row["since"]) for row in rows]


_ATTEMPT = ", ".join(f"attempt.{name}" for name in AttemptFacts._fields)


async def insert(tx: Connection, ended: EndedRun, sums: RunSums) -> None:
    """Keep the measure of a run's end; nothing when another process was faster, or the run has been retried since."""
    columns = [name for name in RunSums.__slots__ if name != "durations"]
    blobs = {name: packed(getattr(sums.durations, name)) for name in DURATIONS}
    names = [*columns, *DURATIONS]
    await tx.rows(
        f"INSERT OR IGNORE INTO run_measure (run_id, ended_ns, project, swarm_id, kind, status, backend, model,"
        f" {', '.join(names)})"
        # As the calls were recorded: that is what lone calls are found by.
        " SELECT run_id, :ended_ns, project, swarm_id, kind, status,"
        " COALESCE((SELECT backend FROM usage WHERE usage.run_id = run.run_id LIMIT 1), run.backend ->> 'name'),"
        " COALESCE((SELECT model FROM usage WHERE usage.run_id = run.run_id LIMIT 1), run.backend ->> 'model'),"
        f" {', '.join(f':{name}' for name in names)}"
        " FROM run WHERE run_id = :run_id AND finished_ns = :ended_ns",
        {
            "run_id": ended.run_id,
            "ended_ns": ended.ended_ns,
            **{name: getattr(sums, name) for name in columns},
            **blobs,
        },
    )
    await tx.rows(
        "UPDATE run SET measured_ns = finished_ns WHERE run_id = :run_id AND finished_ns = :ended_ns",
        {"run_id": ended.run_id, "ended_ns": ended.ended_ns},
    )


_OF = (
    " FROM run_measure WHERE project = :project AND (:swarm_id IS NULL OR swarm_id = :swarm_id)"
    " AND kind <> :calibration AND ended_ns > :since AND begun_ns <= :until"
)

COUNTS = "makespan_ns > 0 AND status <> 'cancelled'"
"""Whether a run's makespan says anything: somebody cancelled the others."""


def _segment(moment: str, than: str, edges: Sequence[int]) -> str:
    """How many of `edges`, whole numbers in ascending order, lie before a moment: `than` is > or >=."""
    return "(" + " + ".join(f"({moment} {than} {edge:d})" for edge in edges) + ")"


async def straddling(tx: Connection, asked: Asked, edges: Sequence[int]) -> list[str]:
    """The runs of which a stretch that reaches into the time asked for begins before one of `edges` and ends after."""
    rows = await tx.rows(
        f"SELECT DISTINCT run_id{_OF} AND {_segment('begun_ns', '>=', edges)} < {_segment('ended_ns', '>', edges)}",
        asked.bound(),
    )
    return [row["run_id"] for row in rows]


async def tallies(tx: Connection, asked: Asked, edges: Sequence[int], without: Sequence[str]) -> list[Row]:
    """Sums of the measures of stretches that reach into the time asked for, by the segment between `edges` in which
    they ended (segment 1 begins after the first edge), by swarm, backend and model, and by three questions: whether
    their rows are not taken themselves (runs in `without`), whether their makespan counts, whether all calls are known.
    """
    return await tx.rows(
        f"SELECT {_segment('ended_ns', '>', edges)} AS segment, swarm_id, backend, model,"
        " run_id NOT IN (SELECT value FROM json_each(:without)) AS whole,"
        f" IFNULL({COUNTS}, 0) AS counts, calls > 0 AND calls_unknown = 0 AS known, COUNT(*) AS runs,"
        " SUM(succeeded) AS succeeded, SUM(failed) AS failed, SUM(cancelled) AS cancelled, SUM(attempts) AS attempts,"
        " SUM(results) AS results, SUM(retried) AS retried, TOTAL(busy_ns) AS busy_ns, TOTAL(work_ns) AS work_ns,"
        # No schedule is shorter: the work over all places, or the longest dependent chain.
        " TOTAL(MAX(1.0 * work_ns / MAX(1, IFNULL(places, 1)), critical_path_ns)) AS bound_ns,"
        " TOTAL(makespan_ns) AS makespan_ns, SUM(calls) AS calls, SUM(fresh_tokens) AS fresh_tokens,"
        " SUM(output_tokens) AS output_tokens, COUNT(separate_tokens) AS compared,"
        " IFNULL(SUM(raw_tokens), 0) AS raw_tokens, TOTAL(separate_tokens) AS separate_tokens"
        f"{_OF} AND ended_ns <= :until GROUP BY 1, 2, 3, 4, 5, 6, 7",
        {**asked.bound(), "without": as_json(without)},
    )


LISTED = ("makespan_ns", "work_ns", "critical_path_ns")
"""What medians over runs are taken of."""


async def listed(tx: Connection, asked: Asked) -> Row:
    """All values of `LISTED` of runs that ended in the time asked for and count: texts, comma between; None: none."""
    row = await tx.row(
        f"SELECT {', '.join(f'group_concat({name}) AS {name}' for name in LISTED)}{_OF}"
        f" AND ended_ns <= :until AND {COUNTS}",
        asked.bound(),
    )
    assert row is not None, "an aggregate gives a row"
    return row


async def durations(tx: Connection, asked: Asked, without: Sequence[str]) -> list[Row]:
    """The packed durations of stretches that lie wholly in the time asked for, but for those of some runs."""
    return await tx.rows(
        f"SELECT {', '.join(DURATIONS)}{_OF} AND begun_ns >= :since AND ended_ns <= :until"
        " AND run_id NOT IN (SELECT value FROM json_each(:without))",
        {**asked.bound(), "without": as_json(without)},
    )


async def under_way(tx: Connection, asked: Asked) -> list[str]:
    """Runs whose last stretch has not been measured: they had begun by `until_ns` and go on, or have just ended."""
    rows = await tx.rows(
        "SELECT run_id FROM run WHERE project = :project AND (:swarm_id IS NULL OR swarm_id = :swarm_id)"
        " AND kind <> :calibration AND created_ns <= :until AND finished_ns IS NULL"
        " UNION SELECT run_id FROM run WHERE project = :project AND (:swarm_id IS NULL OR swarm_id = :swarm_id)"
        f" AND kind <> :calibration AND created_ns <= :until AND {_UNMEASURED}",
        asked.bound(),
    )
    return [row["run_id"] for row in rows]


@dataclass(frozen=True, slots=True)
class RawRows:
    """Rows of some runs, not summed up. `cancelled` are the times at which tasks were cancelled."""

    attempts: tuple[tuple[str, AttemptFacts], ...]
    """With the swarm of each."""
    messages: tuple[MessageFacts, ...]
    cancelled: tuple[int, ...]


async def raw(tx: Connection, run_ids: Sequence[str]) -> RawRows:
    """All attempts, messages and cancellations of `run_ids`."""
    bound = {"ids": as_json(run_ids)}
    attempts = await tx.rows(
        f"SELECT {_ATTEMPT}, run.swarm_id FROM run JOIN task ON task.run_id = run.run_id"
        " JOIN attempt ON attempt.task_id = task.task_id WHERE run.run_id IN (SELECT value FROM json_each(:ids))",
        bound,
    )
    messages = await tx.rows(
        "SELECT kind, sent_ns, received_ns FROM message WHERE run_id IN (SELECT value FROM json_each(:ids))"
        " AND hop = hops AND kind IN ('data_transfer', 'coordination')",
        bound,
    )
    cancelled = await tx.rows(
        "SELECT at_ns FROM event WHERE run_id IN (SELECT value FROM json_each(:ids)) AND kind = 'task.cancelled'",
        bound,
    )
    return RawRows(
        tuple((row["swarm_id"], AttemptFacts._make(values(row)[:-1])) for row in attempts),
        tuple(MessageFacts(row["kind"], row["sent_ns"], row["received_ns"]) for row in messages),
        tuple(row["at_ns"] for row in cancelled),
    )


async def alive_ns(tx: Connection, asked: Asked) -> tuple[int, set[str]]:
    """How long the agents of the swarms there are were in them within the time asked for, all added up; the swarms."""
    rows = await tx.rows(
        "SELECT swarm.swarm_id, SUM(MAX(0, MIN(COALESCE(left_ns, :until), :until) - MAX(agent.created_ns, :since)))"
        " AS alive FROM swarm LEFT JOIN agent ON agent.swarm_id = swarm.swarm_id"
        " WHERE project = :project AND (:swarm_id IS NULL OR swarm.swarm_id = :swarm_id) GROUP BY swarm.swarm_id",
        asked.bound(),
    )
    return sum(row["alive"] or 0 for row in rows), {row["swarm_id"] for row in rows}


async def lone_calls(tx: Connection, asked: Asked, backend: str, model: str, limit: int) -> list[Row]:
    """The newest calls of the project (of the swarm, and calibration's) that ran alone, oldest first: uncached,
    output_tokens, exec_ns."""
    rows = await tx.rows(
        "SELECT closed_ns, MAX(0, input_tokens - COALESCE(cache_read_tokens, 0)) AS uncached, output_tokens,"
        " usage.exec_ns FROM usage INDEXED BY usage_alone JOIN run ON run.run_id = usage.run_id"
        " WHERE usage.backend = :backend AND usage.model = :model AND alone = 1 AND closed_ns <= :until"
        " AND usage.status = 'reported' AND project = :project"
        " AND (:swarm_id IS NULL OR swarm_id = :swarm_id OR kind = :calibration)"
        " ORDER BY closed_ns DESC LIMIT :limit",
        {**asked.bound(), "backend": backend, "model": model, "limit": limit},
    )
    return rows[::-1]


async def called(tx: Connection, run_id: str) -> tuple[str, str] | None:
    """The backend and model of the run's calls; None while it has made none."""
    row = await tx.row("SELECT backend, model FROM usage WHERE run_id = :run_id LIMIT 1", {"run_id": run_id})
    return (row["backend"], row["model"]) if row else None


# Of systems that do not tell something its time does not count either: a mean is over what was seen.
_MEAN = ("cpu_ns", "read_bytes", "written_bytes", "net_sent_bytes", "net_received_bytes")


async def resources(tx: Connection, asked: Asked) -> Row:
    """What the processes of the project used while they executed runs: n, sums, extremes, and of what some systems do
    not tell the rate, per nanosecond."""
    row = await tx.row(
        "SELECT COUNT(*) AS n, COUNT(DISTINCT owner) AS processes, TOTAL(interval_ns) AS interval_ns,"
        + "".join(f" TOTAL({name}) / SUM(IIF({name} IS NULL, 0, interval_ns)) AS {name}," for name in _MEAN)
        + " MAX(rss_bytes) AS rss_bytes, SUM(store_ns) AS store_ns, SUM(scheduling_ns) AS scheduling_ns,"
        " SUM(backends_ns) AS backends_ns, SUM(rest_ns) AS rest_ns, SUM(lock_wait_ns) AS lock_wait_ns,"
        " MAX(lag_ns) AS lag_ns"
        " FROM resource_sample WHERE project = :project AND at_ns > :since AND at_ns <= :until",
        asked.bound(),
    )
    assert row is not None, "an aggregate gives a row"
    return row


async def forgotten(tx: Connection, asked: Asked) -> dict[str, int]:
    """Up to when rows asked for may be gone, by what they were: runs, messages, samples."""
    rows = await tx.rows(
        "SELECT what, MAX(until_ns) AS until_ns FROM forgotten WHERE project = :project"
        " AND (:swarm_id IS NULL OR swarm_id IN ('', :swarm_id)) GROUP BY what",
        asked.bound(),
    )
    return {row["what"]: row["until_ns"] for row in rows}


async def newest_runs(tx: Connection, asked: Asked, limit: int) -> list[Row]:
    """The runs that ended last in the time asked for, with their measures."""
    return await tx.rows(
        "SELECT run.kind AS kind, run.task AS task, run_measure.run_id, run_measure.ended_ns, run_measure.begun_ns,"
        " run_measure.status, succeeded, failed, cancelled, makespan_ns, work_ns, critical_path_ns,"
        " run_measure.places, run_measure.model"
        " FROM run_measure JOIN run ON run.run_id = run_measure.run_id WHERE run_measure.project = :project"
        " AND (:swarm_id IS NULL OR run_measure.swarm_id = :swarm_id) AND run_measure.kind <> :calibration"
        " AND ended_ns > :since AND ended_ns <= :until ORDER BY ended_ns DESC, run_measure.run_id LIMIT :limit",
        {**asked.bound(), "limit": limit},
    )


async def timeline(tx: Connection, run_id: str, until_ns: int, limit: int) -> list[Row]:
    """The final attempts of the run's tasks up to `until_ns`, in the order they were claimed: key, role, claimed_ns,
    committed_ns, exec_ns, status."""
    return await tx.rows(
        "SELECT key, role, claimed_ns, committed_ns, exec_ns, attempt.status FROM task"
        " JOIN attempt ON attempt.task_id = task.task_id WHERE run_id = :run_id AND final"
        " AND committed_ns <= :until ORDER BY claimed_ns, ordinal LIMIT :limit",
        {"run_id": run_id, "until": until_ns, "limit": limit},
    )

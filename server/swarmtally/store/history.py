"""What was recorded of runs, as their analysis reads it: tasks, attempts, agents, halts, resource samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmtally.domain.run import Run
from swarmtally.domain.swarm import Agent, Swarm
from swarmtally.domain.task import Task
from swarmtally.domain.timeframe import Timeframe
from swarmtally.store.connection import Connection, as_json


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A run with what its backend and swarm allowed when it began; None where that was not recorded."""

    run: Run
    max_parallel: int | None
    bound: str | None
    places: int | None
    tasks: int

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "RecordedRun":
        return cls(Run.from_row(row), row["max_parallel"], row["bound"], row["places"], row["tasks"])


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt as it stood at the end of the timeframe: what came later is None."""

    task_id: str
    number: int
    agent_id: str
    status: str
    ready_ns: int | None
    claimed_ns: int
    started_ns: int | None
    ended_ns: int | None
    committed_ns: int | None
    exec_ns: int | None
    expires_ns: int | None
    cause: str | None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Attempt":
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True, slots=True)
class Membership:
    """An agent and how long it was in its swarm."""

    agent: Agent
    joined: int
    left_ns: int | None


@dataclass(frozen=True, slots=True)
class History:
    """Some runs and all that belongs to them."""

    runs: tuple[RecordedRun, ...]
    total: int
    """Runs of the timeframe, also those left out."""
    swarms: Mapping[str, Swarm]
    memberships: Mapping[str, tuple[Membership, ...]]
    """Of each swarm, in joining order."""
    tasks: Mapping[str, tuple[Task, ...]]
    """Of each run, in order; without their texts."""
    dependencies: tuple[tuple[str, str], ...]
    """(task, what it waits for)."""
    attempts: Mapping[str, tuple[Attempt, ...]]
    """Of each task, in order."""
    halts: Mapping[str, tuple[tuple[int, int], ...]]
    """Of each run, when it was paused or had no process."""


_MEANT = (
    " FROM run WHERE project = :project AND kind <> 'calibration' AND (:swarm IS NULL OR swarm_id = :swarm)"
    " AND started_ns <= :until AND (finished_ns BETWEEN :since AND :until OR"
    "   ((finished_ns IS NULL OR finished_ns > :until) AND EXISTS"
    "     (SELECT 1 FROM task JOIN attempt ON attempt.task_id = task.task_id WHERE task.run_id = run.run_id"
    "      AND claimed_ns <= :until AND (committed_ns IS NULL OR committed_ns >= :since))))"
)


async def of_runs(
    tx: Connection, project: str, swarm_id: str | None, timeframe: Timeframe, most_runs: int, most_tasks: int
) -> History:
    """The newest runs of the timeframe, those under way at its end first: at most `most_runs` of together at most
    `most_tasks` tasks, but always one."""
    asked = {
        "project": project,
        "swarm": swarm_id,
        "since": timeframe.since_ns,
        "until": timeframe.until_ns,
        "limit": most_runs,
    }
    counted = await tx.row(f"SELECT COUNT(*) AS n{_MEANT}", asked)
    rows = await tx.rows(
        "SELECT run.*, (SELECT COUNT(*) FROM task WHERE task.run_id = run.run_id) AS tasks"
        f"{_MEANT} ORDER BY finished_ns BETWEEN 0 AND :until, finished_ns DESC, run_id LIMIT :limit",
        asked,
    )
    runs = _within([RecordedRun.from_row(row) for row in rows], most_tasks)
    ids = {"ids": as_json([recorded.run.run_id for recorded in runs]), "until": timeframe.until_ns}
    swarms = {"swarms": as_json(sorted({recorded.run.swarm_id for recorded in runs})), "until": timeframe.until_ns}
    return History(
        runs=tuple(runs),
        total=counted["n"] if counted else 0,
        swarms=await _swarms(tx, swarms),
        memberships=await _memberships(tx, swarms),
        tasks=await _tasks(tx, ids),
        dependencies=await _dependencies(tx, ids),
        attempts=await _attempts(tx, ids),
        halts=await _halts(tx, ids),
    )


def _within(runs: Sequence[RecordedRun], most_tasks: int) -> list[RecordedRun]:
    taken: list[RecordedRun] = []
    for recorded in runs:
        if taken and sum(each.tasks for each in taken) + recorded.tasks > most_tasks:
            break
        taken.append(recorded)
    return taken


_OF_RUNS = "run_id IN (SELECT value FROM json_each(:ids))"
_OF_SWARMS = "swarm_id IN (SELECT value FROM json_each(:swarms))"


async def _swarms(tx: Connection, asked: Mapping[str, Any]) -> dict[str, Swarm]:
    rows = await tx.rows(f"SELECT * FROM swarm WHERE {_OF_SWARMS}", asked)
    return {row["swarm_id"]: Swarm.from_row(row) for row in rows}


async def _memberships(tx: Connection, asked: Mapping[str, Any]) -> dict[str, tuple[Membership, ...]]:
    rows = await tx.rows(
        f"SELECT * FROM agent WHERE {_OF_SWARMS} AND created_ns <= :until ORDER BY swarm_id, joined", asked
    )
    found: dict[str, list[Membership]] = {}
    for row in rows:
        found.setdefault(row["swarm_id"], []).append(Membership(Agent.from_row(row), row["joined"], row["left_ns"]))
    return {swarm_id: tuple(members) for swarm_id, members in found.items()}


async def _tasks(tx: Connection, asked: Mapping[str, Any]) -> dict[str, tuple[Task, ...]]:
    # Texts may be long, and no figure needs them.
    rows = await tx.rows(
        "SELECT task_id, run_id, ordinal, key, phase, mode, role, '' AS text, priority, remaining_path, place,"
        " tolerates_failure, expands, hub, status, pending, attempts, not_before_ns, agent_id, created_ns, ready_ns,"
        f" finished_ns, error FROM task WHERE {_OF_RUNS} ORDER BY run_id, ordinal",
        asked,
    )
    found: dict[str, list[Task]] = {}
    for row in rows:
        found.setdefault(row["run_id"], []).append(Task.from_row(row))
    return {run_id: tuple(tasks) for run_id, tasks in found.items()}


async def _dependencies(tx: Connection, asked: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    rows = await tx.rows(
        "SELECT dependency.task_id, depends_on FROM task JOIN dependency ON dependency.task_id = task.task_id"
        f" WHERE {_OF_RUNS} ORDER BY dependency.task_id, depends_on",
        asked,
    )
    return tuple((row["task_id"], row["depends_on"]) for row in rows)


def _as_of(column: str) -> str:
    return f"CASE WHEN committed_ns <= :until THEN {column} END AS {column}"


async def _attempts(tx: Connection, asked: Mapping[str, Any]) -> dict[str, tuple[Attempt, ...]]:
    rows = await tx.rows(
        "SELECT attempt.task_id, number, attempt.agent_id,"
        " CASE WHEN committed_ns <= :until OR attempt.status = 'expired' THEN attempt.status ELSE 'running' END"
        " AS status, attempt.ready_ns, claimed_ns, expires_ns, "
        + ", ".join(map(_as_of, ("started_ns", "ended_ns", "committed_ns", "exec_ns", "cause")))
        + " FROM task JOIN attempt ON attempt.task_id = task.task_id"
        f" WHERE {_OF_RUNS} AND claimed_ns <= :until ORDER BY attempt.task_id, number",
        asked,
    )
    found: dict[str, list[Attempt]] = {}
    for row in rows:
        found.setdefault(row["task_id"], []).append(Attempt.from_row(row))
    return {task_id: tuple(attempts) for task_id, attempts in found.items()}


async def attempts_of_run(tx: Connection, run_id: str, until_ns: int) -> dict[str, tuple[Attempt, ...]]:
    """The run's attempts by task, as they stood then."""
    return await _attempts(tx, {"ids": as_json([run_id]), "until": until_ns})


_STOPS = ("run.paused", "run.interrupted", "run.let_go")
_GOES_ON = ("run.unpaused", "run.resumed")


async def _halts(tx: Connection, asked: Mapping[str, Any]) -> dict[str, tuple[tuple[int, int], ...]]:
    rows = await tx.rows(
        f"SELECT run_id, kind, at_ns FROM event WHERE {_OF_RUNS} AND at_ns <= :until"
        " AND kind IN (SELECT value FROM json_each(:kinds)) ORDER BY event_id",
        {**asked, "kinds": as_json([*_STOPS, *_GOES_ON])},
    )
    found: dict[str, list[tuple[int, int]]] = {}
    since: dict[str, int] = {}
    for row in rows:
        run_id = row["run_id"]
        if row["kind"] in _STOPS:
            since.setdefault(run_id, row["at_ns"])
        elif run_id in since:
            found.setdefault(run_id, []).append((since.pop(run_id), row["at_ns"]))
    for run_id, begin_ns in since.items():
        found.setdefault(run_id, []).append((begin_ns, asked["until"]))
    return {run_id: tuple(spells) for run_id, spells in found.items()}


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process used in the interval that ended at `at_ns`; None: the system does not tell."""

    at_ns: int
    owner: str
    interval_ns: int
    cpu_ns: int | None
    rss_bytes: int | None
    net_bytes: int | None
    """Sent and received, of the whole machine."""
    memory_stall_ns: int | None
    lock_wait_ns: int | None


SAMPLES_LIMIT = 100_000
"""More than a day of one process."""


async def samples(tx: Connection, project: str, timeframe: Timeframe) -> list[Sample]:
    """The samples of the project's processes in the timeframe, oldest first; the newest `SAMPLES_LIMIT`."""
    rows = await tx.rows(
        "SELECT at_ns, owner, interval_ns, cpu_ns, rss_bytes, net_sent_bytes + net_received_bytes AS net_bytes,"
        " memory_stall_ns, lock_wait_ns FROM resource_sample"
        " WHERE project = :project AND at_ns BETWEEN :since AND :until"
        " ORDER BY at_ns DESC, sample_id DESC LIMIT :limit",
        {"project": project, "since": timeframe.since_ns, "until": timeframe.until_ns, "limit": SAMPLES_LIMIT},
    )
    return [Sample(**{name: row[name] for name in Sample.__dataclass_fields__}) for row in reversed(rows)]

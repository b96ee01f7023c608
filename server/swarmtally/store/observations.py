"""What runs and tasks that ended took, with what they were: the rows that models are trained on."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.run import RunKind
from swarmtally.domain.timeframe import Timeframe
from swarmtally.store.connection import Connection, Row, as_json

TEXT_LIMIT = 2_000
"""The most that is read of a task's text, in characters."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A task or a run that ended; None where that was not recorded or cannot be told any more.

    Of a task it is about an attempt that ended it (a retried one ends again): `duration_s` is its exec, `tokens` those
    of its calls, `prompt_bytes` the first call's. Of a run it is about what came before it ended first: `duration_s`
    is its makespan, `mode` its kind, `prompt_bytes` the size of its task and shared context.
    """

    at_ns: int
    level: str
    duration_s: float
    success: bool
    tokens: int | None
    """Input and output."""
    mode: str
    topology: str | None
    strategy: str | None
    backend: str | None
    model: str | None
    agents: int | None
    """That were in the swarm: when the task was claimed, or at any time of the run."""
    concurrency: int | None
    prompt_bytes: int | None
    tasks: int
    """Of the run."""
    text: str
    run_id: str


_USED = (
    "(SELECT CASE WHEN COUNT(*) = COUNT(input_tokens + output_tokens) THEN SUM(input_tokens + output_tokens) END"
    " FROM usage WHERE usage.run_id = run.run_id"
)
"""Tokens of calls; NULL where those of one of them are not known."""

_OF_RUN = (
    "run.run_id, run.swarm_id, COALESCE(run.shape, swarm.topology) AS topology, swarm.strategy,"
    " run.backend ->> 'name' AS backend, run.backend ->> 'model' AS model, run.max_parallel AS concurrency"
)


_TASK = (
    "attempt.committed_ns AS at_ns, attempt.claimed_ns AS since_ns, attempt.claimed_ns AS until_ns,"
    " attempt.exec_ns AS took_ns, attempt.status = 'succeeded' AS success, task.mode,"
    f" substr(task.text, 1, {TEXT_LIMIT}) AS text, {_OF_RUN},"
    f" {_USED} AND usage.task_id = task.task_id AND usage.number = attempt.number) AS tokens,"
    " (SELECT prompt_bytes FROM usage WHERE usage.run_id = run.run_id AND usage.task_id = task.task_id"
    "  AND usage.number = attempt.number ORDER BY usage_id LIMIT 1) AS prompt_bytes,"
    " (SELECT MAX(ordinal) + 1 FROM task AS other WHERE other.run_id = run.run_id) AS tasks"
)

_TASKS_ENDED = (
    # CROSS JOIN keeps this order of loops: runs by their index, newest first, until there are enough.
    " CROSS JOIN task ON task.run_id = run.run_id"
    " CROSS JOIN attempt ON attempt.task_id = task.task_id AND attempt.final"
    "  AND attempt.status IN ('succeeded', 'failed')"
    " WHERE run.project = :project AND run.kind <> :calibration AND attempt.exec_ns > 0"
    " AND attempt.committed_ns BETWEEN :since AND :until"
    " ORDER BY run.created_ns DESC, run.run_id DESC, task.ordinal DESC LIMIT :limit"
)

_RUN = (
    "run_measure.ended_ns AS at_ns, run_measure.begun_ns AS since_ns, run_measure.ended_ns AS until_ns,"
    " run_measure.makespan_ns AS took_ns, run_measure.status = 'succeeded' AS success, run.kind AS mode,"
    f" substr(run.task, 1, {TEXT_LIMIT}) AS text, {_OF_RUN},"
    f" {_USED} AND usage.opened_ns <= run_measure.ended_ns) AS tokens,"
    " LENGTH(CAST(run.task AS BLOB)) + LENGTH(CAST(run.context AS BLOB)) AS prompt_bytes,"
    " run_measure.succeeded + run_measure.failed + run_measure.cancelled AS tasks"
)

_RUNS_ENDED = (
    " WHERE run_measure.project = :project AND run_measure.kind <> :calibration AND makespan_ns > 0"
    " AND run_measure.status IN ('succeeded', 'failed') AND run_measure.ended_ns BETWEEN :since AND :until"
    " AND NOT EXISTS (SELECT 1 FROM run_measure AS earlier WHERE earlier.run_id = run_measure.run_id"
    "                 AND earlier.ended_ns < run_measure.ended_ns)"
    " ORDER BY run_measure.ended_ns DESC, run_measure.run_id DESC LIMIT :limit"
)


async def of_tasks(tx: Connection, project: str, timeframe: Timeframe, limit: int) -> list[Observation]:
    """The project's tasks that succeeded or failed in the timeframe, those of the newest runs first; calibrations left
    out."""
    rows = await tx.rows(
        f"SELECT {_TASK} FROM run LEFT JOIN swarm ON swarm.swarm_id = run.swarm_id{_TASKS_ENDED}",
        _bound(project, timeframe, limit),
    )
    return await _observed(tx, "task", rows, {})


async def of_runs(tx: Connection, project: str, timeframe: Timeframe, limit: int) -> list[Observation]:
    """The project's runs that succeeded or failed in the timeframe, the newest first, each as it ended first; what
    somebody cancelled says nothing. They must have been measured."""
    rows = await tx.rows(
        f"SELECT {_RUN} FROM run_measure JOIN run ON run.run_id = run_measure.run_id"
        f" LEFT JOIN swarm ON swarm.swarm_id = run.swarm_id{_RUNS_ENDED}",
        _bound(project, timeframe, limit),
    )
    return await _observed(tx, "run", rows, {})


async def pages(
    tx: Connection, project: str, levels: Sequence[str], timeframe: Timeframe, limit: int, size: int
) -> list[str]:
    """Where to find what `of_tasks` and `of_runs` find, of the `levels` named: pages of so many, oldest first (of the
    same moment tasks first, those of newer runs before those of older ones). A page is text for `of_page`, so that
    however many rows there are they are few objects."""
    rows = await tx.rows(
        "WITH"
        " ended_task AS (SELECT attempt.committed_ns AS at_ns, 'task' AS level, task.task_id AS id, number,"
        f"  run.created_ns AS since_ns, run.run_id, ordinal FROM run{_TASKS_ENDED}),"
        " ended_run AS (SELECT run_measure.ended_ns AS at_ns, 'run' AS level, run.run_id AS id,"
        "  run_measure.ended_ns AS number, run_measure.ended_ns AS since_ns, run.run_id, 0 AS ordinal"
        f"  FROM run_measure JOIN run ON run.run_id = run_measure.run_id{_RUNS_ENDED}),"
        " ended AS (SELECT * FROM ended_task WHERE :tasks UNION ALL SELECT * FROM ended_run WHERE :runs),"
        " placed AS (SELECT level, id, number, ROW_NUMBER() OVER (ORDER BY at_ns, level = 'run', since_ns DESC,"
        "  run_id DESC, ordinal DESC, number) - 1 AS place FROM ended)"
        " SELECT json_group_array(json_array(place, level, id, number)) AS page FROM placed"
        " GROUP BY place / :size ORDER BY place / :size",
        {**_bound(project, timeframe, limit), "tasks": "task" in levels, "runs": "run" in levels, "size": size},
    )
    return [row["page"] for row in rows]


async def of_page(tx: Connection, page: str, presences: "dict[str, Presence]") -> list[Observation]:
    """What a page of `pages` stands for, in its order; what was deleted since is missing.

    Args:
        presences: of swarms, by id, as far as pages before this one needed them; those of this one are added.
    """
    wanted = (
        "WITH wanted AS MATERIALIZED (SELECT value ->> 0 AS place, value ->> 2 AS id, value ->> 3 AS number"
        " FROM json_each(:page) WHERE value ->> 1 = :level)"
    )
    tasks = await tx.rows(
        f"{wanted} SELECT wanted.place, {_TASK} FROM wanted"
        " CROSS JOIN attempt ON attempt.task_id = wanted.id AND attempt.number = wanted.number"
        " CROSS JOIN task ON task.task_id = wanted.id CROSS JOIN run ON run.run_id = task.run_id"
        " LEFT JOIN swarm ON swarm.swarm_id = run.swarm_id",
        {"page": page, "level": "task"},
    )
    runs = await tx.rows(
        f"{wanted} SELECT wanted.place, {_RUN} FROM wanted"
        " CROSS JOIN run_measure ON run_measure.run_id = wanted.id AND run_measure.ended_ns = wanted.number"
        " CROSS JOIN run ON run.run_id = wanted.id LEFT JOIN swarm ON swarm.swarm_id = run.swarm_id",
        {"page": page, "level": "run"},
    )
    found = [*await _observed(tx, "task", tasks, presences), *await _observed(tx, "run", runs, presences)]
    places = [row["place"] for row in (*tasks, *runs)]
    return [found[at] for at in sorted(range(len(places)), key=places.__getitem__)]


def _bound(project: str, timeframe: Timeframe, limit: int) -> dict[str, Any]:
    return {
        "project": project,
        "calibration": RunKind.CALIBRATION,
        "since": timeframe.since_ns,
        "until": timeframe.until_ns,
        "limit": limit,
    }


async def _observed(
    tx: Connection, level: str, rows: Sequence[Row], presences: "dict[str, Presence]"
) -> list[Observation]:
    presences.update(await _presences(tx, sorted({row["swarm_id"] for row in rows} - presences.keys())))
    return [_observation(level, row, presences.get(row["swarm_id"])) for row in rows]


def _observation(level: str, row: Row, presence: "Presence | None") -> Observation:
    return Observation(
        at_ns=row["at_ns"],
        level=level,
        duration_s=row["took_ns"] / NS_PER_S,
        success=bool(row["success"]),
        tokens=row["tokens"],
        mode=row["mode"],
        topology=row["topology"],
        strategy=row["strategy"],
        backend=row["backend"],
        model=row["model"],
        # Agents that were deleted with their swarm are not known; nobody worked without any.
        agents=(presence.during(row["since_ns"], row["until_ns"]) or None) if presence else None,
        concurrency=row["concurrency"],
        prompt_bytes=row["prompt_bytes"],
        tasks=row["tasks"],
        text=row["text"],
        run_id=row["run_id"],
    )


@dataclass(frozen=True, slots=True)
class Presence:
    """When a swarm's agents joined and left, ascending."""

    joined_ns: Sequence[int]
    left_ns: Sequence[int]

    def during(self, since_ns: int, until_ns: int) -> int:
        """How many were in the swarm at some time from `since_ns` to `until_ns`."""
        return bisect_right(self.joined_ns, until_ns) - bisect_left(self.left_ns, since_ns)


async def _presences(tx: Connection, swarm_ids: Sequence[str]) -> Mapping[str, Presence]:
    rows = await tx.rows(
        "SELECT swarm_id, created_ns, left_ns FROM agent WHERE swarm_id IN (SELECT value FROM json_each(:ids))",
        {"ids": as_json(swarm_ids)},
    )
    joined: dict[str, list[int]] = {}
    left: dict[str, list[int]] = {}
    for row in rows:
        joined.setdefault(row["swarm_id"], []).append(row["created_ns"])
        if row["left_ns"] is not None:
            left.setdefault(row["swarm_id"], []).append(row["left_ns"])
    return {swarm_id: Presence(sorted(times), sorted(left.get(swarm_id, ()))) for swarm_id, times in joined.items()}


@dataclass(frozen=True, slots=True)
class Price:
    """What the calls of a model that have a price cost, and the tokens they used."""

    cost_nanousd: int
    tokens: int
    calls: int


async def price(tx: Connection, project: str, model: str | None, timeframe: Timeframe) -> Price | None:
    """Of the project's calls to `model` (None: to any) that were answered in the timeframe; None: none has a price."""
    row = await tx.row(
        "SELECT SUM(cost_nanousd) AS cost_nanousd, SUM(input_tokens + output_tokens) AS tokens, COUNT(*) AS calls"
        " FROM run JOIN usage ON usage.run_id = run.run_id WHERE run.project = :project"
        " AND (:model IS NULL OR usage.model = :model) AND usage.closed_ns BETWEEN :since AND :until"
        " AND cost_nanousd IS NOT NULL AND input_tokens + output_tokens > 0",
        {"project": project, "model": model, "since": timeframe.since_ns, "until": timeframe.until_ns},
    )
    return Price(row["cost_nanousd"], row["tokens"], row["calls"]) if row and row["calls"] else None


@dataclass(frozen=True, slots=True)
class Memory:
    """The most resident memory of 95 % of the samples of processes that executed runs, their children included."""

    rss_bytes: int
    samples: int


async def memory(tx: Connection, project: str) -> Memory | None:
    """Of the project's samples that are kept; None: there are none."""
    row = await tx.row(
        "WITH known AS (SELECT rss_bytes, ROW_NUMBER() OVER (ORDER BY rss_bytes) AS place, COUNT(*) OVER () AS n"
        "  FROM resource_sample WHERE project = :project AND rss_bytes IS NOT NULL)"
        " SELECT rss_bytes, n FROM known WHERE place * 100 >= n * 95 ORDER BY place LIMIT 1",
        {"project": project},
    )
    return Memory(row["rss_bytes"], row["n"]) if row else None

"""What models were given and became, and what was predicted with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from swarmtally.domain.timeframe import Timeframe
from swarmtally.store.connection import Connection, Row
from swarmtally.store.measures import Asked
from swarmtally.store.swarms import ensure_project

VERSIONS_KEPT = 10
"""Of each model the newest."""

GIVEN_KEPT = 100_000
"""Of each model the rows given last."""


class GivenRow(NamedTuple):
    """A row that somebody gave; None where it does not say."""

    line: int
    """From 1: line of the text, element of the list."""
    at_ns: int | None
    level: str
    duration_s: float
    success: bool | None
    tokens: int | None
    mode: str | None
    topology: str | None
    strategy: str | None
    backend: str | None
    model: str | None
    agents: int | None
    concurrency: int | None
    prompt_bytes: int | None
    tasks: int | None
    text: str


_COLUMNS = ", ".join(GivenRow._fields)


async def give(tx: Connection, project: str, model_id: str, batch: str, rows: Sequence[GivenRow], now_ns: int) -> bool:
    """Keep rows given for a model, and forget the oldest of more than `GIVEN_KEPT`; False, and nothing is changed,
    where the same `batch` was given before."""
    asked = {"project": project, "model_id": model_id, "batch": batch, "kept": GIVEN_KEPT}
    before = await tx.row(
        "SELECT 1 FROM given_row WHERE project = :project AND model_id = :model_id AND batch = :batch LIMIT 1", asked
    )
    if before is not None:
        return False
    await ensure_project(tx, project, now_ns)
    await tx.insert(
        f"given_row (project, model_id, batch, given_ns, {_COLUMNS})",
        [(project, model_id, batch, now_ns, *row) for row in rows],
    )
    await tx.rows(
        "DELETE FROM given_row WHERE project = :project AND model_id = :model_id AND given_id <= (SELECT given_id"
        " FROM given_row WHERE project = :project AND model_id = :model_id ORDER BY given_id DESC LIMIT 1"
        " OFFSET :kept)",
        asked,
    )
    return True


async def first_given(tx: Connection, project: str, model_id: str, until_ns: int, limit: int) -> int:
    """Where the rows given for a model until then begin, for `given_after`: with the first, or of more than `limit`
    with the first of the last."""
    row = await tx.row(
        "SELECT MIN(given_id) AS first FROM (SELECT given_id FROM given_row WHERE project = :project"
        " AND model_id = :model_id AND given_ns <= :until ORDER BY given_id DESC LIMIT :limit)",
        {"project": project, "model_id": model_id, "until": until_ns, "limit": limit},
    )
    return (row["first"] or 0) if row else 0


async def given_after(
    tx: Connection, project: str, model_id: str, until_ns: int, begin: int, size: int
) -> tuple[list[GivenRow], int]:
    """The next `size` rows given for a model until then, in the order they were given, and where those after them
    begin."""
    rows = await tx.rows(
        f"SELECT given_id, {_COLUMNS} FROM given_row WHERE project = :project AND model_id = :model_id"
        " AND given_ns <= :until AND given_id >= :begin ORDER BY given_id LIMIT :size",
        {"project": project, "model_id": model_id, "until": until_ns, "begin": begin, "size": size},
    )
    return _given_rows(rows), rows[-1]["given_id"] + 1 if rows else begin


async def given_to_any(tx: Connection, project: str, timeframe: Timeframe, limit: int) -> list[GivenRow]:
    """The rows given for any model until the timeframe's end, in the order they were given; of more than `limit` the
    last. Those given for two models count once, and those that say when they ended only where that lies in the
    timeframe."""
    rows = await tx.rows(
        f"SELECT {_COLUMNS} FROM given_row WHERE project = :project AND given_ns <= :until"
        " AND (at_ns IS NULL OR at_ns BETWEEN :since AND :until)"
        " GROUP BY batch, line ORDER BY MIN(given_id) DESC LIMIT :limit",
        {"project": project, "since": timeframe.since_ns, "until": timeframe.until_ns, "limit": limit},
    )
    return _given_rows(rows[::-1])


def _given_rows(rows: Sequence[Row]) -> list[GivenRow]:
    found = [GivenRow._make(row[name] for name in GivenRow._fields) for row in rows]
    return [row._replace(success=None if row.success is None else bool(row.success)) for row in found]


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model as it was trained; `document` is JSON."""

    model_id: str
    version: int
    trained_ns: int
    pattern: str
    seed: int
    rows_sha256: str
    document: str

    @classmethod
    def from_row(cls, row: Row) -> "StoredModel":
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


async def keep(tx: Connection, project: str, model: StoredModel) -> int:
    """Keep `model` as the next version of its name, and forget all but the newest; returns the version."""
    await ensure_project(tx, project, model.trained_ns)
    row = await tx.row(
        "INSERT INTO model (project, model_id, version, trained_ns, pattern, seed, rows_sha256, document)"
        " SELECT :project, :model_id, COALESCE(MAX(version), 0) + 1, :trained_ns, :pattern, :seed, :rows_sha256,"
        " :document FROM model WHERE project = :project AND model_id = :model_id RETURNING version",
        {
            "project": project,
            "model_id": model.model_id,
            "trained_ns": model.trained_ns,
            "pattern": model.pattern,
            "seed": model.seed,
            "rows_sha256": model.rows_sha256,
            "document": model.document,
        },
    )
    assert row is not None, "an insertion returns its row"
    await tx.rows(
        "DELETE FROM model WHERE project = :project AND model_id = :model_id AND version <= :version - :kept",
        {"project": project, "model_id": model.model_id, "version": row["version"], "kept": VERSIONS_KEPT},
    )
    return int(row["version"])


async def newest(tx: Connection, project: str, model_id: str) -> StoredModel | None:
    """The newest version of a model; None: there is none of that name."""
    row = await tx.row(
        "SELECT * FROM model WHERE project = :project AND model_id = :model_id ORDER BY version DESC LIMIT 1",
        {"project": project, "model_id": model_id},
    )
    return StoredModel.from_row(row) if row else None


async def newest_version(tx: Connection, project: str, model_id: str) -> tuple[int, int] | None:
    """The version of `newest` and when it was trained, without reading it; None: there is none of that name."""
    row = await tx.row(
        "SELECT version, trained_ns FROM model WHERE project = :project AND model_id = :model_id"
        " ORDER BY version DESC LIMIT 1",
        {"project": project, "model_id": model_id},
    )
    return (row["version"], row["trained_ns"]) if row else None


async def names(tx: Connection, project: str) -> list[str]:
    """The names of the project's models, the one trained last first."""
    rows = await tx.rows(
        "SELECT model_id FROM model WHERE project = :project GROUP BY model_id ORDER BY MAX(trained_ns) DESC, model_id",
        {"project": project},
    )
    return [row["model_id"] for row in rows]


class NewPrediction(NamedTuple):
    """What a model says of a run, or (`task_id` not empty) of a task, that has not ended."""

    run_id: str
    task_id: str
    target: str
    value: float
    low: float
    high: float
    level: float


# What is retried has ended before, and that is what a prediction would be compared with.
_UNENDED = (
    "SELECT 1 FROM run WHERE run.run_id = :run_id AND run.project = :project AND finished_ns IS NULL"
    " AND CASE WHEN :task_id = '' THEN NOT EXISTS (SELECT 1 FROM run_measure WHERE run_measure.run_id = :run_id)"
    " ELSE EXISTS (SELECT 1 FROM task WHERE task.task_id = :task_id AND task.run_id = :run_id"
    "  AND task.finished_ns IS NULL"
    "  AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.task_id = :task_id AND attempt.final)) END"
)


async def predict(
    tx: Connection, project: str, model: StoredModel, predictions: Sequence[NewPrediction], now_ns: int
) -> int:
    """Record what was predicted, of each run and task what was said first; returns how many rows were written. What is
    said of something that has ended is no prediction and is left out."""
    written = 0
    for prediction in predictions:
        rows = await tx.rows(
            "INSERT INTO prediction (project, model_id, version, made_ns, run_id, task_id, target, value, low, high,"
            " level) SELECT :project, :model_id, :version, :now, :run_id, :task_id, :target, :value, :low, :high,"
            f" :level WHERE EXISTS ({_UNENDED}) ON CONFLICT DO NOTHING RETURNING 1",
            {
                "project": project,
                "model_id": model.model_id,
                "version": model.version,
                "now": now_ns,
                **prediction._asdict(),
            },
        )
        written += len(rows)
    return written


_OF_TASK = (
    " FROM attempt WHERE attempt.task_id = prediction.task_id AND attempt.final"
    " AND attempt.status IN ('succeeded', 'failed') ORDER BY attempt.number LIMIT 1"
)
_OF_CALLS = (
    "SELECT CASE WHEN COUNT(*) = COUNT(input_tokens + output_tokens) THEN SUM(input_tokens + output_tokens) END"
    " FROM usage WHERE usage.run_id = prediction.run_id"
)
_FIRST_END = (
    " FROM run_measure WHERE run_measure.run_id = prediction.run_id AND run_measure.status <> 'cancelled'"
    " ORDER BY run_measure.ended_ns LIMIT 1"
)
# As `store.observations` counts what models are trained on; a task or run that was retried as it ended first.
_HAPPENED = {
    ("task", "duration_s"): f"(SELECT exec_ns / 1e9{_OF_TASK})",
    ("task", "success"): f"(SELECT attempt.status = 'succeeded'{_OF_TASK})",
    ("task", "tokens"): f"({_OF_CALLS} AND usage.task_id = prediction.task_id"
    f" AND usage.number = (SELECT number{_OF_TASK}))",
    ("run", "duration_s"): f"(SELECT makespan_ns / 1e9{_FIRST_END})",
    ("run", "success"): f"(SELECT status = 'succeeded'{_FIRST_END})",
    ("run", "tokens"): f"({_OF_CALLS} AND usage.opened_ns <= (SELECT ended_ns{_FIRST_END}))",
}
_ENDED_NS = {"task": f"(SELECT committed_ns{_OF_TASK})", "run": f"(SELECT ended_ns{_FIRST_END})"}
_ENDED = {
    # One that ended and was retried goes on, but what it is compared with is there.
    "task": "(EXISTS (SELECT 1 FROM task WHERE task.task_id = prediction.task_id AND task.finished_ns IS NOT NULL)"
    " OR EXISTS (SELECT 1 FROM attempt WHERE attempt.task_id = prediction.task_id AND attempt.final))",
    "run": "EXISTS (SELECT 1 FROM run_measure WHERE run_measure.run_id = prediction.run_id)",
}


async def score(tx: Connection, project: str, now_ns: int) -> int:
    """Look up what became of the runs and tasks that predictions are about; returns of how many it is known now that
    they ended. Runs must have been measured."""
    scored = 0
    for (level, target), happened in _HAPPENED.items():
        rows = await tx.rows(
            f"UPDATE prediction SET actual = {happened}, ended_ns = {_ENDED_NS[level]}, scored_ns = :now"
            " WHERE project = :project AND scored_ns IS NULL AND target = :target"
            f" AND (task_id = '') = :whole AND {_ENDED[level]} RETURNING 1",
            {"project": project, "now": now_ns, "target": target, "whole": level == "run"},
        )
        scored += len(rows)
    return scored


async def unscored(tx: Connection, project: str) -> bool:
    """Whether there are predictions of which nobody has looked up what happened."""
    row = await tx.row(
        "SELECT 1 FROM prediction WHERE project = :project AND scored_ns IS NULL LIMIT 1", {"project": project}
    )
    return row is not None


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of the newest scored predictions: how many there are, and how many of what happened lay in their intervals."""

    n: int
    inside: int


async def coverage(tx: Connection, project: str, model_id: str | None, target: str, most: int) -> Coverage:
    """Of the newest `most` predictions of `target` by one model (None: by any) of which it is known what happened."""
    row = await tx.row(
        "SELECT COUNT(*) AS n, TOTAL(actual BETWEEN low AND high) AS inside FROM (SELECT actual, low, high"
        " FROM prediction WHERE project = :project AND (:model_id IS NULL OR model_id = :model_id)"
        " AND target = :target AND actual IS NOT NULL ORDER BY ended_ns DESC, prediction_id DESC LIMIT :most)",
        {"project": project, "model_id": model_id, "target": target, "most": most},
    )
    return Coverage(row["n"], int(row["inside"])) if row else Coverage(0, 0)


async def outcomes(tx: Connection, asked: Asked, target: str, most: int) -> list[Row]:
    """What was predicted of the newest `most` tasks and runs that ended in the window, and what happened: value, low,
    high, actual and run_id. Predictions must have been scored."""
    return await tx.rows(
        "SELECT value, low, high, actual, prediction.run_id FROM prediction JOIN run ON run.run_id = prediction.run_id"
        " WHERE prediction.project = :project AND target = :target AND actual IS NOT NULL"
        " AND prediction.ended_ns > :since AND prediction.ended_ns <= :until"
        " AND (:swarm_id IS NULL OR run.swarm_id = :swarm_id) AND run.kind <> :calibration"
        " ORDER BY prediction.ended_ns DESC, prediction_id DESC LIMIT :most",
        {**asked.bound(), "target": target, "most": most},
    )


async def subject(tx: Connection, project: str, run_id: str, task_id: str | None) -> dict[str, Any] | None:
    """What is known of a run, or of its task, before it has ended, by the names of `store.observations.Observation`;
    None: the project has none."""
    row = await tx.row(
        "SELECT run.kind, run.task AS run_text, LENGTH(CAST(run.task AS BLOB)) + LENGTH(CAST(run.context AS BLOB))"
        "  AS run_bytes, COALESCE(run.shape, swarm.topology) AS topology, swarm.strategy,"
        " run.backend ->> 'name' AS backend, run.backend ->> 'model' AS model, run.max_parallel AS concurrency,"
        " (SELECT COUNT(*) FROM agent WHERE agent.swarm_id = run.swarm_id AND agent.left_ns IS NULL) AS agents,"
        " (SELECT MAX(ordinal) + 1 FROM task WHERE task.run_id = run.run_id) AS tasks, task.mode, task.text"
        " FROM run LEFT JOIN swarm ON swarm.swarm_id = run.swarm_id"
        " LEFT JOIN task ON task.run_id = run.run_id AND task.task_id = :task_id"
        " WHERE run.run_id = :run_id AND run.project = :project",
        {"project": project, "run_id": run_id, "task_id": task_id},
    )
    if row is None or (task_id is not None and row["mode"] is None):
        return None
    whole = task_id is None
    return {
        "level": "run" if whole else "task",
        "mode": row["kind"] if whole else row["mode"],
        "text": row["run_text"] if whole else row["text"],
        "prompt_bytes": row["run_bytes"] if whole else None,
        **{name: row[name] for name in ("topology", "strategy", "backend", "model", "concurrency", "tasks")},
        "agents": row["agents"] or None,
    }


async def first_tasks(tx: Connection, run_id: str, limit: int) -> list[str]:
    """The ids of a run's first tasks."""
    rows = await tx.rows(
        "SELECT task_id FROM task WHERE run_id = :run_id ORDER BY ordinal LIMIT :limit",
        {"run_id": run_id, "limit": limit},
    )
    return [row["task_id"] for row in rows]


async def run_of(tx: Connection, project: str, task_id: str) -> str:
    """The run that a task belongs to; empty where the project has no such task."""
    row = await tx.row(
        "SELECT run.run_id FROM task JOIN run ON run.run_id = task.run_id"
        " WHERE task.task_id = :task_id AND run.project = :project",
        {"task_id": task_id, "project": project},
    )
    return row["run_id"] if row else ""

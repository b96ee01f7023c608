"""Tasks that could start: everything they wait for has ended, and no pause between attempts is left."""

from collections.abc import Sequence

from swarmtally.domain.task import Task
from swarmtally.store.connection import Connection, as_json


async def first(tx: Connection, run_ids: Sequence[str], role: str | None, now_ns: int, limit: int) -> list[Task]:
    """Ready tasks of the runs in the order they should start: priority, then longest remaining path, then age."""
    rows = await tx.rows(
        "SELECT task.* FROM task JOIN run ON run.run_id = task.run_id"
        " WHERE task.run_id IN (SELECT value FROM json_each(:runs)) AND task.status = 'ready'"
        " AND task.not_before_ns <= :now AND (:role IS NULL OR task.role = :role)"
        " ORDER BY task.priority DESC, task.remaining_path DESC, run.created_ns, task.ordinal LIMIT :limit",
        {"runs": as_json(run_ids), "role": role, "now": now_ns, "limit": limit},
    )
    return [Task.from_row(row) for row in rows]


async def among(tx: Connection, run_ids: Sequence[str], task_ids: Sequence[str], now_ns: int) -> list[Task]:
    """Those of `task_ids` that are ready, in the order of `first`."""
    rows = await tx.rows(
        "SELECT task.* FROM task JOIN run ON run.run_id = task.run_id"
        " WHERE task.task_id IN (SELECT value FROM json_each(:ids)) AND task.status = 'ready'"
        " AND task.run_id IN (SELECT value FROM json_each(:runs)) AND task.not_before_ns <= :now"
        " ORDER BY task.priority DESC, task.remaining_path DESC, run.created_ns, task.ordinal",
        {"ids": as_json(task_ids), "runs": as_json(run_ids), "now": now_ns},
    )
    return [Task.from_row(row) for row in rows]


async def roles(tx: Connection, run_ids: Sequence[str], now_ns: int) -> list[str]:
    """The roles that ready tasks of the runs want."""
    rows = await tx.rows(
        "SELECT DISTINCT role FROM task WHERE run_id IN (SELECT value FROM json_each(:runs)) AND status = 'ready'"
        " AND not_before_ns <= :now ORDER BY role",
        {"runs": as_json(run_ids), "now": now_ns},
    )
    return [row["role"] for row in rows]


async def next_retry_ns(tx: Connection, run_ids: Sequence[str], now_ns: int) -> int | None:
    """When the earliest task that waits for its next attempt becomes due."""
    row = await tx.row(
        "SELECT MIN(not_before_ns) AS due FROM task WHERE run_id IN (SELECT value FROM json_each(:runs))"
        " AND status = 'ready' AND not_before_ns > :now",
        {"runs": as_json(run_ids), "now": now_ns},
    )
    return row["due"] if row else None

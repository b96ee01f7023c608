"""Tasks that could start: everything they wait for has ended, and no pause between attempts is left."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.retry import LONGEST_PAUSE_S
from swarmtally.domain.task import Task
from swarmtally.store.connection import Connection, as_json


@dataclass(frozen=True, slots=True)
class Ready:
    """Which ready tasks are meant: those of some runs; without the hub's, of one role, or among some, where asked."""

    run_ids: tuple[str, ...]
    hub: bool = True
    role: str | None = None
    only: frozenset[str] | None = None

    def bound(self, now_ns: int) -> dict[str, Any]:
        return {
            "runs": as_json(self.run_ids),
            "hub": self.hub,
            "role": self.role,
            "only": None if self.only is None else as_json(sorted(self.only)),
            "now": now_ns,
            "farthest": _farthest(now_ns),
        }


def _farthest(now_ns: int) -> int:
    """The last moment that an attempt can have been put off to; what waits for a later one is due."""
    return now_ns + round(LONGEST_PAUSE_S * NS_PER_S)


_OF_RUNS = "task.run_id IN (SELECT value FROM json_each(:runs))"
_MEANT = (
    " task.status = 'ready' AND task.not_before_ns NOT BETWEEN :now + 1 AND :farthest"
    " AND (:hub OR NOT task.hub) AND (:role IS NULL OR task.role = :role)"
    " AND (:only IS NULL OR task.task_id IN (SELECT value FROM json_each(:only)))"
)


async def first(tx: Connection, asked: Ready, now_ns: int, limit: int) -> list[Task]:
    """Those that should start first: by priority, then longest remaining path, then age, then place."""
    rows = await tx.rows(
        # Each run's first ones by its index: sorting all that is ready would take the longer the longer the queue is.
        "SELECT task.* FROM json_each(:runs) AS wanted JOIN run ON run.run_id = wanted.value"
        f" JOIN task ON task.task_id IN (SELECT task.task_id FROM task WHERE task.run_id = wanted.value AND {_MEANT}"
        "  ORDER BY task.priority DESC, task.remaining_path DESC, task.place, task.ordinal LIMIT :limit)"
        " ORDER BY task.priority DESC, task.remaining_path DESC, run.created_ns, task.place, task.ordinal LIMIT :limit",
        {**asked.bound(now_ns), "limit": limit},
    )
    return [Task.from_row(row) for row in rows]


async def roles(tx: Connection, asked: Ready, now_ns: int) -> list[str]:
    """The roles they want."""
    rows = await tx.rows(
        f"SELECT DISTINCT role FROM task WHERE {_OF_RUNS} AND {_MEANT} ORDER BY role", asked.bound(now_ns)
    )
    return [row["role"] for row in rows]


async def next_retry_ns(tx: Connection, run_ids: Sequence[str], now_ns: int) -> int | None:
    """When the earliest task that waits for its next attempt becomes due."""
    row = await tx.row(
        "SELECT MIN(not_before_ns) AS due FROM task INDEXED BY task_waiting"
        f" WHERE {_OF_RUNS} AND status = 'ready' AND not_before_ns > 0"
        " AND not_before_ns BETWEEN :now + 1 AND :farthest",
        {"runs": as_json(run_ids), "now": now_ns, "farthest": _farthest(now_ns)},
    )
    return row["due"] if row else None

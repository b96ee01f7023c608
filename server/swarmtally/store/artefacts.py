"""Deliverables, each stored once."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from swarmtally.domain.files import File
from swarmtally.domain.task import Artefact
from swarmtally.store.connection import Connection, Row, as_json

_COLUMNS = (
    "artefact_id",
    "run_id",
    "task_id",
    "ordinal",
    "phase",
    "name",
    "sha256",
    "size_bytes",
    "path",
    "text",
    "created_ns",
    "truncated",
)
_INTO = f"artefact ({', '.join(_COLUMNS)})"
_values = attrgetter(*_COLUMNS)


async def insert(tx: Connection, artefacts: Sequence[Artefact]) -> None:
    await tx.insert(_INTO, [_values(artefact) for artefact in artefacts])
    await tx.insert(
        "artefact_file (artefact_id, ordinal, path, text)",
        [
            (artefact.artefact_id, ordinal, file.path, file.text)
            for artefact in artefacts
            for ordinal, file in enumerate(artefact.files)
        ],
    )


async def _loaded(tx: Connection, rows: Sequence[Row]) -> list[Artefact]:
    """The rows' artefacts with their files."""
    found = await tx.rows(
        "SELECT artefact_id, path, text FROM artefact_file"
        " WHERE artefact_id IN (SELECT value FROM json_each(:ids)) ORDER BY artefact_id, ordinal",
        {"ids": as_json([row["artefact_id"] for row in rows])},
    )
    files: dict[str, list[File]] = {}
    for row in found:
        files.setdefault(row["artefact_id"], []).append(File(row["path"], row["text"]))
    return [Artefact.from_row(row, tuple(files.get(row["artefact_id"], ()))) for row in rows]


@dataclass(frozen=True, slots=True)
class Upstream:
    """What the tasks delivered that a task needs or only sees, the keys of needed ones that delivered nothing, and what
    the needed ones build on, directly or not."""

    needed: tuple[Artefact, ...]
    seen: tuple[Artefact, ...]
    missing: tuple[str, ...]
    earlier: tuple[Artefact, ...]


_EARLIER = """
WITH RECURSIVE chain (task_id) AS (
  SELECT depends_on FROM dependency WHERE task_id = :task_id AND NOT sees
  UNION
  SELECT depends_on FROM chain JOIN dependency USING (task_id) WHERE NOT sees
)
SELECT artefact.* FROM chain JOIN artefact USING (task_id)
WHERE task_id NOT IN (SELECT depends_on FROM dependency WHERE task_id = :task_id)
ORDER BY ordinal
"""


async def upstream(tx: Connection, task_id: str) -> Upstream:
    """What the task's dependencies delivered, and those before them."""
    rows = await tx.rows(
        "SELECT artefact.*, task.key AS task_key, sees FROM dependency"
        " JOIN task ON task.task_id = dependency.depends_on"
        " LEFT JOIN artefact ON artefact.task_id = dependency.depends_on"
        " WHERE dependency.task_id = :task_id ORDER BY task.ordinal",
        {"task_id": task_id},
    )
    delivered = [row for row in rows if row["artefact_id"] is not None]
    found = list(zip(delivered, await _loaded(tx, delivered), strict=True))
    return Upstream(
        tuple(artefact for row, artefact in found if not row["sees"]),
        tuple(artefact for row, artefact in found if row["sees"]),
        tuple(row["task_key"] for row in rows if row["artefact_id"] is None and not row["sees"]),
        tuple(await _loaded(tx, await tx.rows(_EARLIER, {"task_id": task_id}))) if rows else (),
    )


async def of_run(tx: Connection, run_id: str, limit: int) -> list[Artefact]:
    """The run's artefacts in order, without their files' texts."""
    rows = await tx.rows(
        "SELECT * FROM artefact WHERE run_id = :run_id ORDER BY ordinal LIMIT :limit",
        {"run_id": run_id, "limit": limit},
    )
    return [Artefact.from_row(row) for row in rows]


async def of_task(tx: Connection, task_id: str) -> Artefact | None:
    """What the task delivered, without its files' texts."""
    row = await tx.row("SELECT * FROM artefact WHERE task_id = :task_id", {"task_id": task_id})
    return Artefact.from_row(row) if row else None


async def unwritten(tx: Connection, run_id: str) -> list[Artefact]:
    """The run's artefacts that do not lie on disk yet."""
    rows = await tx.rows(
        "SELECT * FROM artefact WHERE run_id = :run_id AND path IS NULL ORDER BY ordinal", {"run_id": run_id}
    )
    return await _loaded(tx, rows)


def path_setter(artefact_id: str, path: str) -> Callable[[Connection], Awaitable[None]]:
    """The unit of work that records where an artefact lies on disk."""

    async def unit(tx: Connection) -> None:
        await tx.rows(
            "UPDATE artefact SET path = :path WHERE artefact_id = :artefact_id",
            {"artefact_id": artefact_id, "path": path},
        )

    return unit


async def by_name(tx: Connection, project: str, run_id: str, phase: str, name: str) -> Artefact | None:
    row = await tx.row(
        "SELECT artefact.* FROM artefact JOIN run ON run.run_id = artefact.run_id"
        " WHERE run.project = :project AND artefact.run_id = :run_id AND phase = :phase AND name = :name",
        {"project": project, "run_id": run_id, "phase": phase, "name": name},
    )
    return (await _loaded(tx, [row]))[0] if row else None

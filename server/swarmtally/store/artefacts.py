"""Deliverables, each stored once."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from swarmtally.domain.task import Artefact
from swarmtally.store.connection import Connection


async def insert(tx: Connection, artefacts: Sequence[Artefact]) -> None:
    await tx.many(
        "INSERT INTO artefact (artefact_id, run_id, task_id, ordinal, phase, name, sha256, size_bytes, path, text,"
        "                      created_ns, truncated)"
        " VALUES (:artefact_id, :run_id, :task_id, :ordinal, :phase, :name, :sha256, :size_bytes, :path, :text,"
        "         :created_ns, :truncated)",
        [asdict(artefact) for artefact in artefacts],
    )


@dataclass(frozen=True, slots=True)
class Upstream:
    """What the tasks delivered that a task needs or only sees, and the keys of needed ones that delivered nothing."""

    needed: tuple[Artefact, ...]
    seen: tuple[Artefact, ...]
    missing: tuple[str, ...]


async def upstream(tx: Connection, task_id: str) -> Upstream:
    """What the task's dependencies delivered."""
    rows = await tx.rows(
        "SELECT artefact.*, task.key AS task_key, sees FROM dependency"
        " JOIN task ON task.task_id = dependency.depends_on"
        " LEFT JOIN artefact ON artefact.task_id = dependency.depends_on"
        " WHERE dependency.task_id = :task_id ORDER BY task.ordinal",
        {"task_id": task_id},
    )
    found = [(row["sees"], Artefact.from_row(row)) for row in rows if row["artefact_id"] is not None]
    return Upstream(
        tuple(artefact for sees, artefact in found if not sees),
        tuple(artefact for sees, artefact in found if sees),
        tuple(row["task_key"] for row in rows if row["artefact_id"] is None and not row["sees"]),
    )


async def of_run(tx: Connection, run_id: str, limit: int) -> list[Artefact]:
    rows = await tx.rows(
        "SELECT * FROM artefact WHERE run_id = :run_id ORDER BY ordinal LIMIT :limit",
        {"run_id": run_id, "limit": limit},
    )
    return [Artefact.from_row(row) for row in rows]


async def unwritten(tx: Connection, run_id: str) -> list[Artefact]:
    """The run's artefacts that do not lie on disk yet."""
    rows = await tx.rows(
        "SELECT * FROM artefact WHERE run_id = :run_id AND path IS NULL ORDER BY ordinal", {"run_id": run_id}
    )
    return [Artefact.from_row(row) for row in rows]


async def set_path(tx: Connection, artefact_id: str, path: str) -> None:
    await tx.rows(
        "UPDATE artefact SET path = :path WHERE artefact_id = :artefact_id", {"artefact_id": artefact_id, "path": path}
    )


async def by_name(tx: Connection, project: str, run_id: str, phase: str, name: str) -> Artefact | None:
    row = await tx.row(
        "SELECT artefact.* FROM artefact JOIN run ON run.run_id = artefact.run_id"
        " WHERE run.project = :project AND artefact.run_id = :run_id AND phase = :phase AND name = :name",
        {"project": project, "run_id": run_id, "phase": phase, "name": name},
    )
    return Artefact.from_row(row) if row else None

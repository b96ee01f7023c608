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


_GIVEN = "given (task_id)"
_DIRECT = (
    "SELECT given.task_id, key, artefact_id, sees, size_bytes FROM given JOIN dependency USING (task_id)"
    " JOIN task ON task.task_id = depends_on LEFT JOIN artefact ON artefact.task_id = depends_on"
    " ORDER BY task.ordinal"
)
_EARLIER = (
    ", chain (task_id, above) AS ("
    " SELECT given.task_id, depends_on FROM given JOIN dependency USING (task_id) WHERE NOT sees"
    " UNION SELECT chain.task_id, depends_on FROM chain JOIN dependency ON dependency.task_id = above WHERE NOT sees)"
    " SELECT chain.task_id, artefact_id, size_bytes FROM chain JOIN artefact ON artefact.task_id = above"
    " WHERE above NOT IN (SELECT depends_on FROM dependency WHERE dependency.task_id = chain.task_id)"
    " ORDER BY ordinal"
)


async def upstreams(tx: Connection, task_ids: Sequence[str]) -> list[Upstream]:
    """What each task's dependencies delivered, and those before them. What several build on is loaded once."""
    found = await small_upstreams(tx, task_ids, limit_bytes=None)
    assert found is not None, "there is no limit"
    return found


async def small_upstreams(tx: Connection, task_ids: Sequence[str], limit_bytes: int | None) -> list[Upstream] | None:
    """The same; None when all of it together holds more than `limit_bytes`."""
    given = [(task_id,) for task_id in task_ids]
    direct = await tx.over(_GIVEN, given, _DIRECT)
    earlier = await tx.over(_GIVEN, given, _EARLIER)
    wanted = {row["artefact_id"]: row["size_bytes"] for row in (*direct, *earlier) if row["artefact_id"] is not None}
    if limit_bytes is not None and sum(wanted.values()) > limit_bytes:
        return None
    loaded = await tx.rows(
        "SELECT * FROM artefact WHERE artefact_id IN (SELECT value FROM json_each(:ids))",
        {"ids": as_json(list(wanted))},
    )
    made = {artefact.artefact_id: artefact for artefact in await _loaded(tx, loaded)}
    found: dict[str, Upstream] = {}
    above, before = _by_task(direct), _by_task(earlier)
    for task_id in task_ids:
        rows = above.get(task_id, [])
        got = [row for row in rows if row["artefact_id"] is not None]
        found[task_id] = Upstream(
            tuple(made[row["artefact_id"]] for row in got if not row["sees"]),
            tuple(made[row["artefact_id"]] for row in got if row["sees"]),
            tuple(row["key"] for row in rows if row["artefact_id"] is None and not row["sees"]),
            tuple(made[row["artefact_id"]] for row in before.get(task_id, [])),
        )
    return [found[task_id] for task_id in task_ids]


def _by_task(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["task_id"], []).append(row)
    return found


async def of_run(tx: Connection, run_id: str, limit: int) -> list[Artefact]:
    """The run's artefacts in order, without their files' texts."""
    rows = await tx.rows(
        "SELECT * FROM artefact WHERE run_id = :run_id ORDER BY ordinal LIMIT :limit",
        {"run_id": run_id, "limit": limit},
    )
    return [Artefact.from_row(row) for row in rows]


async def whole_of_run(tx: Connection, run_id: str, after: int, limit: int) -> list[Artefact]:
    """The run's artefacts with their files' texts, in order, those whose ordinal is above `after`."""
    rows = await tx.rows(
        "SELECT * FROM artefact WHERE run_id = :run_id AND ordinal > :after ORDER BY ordinal LIMIT :limit",
        {"run_id": run_id, "after": after, "limit": limit},
    )
    return await _loaded(tx, rows)


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


async def by_path(tx: Connection, project: str, run_id: str, path: str) -> list[Artefact]:
    """Those of the run that a path may mean, the likeliest first: named so, named so with its phase before it, or with
    a file's path behind its name."""
    rows = await tx.rows(
        "SELECT artefact.* FROM artefact JOIN run ON run.run_id = artefact.run_id"
        " WHERE run.project = :project AND artefact.run_id = :run_id AND (:path IN (name, phase || '/' || name)"
        "  OR substr(:path, 1, length(name) + 1) = name || '/')"
        " ORDER BY name = :path DESC, phase || '/' || name = :path DESC, length(name) DESC",
        {"project": project, "run_id": run_id, "path": path},
    )
    return await _loaded(tx, rows)

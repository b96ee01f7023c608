"""What can be asked of the database file itself, and which rows show that work is stuck."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from swarmtally.domain.run import HOST, LEASE_NS
from swarmtally.store.connection import Connection, Row, as_json
from swarmtally.store.migrations import version

RECENT = 1_000
"""The last rows of each table that are read for the newest recorded time."""


async def sqlite_version(tx: Connection) -> str:
    """The SQLite library's version, such as `3.40.1`."""
    row = await tx.row("SELECT sqlite_version() AS version")
    assert row is not None
    return str(row["version"])


@asynccontextmanager
async def fresh(path: Path, *, read_only: bool) -> AsyncIterator[Connection]:
    """A connection that nobody has used: it reads the disk, not pages that were read before."""
    connection = await Connection.open(path, read_only=read_only)
    try:
        yield connection
    except anyio.get_cancelled_exc_class():
        await connection.abandon()
        raise
    except BaseException:
        await connection.close()
        raise
    await connection.close()


async def tables(tx: Connection) -> list[str]:
    """The names of all tables, internal ones of the full-text index too."""
    rows = await tx.rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid")
    return [row["name"] for row in rows]


async def faults(tx: Connection, table: str | None = None) -> list[str]:
    """What SQLite finds wrong with the whole file, which it reads; with `table` only that one and its indexes."""
    part = 1 if table is None else '"' + table.replace('"', '""') + '"'
    found = [str(row["quick_check"]) for row in await tx.rows(f"PRAGMA quick_check({part})")]
    return [line for line in found if line != "ok"][:1]


async def round_trip(writer: Connection) -> None:
    """Take the write lock, write the first page as it is, and commit it to the disk.

    What is written is the schema's version, with the value it has: a real write after which every row is as it was.
    """
    await writer.rows("PRAGMA synchronous = FULL")
    await writer.patiently(lambda: writer.rows("BEGIN IMMEDIATE"))
    try:
        await writer.rows(f"PRAGMA user_version = {await version(writer)}")
        await writer.rows("COMMIT")
    except Exception:
        if writer.in_transaction:
            await writer.rows("ROLLBACK")
        raise


async def migrations(tx: Connection) -> list[int]:
    """The schema versions that were applied, in order."""
    return [row["version"] for row in await tx.rows("SELECT version FROM migration ORDER BY version")]


async def newest_ns(tx: Connection) -> int | None:
    """The latest time among the last rows that were written, of any project; None when there are none.

    A lease counts as written `LEASE_NS` before its end.
    """
    row = await tx.row(
        "SELECT MAX(at) AS newest FROM ("
        " SELECT * FROM (SELECT at_ns AS at FROM event ORDER BY event_id DESC LIMIT :recent)"
        " UNION ALL SELECT * FROM (SELECT opened_ns FROM usage ORDER BY usage_id DESC LIMIT :recent)"
        " UNION ALL SELECT * FROM (SELECT sent_ns FROM message ORDER BY message_id DESC LIMIT :recent)"
        " UNION ALL SELECT * FROM (SELECT updated_ns FROM memory ORDER BY memory_id DESC LIMIT :recent)"
        " UNION ALL SELECT lease_expires_ns - :lease FROM run WHERE finished_ns IS NULL"
        " UNION ALL SELECT applied_ns FROM migration)",
        {"recent": RECENT, "lease": LEASE_NS},
    )
    return row["newest"] if row else None


@dataclass(frozen=True, slots=True)
class Hold:
    """An unfinished run and who holds it."""

    run_id: str
    status: str
    host: bool
    """Clients do its work: no process holds it."""
    owner: str | None
    expires_ns: int
    running: int
    """Its tasks that count as running."""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Hold":
        return cls(
            run_id=row["run_id"],
            status=row["status"],
            host=bool(row["host"]),
            owner=row["lease_owner"],
            expires_ns=row["lease_expires_ns"],
            running=row["running"],
        )


async def holds(tx: Connection, project: str) -> list[Hold]:
    """The project's unfinished runs, oldest first."""
    # The plus keeps SQLite from reading all of the project's runs, finished ones too, by the index on project.
    rows = await tx.rows(
        "SELECT run_id, status, backend ->> 'name' = :host AS host, lease_owner, lease_expires_ns,"
        " (SELECT COUNT(*) FROM task WHERE task.run_id = run.run_id AND task.status = 'running') AS running"
        " FROM run WHERE +project = :project AND finished_ns IS NULL ORDER BY created_ns, run_id",
        {"project": project, "host": HOST},
    )
    return [Hold.from_row(row) for row in rows]


async def running_tasks(tx: Connection, run_ids: Sequence[str], limit: int) -> list[str]:
    """The first running tasks of the runs."""
    rows = await tx.rows(
        "SELECT task_id FROM task WHERE run_id IN (SELECT value FROM json_each(:ids)) AND status = 'running'"
        " ORDER BY created_ns, run_id, ordinal LIMIT :limit",
        {"ids": as_json(run_ids), "limit": limit},
    )
    return [row["task_id"] for row in rows]


async def unclaimed_packets(tx: Connection, project: str, now_ns: int) -> list[Row]:
    """Packets of the project's unfinished runs whose time is over and that nobody claimed again: run_id, task_id,
    expires_ns; the longest over first. Those of paused runs cannot be claimed."""
    return await tx.rows(
        "SELECT run.run_id, task.task_id, attempt.expires_ns FROM run"
        " JOIN task ON task.run_id = run.run_id AND task.status IN ('ready', 'running')"
        " JOIN attempt ON attempt.task_id = task.task_id AND attempt.number ="
        "   (SELECT MAX(number) FROM attempt AS later WHERE later.task_id = task.task_id)"
        " WHERE +run.project = :project AND run.finished_ns IS NULL AND run.status <> 'paused'"
        " AND attempt.status IN ('running', 'expired') AND attempt.expires_ns <= :now"
        " ORDER BY attempt.expires_ns, task.task_id",
        {"project": project, "now": now_ns},
    )


async def agents_with_nothing(tx: Connection, project: str) -> list[Row]:
    """Busy agents whose task is not running, or runs with another: agent_id, swarm_id, and the swarm's `agents`."""
    return await tx.rows(
        "SELECT agent.agent_id, agent.swarm_id, swarm.agents FROM agent"
        " JOIN swarm ON swarm.swarm_id = agent.swarm_id"
        " LEFT JOIN task ON task.task_id = agent.task_id"
        " WHERE agent.task_id IS NOT NULL AND swarm.project = :project"
        " AND (task.task_id IS NULL OR task.status <> 'running' OR task.agent_id <> agent.agent_id)"
        " ORDER BY agent.swarm_id, agent.joined",
        {"project": project},
    )

"""Handles of calls. Each change names the state it changes: what has ended stays as it ended."""

from collections.abc import Sequence

from swarmtally.domain.handle import KEPT_NS, LONGEST_NS, Handle, HandleStatus
from swarmtally.store.connection import Connection
from swarmtally.store.retention import STEP
from swarmtally.store.swarms import ensure_project

_KEPT_UNTIL = "MIN(created_ns + :longest, :now + :kept)"
_TIMES = {"longest": LONGEST_NS, "kept": KEPT_NS}


async def insert(tx: Connection, handle: Handle) -> None:
    await ensure_project(tx, handle.project, handle.created_ns)
    await tx.rows(
        "INSERT INTO handle (handle_id, project, tool, run_id, notes, owner, lease_expires_ns, status, message,"
        "                    created_ns, updated_ns, expires_ns)"
        " VALUES (:handle_id, :project, :tool, :run_id, :notes, :owner, :lease_expires_ns, :status, :message,"
        "         :created_ns, :updated_ns, :expires_ns)",
        {
            "handle_id": handle.handle_id,
            "project": handle.project,
            "tool": handle.tool,
            "run_id": handle.run_id,
            "notes": handle.notes,
            "owner": handle.owner,
            "lease_expires_ns": handle.lease_expires_ns,
            "status": handle.status,
            "message": handle.message,
            "created_ns": handle.created_ns,
            "updated_ns": handle.updated_ns,
            "expires_ns": handle.expires_ns,
        },
    )


async def get(tx: Connection, project: str, handle_id: str, now_ns: int) -> Handle | None:
    """The handle, unless it belongs to another project or is kept no longer."""
    row = await tx.row(
        "SELECT * FROM handle WHERE handle_id = :handle_id AND project = :project AND expires_ns > :now",
        {"handle_id": handle_id, "project": project, "now": now_ns},
    )
    return Handle.from_row(row) if row else None


async def renew(tx: Connection, handle_id: str, message: str, lease_expires_ns: int, now_ns: int) -> bool:
    """Note that it goes on and how far it is; False when it goes on no longer."""
    row = await tx.row(
        "UPDATE handle SET message = :message, lease_expires_ns = :lease, updated_ns = :now,"
        f" expires_ns = {_KEPT_UNTIL}"
        " WHERE handle_id = :handle_id AND status = 'working' AND expires_ns > :now RETURNING 1",
        {"handle_id": handle_id, "message": message, "lease": lease_expires_ns, "now": now_ns, **_TIMES},
    )
    return row is not None


async def settle(
    tx: Connection, handle_id: str, status: HandleStatus, message: str, result: str | None, now_ns: int
) -> bool:
    """End it; False when it has ended already, or is there no more."""
    row = await tx.row(
        "UPDATE handle SET status = :status, message = :message, result = :result, updated_ns = :now,"
        f" expires_ns = {_KEPT_UNTIL} WHERE handle_id = :handle_id AND status = 'working' RETURNING 1",
        {"handle_id": handle_id, "status": status, "message": message, "result": result, "now": now_ns, **_TIMES},
    )
    return row is not None


async def delete_expired(tx: Connection, before_ns: int) -> int:
    """Delete handles that are kept no longer than `before_ns`, one step; returns how many."""
    rows: Sequence[object] = await tx.rows(
        "DELETE FROM handle WHERE handle_id IN"
        " (SELECT handle_id FROM handle WHERE expires_ns <= :before ORDER BY expires_ns LIMIT :step) RETURNING 1",
        {"before": before_ns, "step": STEP},
    )
    return len(rows)


async def last_change_ns(tx: Connection, run_id: str) -> int | None:
    """When something last happened to a run or its tasks; None when nothing is recorded."""
    row = await tx.row(
        "SELECT at_ns FROM event WHERE run_id = :run_id ORDER BY event_id DESC LIMIT 1", {"run_id": run_id}
    )
    return row["at_ns"] if row else None

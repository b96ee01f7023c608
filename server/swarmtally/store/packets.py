"""Packets: attempts leased to a client, which reports their results by the lease's name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmtally.domain.task import Task
from swarmtally.store import agents, events, usage
from swarmtally.store.connection import Connection, as_json
from swarmtally.store.tasks import RunScope


@dataclass(frozen=True, slots=True)
class Leased:
    """An attempt that was handed out as a packet, with its task as it stands now."""

    task: Task
    project: str
    number: int
    epoch: int
    agent_id: str
    status: str
    claimed_ns: int
    expires_ns: int
    newest: bool
    """Nobody has claimed the task again since."""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Leased":
        return cls(
            task=Task.from_row(row),
            project=row["project"],
            number=row["number"],
            epoch=row["epoch"],
            agent_id=row["holder"],
            status=row["attempt_status"],
            claimed_ns=row["claimed_ns"],
            expires_ns=row["expires_ns"],
            newest=row["number"] == row["last"],
        )


@dataclass(frozen=True, slots=True)
class Outstanding:
    """How many packets of some runs could be claimed now, how many are out, and when the next of those expires."""

    ready: int
    out: int
    next_expiry_ns: int | None


async def lease(tx: Connection, leases: Sequence[tuple[str, int, str]], expires_ns: int) -> None:
    """Give attempts that have just started, (task_id, number), their lease's name and end."""
    await tx.rows(
        "UPDATE attempt SET lease = given.lease, expires_ns = :expires"
        " FROM (SELECT json_extract(value, '$[0]') AS task_id, json_extract(value, '$[1]') AS number,"
        "              json_extract(value, '$[2]') AS lease FROM json_each(:given)) AS given"
        " WHERE attempt.task_id = given.task_id AND attempt.number = given.number",
        {"given": as_json(leases), "expires": expires_ns},
    )


async def find(tx: Connection, project: str, task_id: str, lease: str) -> Leased | None:
    """The packet of that lease, whatever has become of it."""
    row = await tx.row(
        "SELECT task.*, run.project, number, epoch, attempt.agent_id AS holder, attempt.status AS attempt_status,"
        " claimed_ns, expires_ns, (SELECT MAX(number) FROM attempt WHERE attempt.task_id = task.task_id) AS last"
        " FROM attempt JOIN task ON task.task_id = attempt.task_id JOIN run ON run.run_id = task.run_id"
        " WHERE attempt.task_id = :task_id AND lease = :lease AND run.project = :project",
        {"task_id": task_id, "lease": lease, "project": project},
    )
    return Leased.from_row(row) if row else None


async def renew(tx: Connection, task_id: str, number: int, expires_ns: int) -> None:
    await tx.rows(
        "UPDATE attempt SET expires_ns = :expires WHERE task_id = :task_id AND number = :number",
        {"task_id": task_id, "number": number, "expires": expires_ns},
    )


async def expire(tx: Connection, now_ns: int) -> int:
    """Make the tasks of packets whose time is over ready again and free their agents; returns how many.

    Not counted as an attempt. Until somebody claims the task again, a late report revives the packet (`revive`).
    """
    rows = await tx.rows(
        "UPDATE attempt SET status = 'expired' WHERE status = 'running' AND expires_ns <= :now RETURNING task_id",
        {"now": now_ns},
    )
    return await _make_ready(tx, [row["task_id"] for row in rows], usage.EXPIRED, "packet expired", now_ns)


async def give_back(tx: Connection, project: str, leases: Sequence[str], reason: str, now_ns: int) -> int:
    """The same for the project's packets of some leases, before their time is over."""
    rows = await tx.rows(
        "UPDATE attempt SET status = 'expired', expires_ns = MIN(expires_ns, :now) WHERE status = 'running'"
        " AND lease IN (SELECT value FROM json_each(:leases)) AND EXISTS (SELECT 1 FROM task JOIN run USING (run_id)"
        "  WHERE task.task_id = attempt.task_id AND run.project = :project) RETURNING task_id",
        {"leases": as_json(leases), "project": project, "now": now_ns},
    )
    return await _make_ready(tx, [row["task_id"] for row in rows], reason, "packet given back", now_ns)


async def _make_ready(tx: Connection, task_ids: list[str], reason: str, detail: str, now_ns: int) -> int:
    if not task_ids:
        return 0
    ready = await tx.rows(
        "UPDATE task SET status = 'ready', attempts = attempts - 1, ready_ns = :now, not_before_ns = 0"
        " FROM run WHERE run.run_id = task.run_id AND task_id IN (SELECT value FROM json_each(:ids))"
        " AND task.status = 'running' RETURNING task.task_id, task.run_id, task.agent_id,"
        " (SELECT project FROM run WHERE run.run_id = task.run_id) AS project,"
        " (SELECT swarm_id FROM run WHERE run.run_id = task.run_id) AS swarm_id",
        {"ids": as_json(task_ids), "now": now_ns},
    )
    await agents.release_from(tx, task_ids, now_ns)
    await usage.lose_open_of(tx, task_ids, now_ns, reason)
    await events.record(
        tx,
        [
            RunScope(row["run_id"], row["project"], row["swarm_id"]).event(
                now_ns, "task.ready", row["task_id"], row["agent_id"], detail
            )
            for row in ready
        ],
    )
    return len(task_ids)


async def revive(tx: Connection, task_id: str, number: int) -> None:
    """Have an expired packet, whose task nobody has claimed since, run again, so that its late report is recorded."""
    await tx.rows(
        "UPDATE attempt SET status = 'running' WHERE task_id = :task_id AND number = :number",
        {"task_id": task_id, "number": number},
    )
    await tx.rows(
        "UPDATE task SET status = 'running', attempts = attempts + 1 WHERE task_id = :task_id", {"task_id": task_id}
    )


async def outstanding(tx: Connection, run_ids: Sequence[str], now_ns: int) -> Outstanding:
    """What the runs have to give: paused ones nothing. A packet whose time is over could be claimed."""
    row = await tx.row(
        "SELECT COALESCE(SUM(run.status <> 'paused' AND (task.status = 'ready' OR expires_ns <= :now)), 0) AS ready,"
        " COALESCE(SUM(expires_ns > :now), 0) AS out, MIN(CASE WHEN expires_ns > :now THEN expires_ns END) AS next"
        " FROM task JOIN run ON run.run_id = task.run_id"
        " LEFT JOIN attempt ON attempt.task_id = task.task_id AND attempt.status = 'running'"
        " WHERE task.run_id IN (SELECT value FROM json_each(:ids)) AND task.status IN ('ready', 'running')",
        {"ids": as_json(run_ids), "now": now_ns},
    )
    assert row is not None
    return Outstanding(row["ready"], row["out"], row["next"])

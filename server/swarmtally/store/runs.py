"""Runs and their leases."""

import json
from collections.abc import Sequence

from swarmtally.domain.run import Lease, Run, RunStatus
from swarmtally.domain.topology import Shape
from swarmtally.store.connection import Connection, Row, as_json


async def insert(tx: Connection, run: Run) -> None:
    await tx.rows(
        "INSERT INTO run (run_id, project, swarm_id, kind, task, context, out_dir, backend, status, shape,"
        "                 shape_reason, created_ns, lease_owner, lease_epoch, lease_expires_ns, budget_tokens,"
        "                 budget_nanousd)"
        " VALUES (:run_id, :project, :swarm_id, :kind, :task, :context, :out_dir, :backend, :status, :shape,"
        "         :shape_reason, :created_ns,"
        "         :lease_owner, :lease_epoch, :lease_expires_ns, :budget_tokens, :budget_nanousd)",
        {
            "run_id": run.run_id,
            "project": run.project,
            "swarm_id": run.swarm_id,
            "kind": run.kind,
            "task": run.task,
            "context": json.dumps(run.context, ensure_ascii=False),
            "out_dir": run.out_dir,
            "backend": run.backend.to_json(),
            "status": run.status,
            "shape": run.shape,
            "shape_reason": run.shape_reason,
            "created_ns": run.created_ns,
            "lease_owner": run.lease_owner,
            "lease_epoch": run.lease_epoch,
            "lease_expires_ns": run.lease_expires_ns,
            "budget_tokens": run.budget.tokens,
            "budget_nanousd": run.budget.nanousd,
        },
    )


async def get(tx: Connection, project: str, run_id: str) -> Run | None:
    """The run, unless it belongs to another project."""
    row = await tx.row(
        "SELECT * FROM run WHERE run_id = :run_id AND project = :project", {"run_id": run_id, "project": project}
    )
    return Run.from_row(row) if row else None


async def places(tx: Connection, run_id: str) -> int | None:
    """How many of its tasks can be under way at once; None when it has not begun."""
    row = await tx.row("SELECT places FROM run WHERE run_id = :run_id", {"run_id": run_id})
    return row["places"] if row else None


async def newest(tx: Connection, project: str, limit: int) -> list[Run]:
    rows = await tx.rows(
        "SELECT * FROM run WHERE project = :project ORDER BY created_ns DESC, run_id LIMIT :limit",
        {"project": project, "limit": limit},
    )
    return [Run.from_row(row) for row in rows]


async def leased_unfinished(tx: Connection) -> list[Run]:
    """Runs of any project that are not finished and that some process holds or held."""
    rows = await tx.rows("SELECT * FROM run WHERE finished_ns IS NULL AND lease_owner IS NOT NULL")
    return [Run.from_row(row) for row in rows]


async def take_lease(tx: Connection, run_id: str, seen_epoch: int, owner: str | None, expires_ns: int) -> Lease | None:
    """Move the lease to `owner` (nobody when None), one epoch on; None when another process moved it first."""
    row = await tx.row(
        "UPDATE run SET lease_owner = :owner, lease_epoch = lease_epoch + 1, lease_expires_ns = :expires"
        " WHERE run_id = :run_id AND lease_epoch = :seen AND finished_ns IS NULL RETURNING lease_epoch",
        {"run_id": run_id, "seen": seen_epoch, "owner": owner, "expires": expires_ns},
    )
    return Lease(run_id, row["lease_epoch"], owner or "") if row else None


async def renew_leases(tx: Connection, leases: Sequence[Lease], expires_ns: int) -> set[str]:
    """Push the leases' ends to `expires_ns`; returns the runs that are still ours."""
    rows = await tx.rows(
        "UPDATE run SET lease_expires_ns = :expires"
        " FROM (SELECT json_extract(value, '$[0]') AS run_id, json_extract(value, '$[1]') AS epoch"
        "       FROM json_each(:held)) AS held"
        " WHERE run.run_id = held.run_id AND run.lease_epoch = held.epoch AND run.finished_ns IS NULL"
        " RETURNING run.run_id",
        {"held": as_json([(lease.run_id, lease.epoch) for lease in leases]), "expires": expires_ns},
    )
    return {row["run_id"] for row in rows}


async def still_held(tx: Connection, leases: Sequence[Lease]) -> set[str]:
    """The runs among `leases` whose epoch is still the lease's and that are not finished."""
    rows = await tx.rows(
        "SELECT run.run_id FROM json_each(:held) AS held JOIN run ON run.run_id = json_extract(held.value, '$[0]')"
        " WHERE run.lease_epoch = json_extract(held.value, '$[1]') AND run.finished_ns IS NULL",
        {"held": as_json([(lease.run_id, lease.epoch) for lease in leases])},
    )
    return {row["run_id"] for row in rows}


async def taking_tasks(tx: Connection, leases: Sequence[Lease]) -> set[str]:
    """Those of `still_held` that are not paused."""
    rows = await tx.rows(
        "SELECT run.run_id FROM json_each(:held) AS held JOIN run ON run.run_id = json_extract(held.value, '$[0]')"
        " WHERE run.lease_epoch = json_extract(held.value, '$[1]') AND run.finished_ns IS NULL"
        " AND run.status <> 'paused'",
        {"held": as_json([(lease.run_id, lease.epoch) for lease in leases])},
    )
    return {row["run_id"] for row in rows}


async def begin(
    tx: Connection, run_ids: Sequence[str], max_parallel: int | None, bound: str | None, max_agents: int, now_ns: int
) -> list[Row]:
    """Mark runs of which tasks were claimed: a queued one runs, and each keeps the most places it had since it began or
    was retried. Returns those that had not begun.

    Args:
        max_parallel: how many calls their backend takes at once; None: no limit is known.
        bound: what its calls wait for, `latency` or `compute`.
        max_agents: of their swarm.
    """
    bound_names = {
        "ids": as_json(run_ids),
        "max_parallel": max_parallel,
        "bound": bound,
        "places": max_agents if max_parallel is None else min(max_agents, max_parallel),
        "now": now_ns,
    }
    await tx.rows(
        "UPDATE run SET max_parallel = :max_parallel, bound = :bound, places = :places"
        " WHERE run_id IN (SELECT value FROM json_each(:ids)) AND (places IS NULL OR places < :places)",
        bound_names,
    )
    return await tx.rows(
        "UPDATE run SET status = CASE status WHEN 'queued' THEN 'running' ELSE status END, started_ns = :now"
        " WHERE run_id IN (SELECT value FROM json_each(:ids)) AND started_ns IS NULL"
        " RETURNING run_id, project, swarm_id",
        bound_names,
    )


async def widen(tx: Connection, swarm_id: str, max_agents: int) -> None:
    """Have the swarm's unfinished runs remember that more agents were allowed."""
    await tx.rows(
        "UPDATE run SET places = MAX(places, MIN(:max_agents, COALESCE(max_parallel, :max_agents)))"
        " WHERE swarm_id = :swarm_id AND finished_ns IS NULL AND started_ns IS NOT NULL",
        {"swarm_id": swarm_id, "max_agents": max_agents},
    )


async def finish(tx: Connection, run_id: str, status: RunStatus, reason: str | None, now_ns: int) -> None:
    """End a run: now, or with its last attempt where the clock was set back since."""
    await tx.rows(
        "UPDATE run SET status = :status, reason = :reason, finished_ns = MAX(:now, COALESCE(started_ns, :now),"
        " COALESCE((SELECT MAX(committed_ns) FROM task JOIN attempt ON attempt.task_id = task.task_id"
        "           WHERE task.run_id = :run_id), :now)), lease_owner = NULL,"
        " lease_expires_ns = 0 WHERE run_id = :run_id AND finished_ns IS NULL",
        {"run_id": run_id, "status": status, "reason": reason, "now": now_ns},
    )


async def set_shape(tx: Connection, run_id: str, shape: Shape, reason: str | None) -> None:
    await tx.rows(
        "UPDATE run SET shape = :shape, shape_reason = :reason WHERE run_id = :run_id",
        {"run_id": run_id, "shape": shape, "reason": reason},
    )


async def set_status(tx: Connection, run_id: str, status: RunStatus, reason: str | None) -> None:
    """Move an unfinished run, or open a finished one again, which may then have other places than before."""
    await tx.rows(
        "UPDATE run SET status = :status, reason = :reason, finished_ns = NULL, refused_tokens = NULL,"
        " refused_nanousd = NULL,"
        " places = CASE WHEN finished_ns IS NULL THEN places END WHERE run_id = :run_id",
        {"run_id": run_id, "status": status, "reason": reason},
    )


async def unfinished_of_host(tx: Connection, project: str, swarm_id: str | None, run_id: str | None) -> list[Run]:
    """The project's unfinished host-driven runs, oldest first; of one swarm or one run where named."""
    rows = await tx.rows(
        "SELECT * FROM run WHERE project = :project AND finished_ns IS NULL AND backend ->> 'name' = 'host'"
        " AND (:swarm_id IS NULL OR swarm_id = :swarm_id) AND (:run_id IS NULL OR run_id = :run_id)"
        " ORDER BY created_ns, run_id",
        {"project": project, "swarm_id": swarm_id, "run_id": run_id},
    )
    return [Run.from_row(row) for row in rows]


async def to_execute(tx: Connection, project: str) -> list[Run]:
    """The project's runs that some process should execute: queued or running, whoever holds them."""
    rows = await tx.rows(
        "SELECT * FROM run WHERE project = :project AND finished_ns IS NULL AND status IN ('queued', 'running')"
        " ORDER BY created_ns, run_id",
        {"project": project},
    )
    return [Run.from_row(row) for row in rows]


async def shapes(tx: Connection, run_ids: Sequence[str]) -> dict[str, Shape | None]:
    rows = await tx.rows(
        "SELECT run_id, shape FROM run WHERE run_id IN (SELECT value FROM json_each(:ids))", {"ids": as_json(run_ids)}
    )
    return {row["run_id"]: Shape(row["shape"]) if row["shape"] else None for row in rows}

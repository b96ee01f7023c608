"""What of a project can be read under an address: the list of it, and whether any of it changed.

The functions named `…_versions` give a short text for each thing that is there, which differs when the thing does. They
read a row or an index entry or two for each, so that a watcher can ask for many of them twice a second.
"""

from collections.abc import Collection
from dataclasses import dataclass

from swarmtally.store.connection import Connection, as_json, values

TASK_SHOWN = 120
"""How much of what a run was asked for is listed, in characters."""


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run as it is listed."""

    run_id: str
    kind: str
    task: str
    created_ns: int
    finished_ns: int | None


@dataclass(frozen=True, slots=True)
class ListedDeliverable:
    """A deliverable as it is listed; `size_bytes` is that of its text with its files."""

    run_id: str
    ordinal: int
    phase: str
    name: str
    size_bytes: int
    created_ns: int


async def runs_from(tx: Connection, project: str, created_ns: int | None, run_id: str, limit: int) -> list[ListedRun]:
    """The project's runs, newest first: from the one made at `created_ns` with that id on, or all (None)."""
    rows = await tx.rows(
        "SELECT run_id, kind, substr(task, 1, :shown) AS task, created_ns, finished_ns FROM run"
        " WHERE project = :project AND created_ns <= COALESCE(:created, created_ns)"
        " AND (:created IS NULL OR created_ns < :created OR run_id >= :run_id)"
        " ORDER BY created_ns DESC, run_id LIMIT :limit",
        {"project": project, "created": created_ns, "run_id": run_id, "shown": TASK_SHOWN, "limit": limit},
    )
    return [ListedRun(**dict(row)) for row in rows]


async def deliverables(tx: Connection, run_id: str, after: int, limit: int) -> list[ListedDeliverable]:
    """What the run delivered, in order, those whose ordinal is above `after`."""
    rows = await tx.rows(
        "SELECT run_id, ordinal, phase, name, size_bytes, created_ns FROM artefact"
        " WHERE run_id = :run_id AND ordinal > :after ORDER BY ordinal LIMIT :limit",
        {"run_id": run_id, "after": after, "limit": limit},
    )
    return [ListedDeliverable(**dict(row)) for row in rows]


async def has_current_swarm(tx: Connection, project: str) -> bool:
    """Whether the project has a current swarm that was not deleted."""
    row = await tx.row(
        "SELECT 1 FROM project JOIN swarm ON swarm.swarm_id = current_swarm_id WHERE project.project = :project",
        {"project": project},
    )
    return row is not None


async def list_version(tx: Connection, project: str) -> str:
    """Of the list: it changes when runs come, end, begin again or are deleted, and with the first swarm."""
    row = await tx.row(
        "SELECT COUNT(*) AS runs, MAX(created_ns) AS newest FROM run WHERE project = :project", {"project": project}
    )
    ended = await tx.row(
        "SELECT COUNT(finished_ns) AS n, MAX(finished_ns) AS newest FROM run WHERE project = :project",
        {"project": project},
    )
    assert row is not None, "an aggregate has one row"
    assert ended is not None, "an aggregate has one row"
    swarm = await has_current_swarm(tx, project)
    return as_json([swarm, row["runs"], row["newest"], ended["n"], ended["newest"]])


async def run_versions(tx: Connection, project: str, run_ids: Collection[str], now_ns: int) -> dict[str, str]:
    """Of runs: every change of a run or one of its tasks has an event, but for the end of its lease."""
    rows = await tx.rows(
        "SELECT run_id, status, lease_epoch,"
        " finished_ns IS NULL AND lease_owner IS NOT NULL AND lease_expires_ns <= :now AS lapsed,"
        " (SELECT MAX(event_id) FROM event WHERE event.run_id = run.run_id) AS event FROM run"
        " WHERE run_id IN (SELECT value FROM json_each(:ids)) AND project = :project",
        {"ids": as_json(sorted(run_ids)), "project": project, "now": now_ns},
    )
    return {row["run_id"]: as_json([row["status"], row["lease_epoch"], row["lapsed"], row["event"]]) for row in rows}


async def deliverable_versions(
    tx: Connection, project: str, places: Collection[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """Of what is found under (run, path); see `domain.addresses.DeliverableAddress`."""
    rows = await tx.over(
        "given (project, run_id, path)",
        [(project, run_id, path) for run_id, path in sorted(places)],
        "SELECT given.run_id, given.path, artefact_id, sha256 FROM given"
        " JOIN run ON run.run_id = given.run_id AND run.project = given.project"
        " JOIN artefact ON artefact.run_id = given.run_id AND (given.path IN (name, phase || '/' || name)"
        "  OR substr(given.path, 1, length(name) + 1) = name || '/')",
    )
    return {(row["run_id"], row["path"]): as_json([row["artefact_id"], row["sha256"]]) for row in rows}


async def entry_versions(
    tx: Connection, project: str, places: Collection[tuple[str, str]], now_ns: int
) -> dict[tuple[str, str], str]:
    """Of entries of memory under (namespace, key); one past its time is not there."""
    rows = await tx.over(
        "given (project, namespace, key, now)",
        [(project, namespace, key, now_ns) for namespace, key in sorted(places)],
        "SELECT given.namespace, given.key, memory_id, version FROM given JOIN memory ON memory.project = given.project"
        " AND memory.namespace = given.namespace AND memory.key = given.key"
        " AND (expires_ns IS NULL OR expires_ns > given.now)",
    )
    return {(row["namespace"], row["key"]): as_json([row["memory_id"], row["version"]]) for row in rows}


async def swarm_version(tx: Connection, project: str, now_ns: int) -> str | None:
    """Of the current swarm: its size and settings, its agents by state, and its unfinished runs."""
    swarm = await tx.row(
        "SELECT swarm.swarm_id, name, topology, strategy, max_agents, agents FROM project"
        " JOIN swarm ON swarm.swarm_id = current_swarm_id WHERE project.project = :project",
        {"project": project},
    )
    if swarm is None:
        return None
    of_it = {"swarm_id": swarm["swarm_id"]}
    agents = await tx.rows(
        "SELECT status, COUNT(*) AS n FROM agent WHERE swarm_id = :swarm_id GROUP BY status ORDER BY status", of_it
    )
    unfinished = await tx.rows("SELECT run_id FROM run WHERE swarm_id = :swarm_id AND finished_ns IS NULL", of_it)
    runs = await run_versions(tx, project, [row["run_id"] for row in unfinished], now_ns)
    return as_json([values(swarm), [values(row) for row in agents], sorted(runs.items())])


@dataclass(frozen=True, slots=True)
class WorkSeen:
    """How far the events of all projects have been looked through, and the project's last one that figures count."""

    newest: int
    counted: int


async def work_seen(tx: Connection, project: str, before: WorkSeen | None) -> WorkSeen:
    """The same, now. Only what came since `before` is looked through; without it nothing is."""
    if before is None:
        row = await tx.row("SELECT COALESCE(MAX(event_id), 0) AS newest FROM event")
        assert row is not None, "an aggregate has one row"
        return WorkSeen(row["newest"], row["newest"])
    row = await tx.row(
        "SELECT COALESCE(MAX(event_id), :newest) AS newest, COALESCE(MAX(event_id) FILTER (WHERE project = :project"
        " AND (kind IN ('task.succeeded', 'task.failed', 'task.cancelled') OR kind LIKE 'run.%')), :counted) AS counted"
        " FROM event WHERE event_id > :newest",
        {"project": project, "newest": before.newest, "counted": before.counted},
    )
    assert row is not None, "an aggregate has one row"
    return WorkSeen(row["newest"], row["counted"])

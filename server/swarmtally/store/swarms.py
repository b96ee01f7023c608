"""Projects and swarms."""

from dataclasses import asdict

from swarmtally.domain.swarm import Swarm
from swarmtally.store.connection import Connection, Row


async def ensure_project(tx: Connection, project: str, now_ns: int) -> None:
    await tx.rows(
        "INSERT INTO project (project, created_ns) VALUES (:project, :now) ON CONFLICT DO NOTHING",
        {"project": project, "now": now_ns},
    )


async def insert(tx: Connection, swarm: Swarm) -> None:
    """Write a new swarm and make it its project's current one."""
    await ensure_project(tx, swarm.project, swarm.created_ns)
    await tx.rows(
        "INSERT INTO swarm (swarm_id, project, name, topology, strategy, max_agents, model, created_ns)"
        " VALUES (:swarm_id, :project, :name, :topology, :strategy, :max_agents, :model, :created_ns)",
        asdict(swarm),
    )
    await make_current(tx, swarm.project, swarm.swarm_id)


async def make_current(tx: Connection, project: str, swarm_id: str | None) -> None:
    await tx.rows(
        "UPDATE project SET current_swarm_id = :swarm_id WHERE project = :project",
        {"project": project, "swarm_id": swarm_id},
    )


async def get(tx: Connection, project: str, swarm_id: str) -> Swarm | None:
    """The swarm, unless it belongs to another project."""
    row = await tx.row(
        "SELECT * FROM swarm WHERE swarm_id = :swarm_id AND project = :project",
        {"swarm_id": swarm_id, "project": project},
    )
    return Swarm.from_row(row) if row else None


async def current(tx: Connection, project: str) -> Swarm | None:
    row = await tx.row(
        "SELECT swarm.* FROM project JOIN swarm ON swarm.swarm_id = project.current_swarm_id"
        " WHERE project.project = :project",
        {"project": project},
    )
    return Swarm.from_row(row) if row else None


async def newest(tx: Connection, project: str, limit: int) -> list[Row]:
    """The project's swarms, newest first, each with its `agents` count and whether it `is_current`."""
    return await tx.rows(
        "SELECT swarm.*, swarm.swarm_id IS project.current_swarm_id AS is_current"
        " FROM swarm JOIN project ON project.project = swarm.project"
        " WHERE swarm.project = :project ORDER BY swarm.created_ns DESC, swarm.swarm_id LIMIT :limit",
        {"project": project, "limit": limit},
    )


async def unfinished_runs(tx: Connection, swarm_id: str) -> int:
    row = await tx.row(
        "SELECT COUNT(*) AS n FROM run WHERE swarm_id = :swarm_id AND finished_ns IS NULL", {"swarm_id": swarm_id}
    )
    return int(row["n"]) if row else 0


async def delete(tx: Connection, project: str, swarm_id: str) -> None:
    """Remove a swarm and its agents; its runs, figures and artefacts stay."""
    await tx.rows(
        "UPDATE project SET current_swarm_id = NULL WHERE project = :project AND current_swarm_id = :swarm_id",
        {"project": project, "swarm_id": swarm_id},
    )
    await tx.rows("DELETE FROM swarm WHERE swarm_id = :swarm_id", {"swarm_id": swarm_id})


async def known(tx: Connection, project: str, swarm_id: str) -> bool:
    """Whether the project has the swarm, or runs of it from before it was deleted."""
    row = await tx.row(
        "SELECT EXISTS (SELECT 1 FROM swarm WHERE swarm_id = :swarm_id AND project = :project)"
        " OR EXISTS (SELECT 1 FROM run WHERE swarm_id = :swarm_id AND project = :project) AS known",
        {"project": project, "swarm_id": swarm_id},
    )
    return bool(row and row["known"])


async def set_max_agents(tx: Connection, swarm_id: str, max_agents: int) -> None:
    await tx.rows(
        "UPDATE swarm SET max_agents = :max_agents WHERE swarm_id = :swarm_id",
        {"swarm_id": swarm_id, "max_agents": max_agents},
    )


async def roles_wanted(tx: Connection, swarm_id: str) -> list[str]:
    """The roles that unfinished tasks of the swarm's runs want."""
    rows = await tx.rows(
        "SELECT DISTINCT task.role FROM run JOIN task ON task.run_id = run.run_id"
        " WHERE run.swarm_id = :swarm_id AND run.finished_ns IS NULL AND task.finished_ns IS NULL ORDER BY task.role",
        {"swarm_id": swarm_id},
    )
    return [row["role"] for row in rows]


async def has_unplanned_tasks(tx: Connection, swarm_id: str) -> bool:
    """Whether an unfinished run of the swarm will make tasks of roles that nobody knows yet."""
    row = await tx.row(
        "SELECT 1 FROM run JOIN task ON task.run_id = run.run_id"
        " WHERE run.swarm_id = :swarm_id AND run.finished_ns IS NULL AND task.finished_ns IS NULL AND task.expands",
        {"swarm_id": swarm_id},
    )
    return row is not None

"""How long finished tasks took, and since when agents have worked on theirs."""

from swarmtally.store.connection import Connection, Row


async def of_succeeded(tx: Connection, project: str, until_ns: int, limit: int) -> list[tuple[str, int]]:
    """(role, exec_ns of the attempt that succeeded) of the project's succeeded tasks, newest runs first; those of
    calibrations, which are counted in no figure, left out."""
    return await _succeeded(tx, "role", project, until_ns, limit)


async def of_modes(tx: Connection, project: str, until_ns: int, limit: int) -> list[tuple[str, int]]:
    """The same as (mode, exec_ns)."""
    return await _succeeded(tx, "mode", project, until_ns, limit)


async def _succeeded(tx: Connection, by: str, project: str, until_ns: int, limit: int) -> list[tuple[str, int]]:
    rows = await tx.rows(
        # CROSS JOIN keeps this order of loops: runs by their index, newest first, until there are enough.
        f"SELECT task.{by} AS name, attempt.exec_ns FROM run"
        " CROSS JOIN task ON task.run_id = run.run_id AND task.status = 'succeeded'"
        " CROSS JOIN attempt ON attempt.task_id = task.task_id AND attempt.status = 'succeeded'"
        " WHERE run.project = :project AND run.kind <> 'calibration'"
        " AND attempt.exec_ns IS NOT NULL AND attempt.committed_ns <= :until"
        " ORDER BY run.created_ns DESC, run.run_id DESC, task.ordinal DESC LIMIT :limit",
        {"project": project, "until": until_ns, "limit": limit},
    )
    return [(row["name"], row["exec_ns"]) for row in rows]


async def under_way(tx: Connection, swarm_id: str) -> list[Row]:
    """For each busy agent of the swarm: agent_id, the role of its task, and when it claimed it (claimed_ns)."""
    return await tx.rows(
        "SELECT agent.agent_id, task.role, attempt.claimed_ns FROM agent"
        " JOIN task ON task.task_id = agent.task_id"
        " JOIN attempt ON attempt.task_id = task.task_id AND attempt.status = 'running'"
        " WHERE agent.swarm_id = :swarm_id AND agent.status = 'busy'",
        {"swarm_id": swarm_id},
    )

"""What must be true of every database at every moment, whoever works on it; asked by SQL."""

from pathlib import Path

from swarmtally.domain.clock import SystemClock
from swarmtally.store.connection import Connection
from swarmtally.store.database import open_database

ALWAYS = {
    "a busy agent does its task's newest attempt, which is running and names it": (
        "SELECT agent_id FROM agent WHERE status = 'busy' AND NOT EXISTS (SELECT 1 FROM attempt"
        " WHERE attempt.task_id = agent.task_id AND attempt.agent_id = agent.agent_id AND attempt.status = 'running'"
        " AND number = (SELECT MAX(number) FROM attempt AS other WHERE other.task_id = agent.task_id))"
    ),
    "a running attempt's agent is busy with its task": (
        "SELECT attempt.task_id FROM attempt LEFT JOIN agent USING (agent_id)"
        " WHERE attempt.status = 'running' AND agent.task_id IS NOT attempt.task_id"
    ),
    "a running attempt was begun under the present hold on its run": (
        "SELECT attempt.task_id FROM attempt JOIN task USING (task_id) JOIN run USING (run_id)"
        " WHERE attempt.status = 'running' AND epoch <> lease_epoch"
    ),
    "no two running attempts name one agent": (
        "SELECT agent_id FROM attempt WHERE status = 'running' GROUP BY agent_id HAVING COUNT(*) > 1"
    ),
    "a swarm counts the agents that have not left": (
        "SELECT swarm_id, agents FROM swarm WHERE agents <>"
        " (SELECT COUNT(*) FROM agent WHERE agent.swarm_id = swarm.swarm_id AND status <> 'left')"
    ),
    "a running task has one running attempt, any other none": (
        "SELECT task_id, status FROM task WHERE (status = 'running') <>"
        " (SELECT COUNT(*) FROM attempt WHERE attempt.task_id = task.task_id AND attempt.status = 'running')"
    ),
    "a task of a finished run is final": (
        "SELECT task_id, task.status FROM task JOIN run USING (run_id)"
        " WHERE run.finished_ns IS NOT NULL AND task.finished_ns IS NULL"
    ),
    "a finished run is final, and a final run finished": (
        "SELECT run_id, status FROM run"
        " WHERE (finished_ns IS NOT NULL) <> (status IN ('succeeded', 'failed', 'cancelled'))"
    ),
    "an ended attempt has no open call": (
        "SELECT usage_id, attempt.status FROM usage LEFT JOIN attempt USING (task_id, number)"
        " WHERE usage.status = 'open' AND attempt.status IS NOT 'running'"
    ),
    "a blocked task waits for as many tasks as have not ended": (
        "SELECT task_id, pending FROM task WHERE status = 'blocked' AND pending <>"
        " (SELECT COUNT(*) FROM dependency JOIN task AS other ON other.task_id = dependency.depends_on"
        "  WHERE dependency.task_id = task.task_id AND other.finished_ns IS NULL)"
    ),
    "an agent counts the attempts in which it ended a task, also those kept no longer": (
        "SELECT agent_id, tasks_succeeded, tasks_failed FROM agent WHERE (tasks_succeeded, tasks_failed) <>"
        " (SELECT COALESCE(SUM(status = 'succeeded'), 0), COALESCE(SUM(status = 'failed' AND final), 0)"
        "  FROM attempt WHERE attempt.agent_id = agent.agent_id)"
        " AND NOT EXISTS (SELECT 1 FROM forgotten WHERE what = 'runs')"
        # An older version did not note which failure ended a task.
        " AND NOT EXISTS (SELECT 1 FROM attempt WHERE status = 'failed' AND final IS NULL)"
    ),
    "a succeeded task has one result and one attempt that made it": (
        "SELECT task_id FROM task WHERE (status = 'succeeded') <>"
        " (SELECT COUNT(*) FROM artefact WHERE artefact.task_id = task.task_id) OR (status = 'succeeded') <>"
        " (SELECT COUNT(*) FROM attempt WHERE attempt.task_id = task.task_id AND attempt.status = 'succeeded')"
    ),
}

AT_REST = {
    "a run whose tasks have all ended is finished": (
        "SELECT run_id FROM run WHERE finished_ns IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM task WHERE task.run_id = run.run_id AND task.finished_ns IS NULL)"
    ),
    "nobody is busy": "SELECT agent_id FROM agent WHERE status = 'busy'",
    "no call is open": "SELECT usage_id FROM usage WHERE status = 'open'",
}


async def broken(tx: Connection, *, at_rest: bool = False) -> dict[str, list[tuple[object, ...]]]:
    """What is not as it must be, with the rows that show it."""
    found = {}
    for law, sql in (ALWAYS | AT_REST if at_rest else ALWAYS).items():
        rows = [tuple(row) for row in await tx.rows(sql)]
        if rows:
            found[law] = rows
    return found


async def assert_lawful(path: Path, *, at_rest: bool = False) -> None:
    """Look at the database through a connection of our own."""
    async with open_database(path, SystemClock()) as database:
        assert await database.read(lambda tx: broken(tx, at_rest=at_rest)) == {}

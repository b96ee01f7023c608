"""What failed in a project's runs, and which of some ids are its own."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from swarmtally.store.connection import Connection, as_json

LOST = "the process that executed the attempt is gone"
"""What is said of attempts that were lost: nobody was left to record an error."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that failed or was lost with its process."""

    task_id: str
    agent_id: str
    mode: str
    at_ns: int
    """When it was recorded."""
    error: str

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Failure":
        return cls(row["task_id"], row["agent_id"], row["mode"], row["committed_ns"], row["error"])


async def newest(tx: Connection, project: str, most: int) -> list[Failure]:
    """The project's newest failures, at most `most`, in the order in which they were recorded."""
    rows = await tx.rows(
        "SELECT attempt.task_id, attempt.agent_id, task.mode, committed_ns,"
        " COALESCE(attempt.error, CASE attempt.status WHEN 'lost' THEN :lost ELSE '' END) AS error"
        " FROM attempt INDEXED BY attempt_failed CROSS JOIN task USING (task_id) CROSS JOIN run USING (run_id)"
        " WHERE attempt.status IN ('failed', 'lost') AND committed_ns IS NOT NULL AND project = :project"
        " ORDER BY committed_ns DESC LIMIT :most",
        {"project": project, "most": most, "lost": LOST},
    )
    return [Failure.from_row(row) for row in reversed(rows)]


async def own_ids(tx: Connection, project: str, ids: Collection[str]) -> set[str]:
    """Those of `ids` that name a task or an agent of the project."""
    rows = await tx.rows(
        "WITH given AS (SELECT value AS id FROM json_each(:ids))"
        " SELECT id FROM given JOIN task ON task_id = id JOIN run USING (run_id) WHERE project = :project"
        " UNION SELECT id FROM given JOIN agent ON agent_id = id JOIN swarm USING (swarm_id) WHERE project = :project",
        {"ids": as_json(sorted(ids)), "project": project},
    )
    return {row["id"] for row in rows}

"""Agents: who is in a swarm, who is idle, who does what."""

import json
from collections.abc import Sequence

from swarmtally.domain.swarm import Agent
from swarmtally.store.connection import Connection, as_json


async def make_room(tx: Connection, swarm_id: str, count: int) -> bool:
    """Count `count` more agents into the swarm when they fit under its max_agents; False when they do not."""
    row = await tx.row(
        "UPDATE swarm SET agents = agents + :count"
        " WHERE swarm_id = :swarm_id AND agents + :count <= max_agents RETURNING agents",
        {"swarm_id": swarm_id, "count": count},
    )
    return row is not None


async def count(tx: Connection, swarm_id: str) -> int:
    row = await tx.row("SELECT agents FROM swarm WHERE swarm_id = :swarm_id", {"swarm_id": swarm_id})
    return int(row["agents"]) if row else 0


async def insert(tx: Connection, agents: Sequence[Agent]) -> None:
    """Write new idle agents of one swarm, for which `make_room` has made room, in joining order."""
    swarm_id = agents[0].swarm_id
    row = await tx.row(
        "SELECT COALESCE(MAX(joined), -1) + 1 AS next FROM agent WHERE swarm_id = :swarm_id", {"swarm_id": swarm_id}
    )
    first = int(row["next"]) if row else 0
    await tx.many(
        "INSERT INTO agent (agent_id, swarm_id, joined, role, name, capabilities, status, idle_since_ns, created_ns)"
        " VALUES (:agent_id, :swarm_id, :joined, :role, :name, :capabilities, 'idle', :idle_since_ns, :created_ns)",
        [
            {
                "agent_id": agent.agent_id,
                "swarm_id": agent.swarm_id,
                "joined": first + offset,
                "role": agent.role,
                "name": agent.name,
                "capabilities": json.dumps(agent.capabilities, ensure_ascii=False),
                "idle_since_ns": agent.idle_since_ns,
                "created_ns": agent.created_ns,
            }
            for offset, agent in enumerate(agents)
        ],
    )


async def ids_in_joining_order(tx: Connection, swarm_id: str) -> list[str]:
    rows = await tx.rows(
        "SELECT agent_id FROM agent WHERE swarm_id = :swarm_id ORDER BY joined", {"swarm_id": swarm_id}
    )
    return [row["agent_id"] for row in rows]


async def roles(tx: Connection, swarm_id: str) -> dict[str, int]:
    """How many agents of each role the swarm has."""
    rows = await tx.rows(
        "SELECT role, COUNT(*) AS n FROM agent WHERE swarm_id = :swarm_id GROUP BY role ORDER BY role",
        {"swarm_id": swarm_id},
    )
    return {row["role"]: row["n"] for row in rows}


async def idle(tx: Connection, swarm_id: str, role: str | None, limit: int) -> list[Agent]:
    """Idle agents of the swarm, idle longest first; of one role, or of any when `role` is None."""
    rows = await tx.rows(
        "SELECT * FROM agent WHERE swarm_id = :swarm_id AND status = 'idle' AND (:role IS NULL OR role = :role)"
        " ORDER BY idle_since_ns, joined LIMIT :limit",
        {"swarm_id": swarm_id, "role": role, "limit": limit},
    )
    return [Agent.from_row(row) for row in rows]


async def take(tx: Connection, pairs: Sequence[tuple[str, str]]) -> set[str]:
    """Set each (agent_id, task_id) to busy; returns the agents that were idle and are now taken."""
    rows = await tx.rows(
        "UPDATE agent SET status = 'busy', task_id = wanted.task_id"
        " FROM (SELECT json_extract(value, '$[0]') AS agent_id, json_extract(value, '$[1]') AS task_id"
        "       FROM json_each(:pairs)) AS wanted"
        " WHERE agent.agent_id = wanted.agent_id AND agent.status = 'idle' RETURNING agent.agent_id",
        {"pairs": as_json(pairs)},
    )
    return {row["agent_id"] for row in rows}


async def release(tx: Connection, results: Sequence[tuple[str, str, int, int]], now_ns: int) -> None:
    """Make agents idle again: (agent_id, task_id, succeeded 0|1, failed 0|1). One that has moved on is left alone."""
    await tx.rows(
        "UPDATE agent SET status = 'idle', task_id = NULL, idle_since_ns = :now,"
        " tasks_succeeded = tasks_succeeded + done.succeeded, tasks_failed = tasks_failed + done.failed"
        " FROM (SELECT json_extract(value, '$[0]') AS agent_id, json_extract(value, '$[1]') AS task_id,"
        "              json_extract(value, '$[2]') AS succeeded, json_extract(value, '$[3]') AS failed"
        "       FROM json_each(:results)) AS done"
        " WHERE agent.agent_id = done.agent_id AND agent.task_id = done.task_id RETURNING agent.agent_id",
        {"results": as_json(results), "now": now_ns},
    )

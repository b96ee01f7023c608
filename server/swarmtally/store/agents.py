"""Agents: who is in a swarm, who is idle, who does what."""

import json
from collections.abc import Sequence

from swarmtally.domain.swarm import Agent, IdleAgent
from swarmtally.store import events
from swarmtally.store.connection import Connection, Row, as_json
from swarmtally.store.events import Event


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
        "SELECT agent_id FROM agent WHERE swarm_id = :swarm_id AND status <> 'left' ORDER BY joined",
        {"swarm_id": swarm_id},
    )
    return [row["agent_id"] for row in rows]


async def newest(tx: Connection, swarm_id: str) -> str | None:
    """Who joined the swarm last, also when it has left since."""
    row = await tx.row(
        "SELECT agent_id FROM agent WHERE swarm_id = :swarm_id ORDER BY joined DESC LIMIT 1", {"swarm_id": swarm_id}
    )
    return row["agent_id"] if row else None


async def roles(tx: Connection, swarm_id: str) -> dict[str, int]:
    """How many agents of each role the swarm has."""
    rows = await tx.rows(
        "SELECT role, COUNT(*) AS n FROM agent WHERE swarm_id = :swarm_id AND status <> 'left'"
        " GROUP BY role ORDER BY role",
        {"swarm_id": swarm_id},
    )
    return {row["role"]: row["n"] for row in rows}


async def idle(tx: Connection, swarm_id: str, role: str | None, limit: int) -> list[IdleAgent]:
    """Idle agents of the swarm, idle longest first; of one role, or of any when `role` is None."""
    rows = await tx.rows(
        f"{_IDLE} swarm_id = :swarm_id AND status = 'idle' AND (:role IS NULL OR role = :role)"
        " ORDER BY idle_since_ns, joined LIMIT :limit",
        {"swarm_id": swarm_id, "role": role, "limit": limit},
    )
    return [IdleAgent(row["agent_id"], row["role"], row["idle_since_ns"]) for row in rows]


async def idle_among(tx: Connection, agent_ids: Sequence[str]) -> list[IdleAgent]:
    """Those of `agent_ids` that are idle."""
    if not agent_ids:
        return []
    rows = await tx.rows(
        f"{_IDLE} agent_id IN (SELECT value FROM json_each(:ids)) AND status = 'idle'",
        {"ids": as_json(agent_ids)},
    )
    return [IdleAgent(row["agent_id"], row["role"], row["idle_since_ns"]) for row in rows]


_IDLE = f"SELECT {', '.join(IdleAgent._fields)} FROM agent WHERE"


async def hub(tx: Connection, swarm_id: str) -> Agent | None:
    """The swarm's first agent: its hub, root or first of the ring."""
    row = await tx.row(
        "SELECT * FROM agent WHERE swarm_id = :swarm_id AND status <> 'left' ORDER BY joined LIMIT 1",
        {"swarm_id": swarm_id},
    )
    return Agent.from_row(row) if row else None


async def of_solo_runs(tx: Connection, run_ids: Sequence[str]) -> list[Row]:
    """The agent of each solo run, while it is in the swarm: who did its last task; with run_id and status."""
    return await tx.rows(
        "SELECT run.run_id, agent.agent_id, agent.status, MAX(task.finished_ns) FROM run"
        " JOIN task ON task.run_id = run.run_id AND task.status = 'succeeded'"
        " JOIN agent ON agent.agent_id = task.agent_id AND agent.status <> 'left'"
        " WHERE run.run_id IN (SELECT value FROM json_each(:ids)) AND run.shape = 'solo' GROUP BY run.run_id",
        {"ids": as_json(run_ids)},
    )


async def take(tx: Connection, pairs: Sequence[tuple[str, str]]) -> set[str]:
    """Set each (agent_id, task_id) to busy; returns the agents that were idle and are now taken."""
    rows = await tx.over(
        "given (agent_id, task_id)",
        pairs,
        "UPDATE agent SET status = 'busy', task_id = given.task_id FROM given"
        " WHERE agent.agent_id = given.agent_id AND agent.status = 'idle' RETURNING agent.agent_id",
    )
    return {row["agent_id"] for row in rows}


async def release(tx: Connection, results: Sequence[tuple[str, str, int, int]], now_ns: int) -> None:
    """Free agents of their tasks: (agent_id, task_id, succeeded 0|1, failed 0|1). One that has moved on is left alone;
    one that drains leaves the swarm."""
    rows = await tx.over(
        "given (agent_id, task_id, succeeded, failed, now_ns)",
        [(*result, now_ns) for result in results],
        f"UPDATE agent SET {_FREED.format(now='given.now_ns')},"
        " tasks_succeeded = tasks_succeeded + given.succeeded, tasks_failed = tasks_failed + given.failed"
        " FROM given WHERE agent.agent_id = given.agent_id AND agent.task_id = given.task_id"
        " RETURNING agent.agent_id, agent.swarm_id, agent.status",
    )
    await _record_left(tx, rows, now_ns)


async def credit(tx: Connection, agent_id: str, succeeded: int, failed: int) -> None:
    """Count a task's end for an agent that was freed of the task before it was reported, and may do another one now."""
    await tx.rows(
        "UPDATE agent SET tasks_succeeded = tasks_succeeded + :succeeded, tasks_failed = tasks_failed + :failed"
        " WHERE agent_id = :agent_id",
        {"agent_id": agent_id, "succeeded": succeeded, "failed": failed},
    )


async def release_from(tx: Connection, task_ids: Sequence[str], now_ns: int) -> None:
    """Free whoever works on `task_ids`, without a result."""
    rows = await tx.rows(
        f"UPDATE agent SET {_FREED.format(now=':now')} WHERE task_id IN (SELECT value FROM json_each(:ids))"
        " RETURNING agent_id, swarm_id, status",
        {"ids": as_json(task_ids), "now": now_ns},
    )
    await _record_left(tx, rows, now_ns)


_FREED = (
    "task_id = NULL, idle_since_ns = {now}, status = CASE WHEN draining THEN 'left' ELSE 'idle' END,"
    " left_ns = CASE WHEN draining THEN {now} END"
)


async def _record_left(tx: Connection, freed: Sequence[Row], now_ns: int) -> None:
    """Count those of `freed` that left out of their swarms."""
    left = [row for row in freed if row["status"] == "left"]
    for swarm_id in dict.fromkeys(row["swarm_id"] for row in left):
        gone = [row["agent_id"] for row in left if row["swarm_id"] == swarm_id]
        swarm = await tx.row(
            "UPDATE swarm SET agents = agents - :count WHERE swarm_id = :swarm_id RETURNING project",
            {"count": len(gone), "swarm_id": swarm_id},
        )
        assert swarm is not None, "an agent belongs to a swarm"
        await events.record(
            tx, [Event(now_ns, "agent.left", swarm["project"], swarm_id, agent_id=agent_id) for agent_id in gone]
        )


async def present(tx: Connection, swarm_id: str) -> list[Agent]:
    """The swarm's agents in joining order, without those that left."""
    rows = await tx.rows(
        "SELECT * FROM agent WHERE swarm_id = :swarm_id AND status <> 'left' ORDER BY joined", {"swarm_id": swarm_id}
    )
    return [Agent.from_row(row) for row in rows]


async def drain(tx: Connection, agent_ids: Sequence[str], now_ns: int) -> None:
    """Have agents leave: idle ones now, busy ones when their task is done."""
    rows = await tx.rows(
        "UPDATE agent SET draining = 1,"
        " status = CASE status WHEN 'idle' THEN 'left' ELSE status END,"
        " left_ns = CASE status WHEN 'idle' THEN :now END"
        " WHERE agent_id IN (SELECT value FROM json_each(:ids)) RETURNING agent_id, swarm_id, status",
        {"ids": as_json(agent_ids), "now": now_ns},
    )
    await _record_left(tx, rows, now_ns)


async def keep(tx: Connection, agent_ids: Sequence[str]) -> None:
    """Have draining agents stay."""
    await tx.rows(
        "UPDATE agent SET draining = 0 WHERE agent_id IN (SELECT value FROM json_each(:ids))",
        {"ids": as_json(agent_ids)},
    )

"""New agents: made, and stored with their events."""

from collections.abc import Sequence

from swarmtally.domain.errors import RoleMissing
from swarmtally.domain.ids import NewId
from swarmtally.domain.swarm import Agent, AgentStatus, Swarm
from swarmtally.store import agents, events
from swarmtally.store.connection import Connection
from swarmtally.store.events import Event


def new_agents(
    new_id: NewId,
    swarm: Swarm,
    roles: Sequence[str],
    now_ns: int,
    name: str | None = None,
    capabilities: tuple[str, ...] = (),
) -> list[Agent]:
    """Idle agents of the given roles, not stored yet. Without a name each is called after its role and id."""
    made = []
    for role in roles:
        agent_id = new_id("a")
        made.append(
            Agent(
                agent_id=agent_id,
                swarm_id=swarm.swarm_id,
                role=role,
                name=name or f"{role}-{agent_id[-4:]}",
                capabilities=capabilities,
                status=AgentStatus.IDLE,
                draining=False,
                task_id=None,
                idle_since_ns=now_ns,
                tasks_succeeded=0,
                tasks_failed=0,
                created_ns=now_ns,
            )
        )
    return made


async def add_agents(tx: Connection, swarm: Swarm, made: Sequence[Agent]) -> None:
    """Store agents for which room has been made, each with its event."""
    await agents.insert(tx, made)
    await events.record(
        tx,
        [
            Event(
                agent.created_ns,
                "agent.spawned",
                swarm.project,
                swarm.swarm_id,
                agent_id=agent.agent_id,
                detail=agent.role,
            )
            for agent in made
        ],
    )


async def serve_roles(tx: Connection, swarm: Swarm, roles: Sequence[str], new_id: NewId, now_ns: int) -> None:
    """Give a specialized swarm one agent of each role it lacks.

    Raises:
        RoleMissing: there is no room for them all; none is added.
    """
    present = await agents.roles(tx, swarm.swarm_id)
    lacking = tuple(role for role in dict.fromkeys(roles) if role not in present)
    if not lacking:
        return
    if not await agents.make_room(tx, swarm.swarm_id, len(lacking)):
        room = swarm.max_agents - await agents.count(tx, swarm.swarm_id)
        raise RoleMissing(swarm.swarm_id, lacking, room)
    await add_agents(tx, swarm, new_agents(new_id, swarm, lacking, now_ns))

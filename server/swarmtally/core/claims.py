"""Handing ready tasks to agents: one write transaction for many tasks of many runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from swarmtally.core.assignment import Assignment, assign
from swarmtally.core.leases import scope
from swarmtally.core.spawning import add_agents, new_agents
from swarmtally.domain.ids import NewId
from swarmtally.domain.run import Lease, Run
from swarmtally.domain.swarm import Agent, Strategy, Swarm
from swarmtally.domain.task import Claim, Task
from swarmtally.store import agents, events, ready, runs, swarms, tasks
from swarmtally.store.connection import Connection
from swarmtally.store.events import Event


@dataclass(frozen=True, slots=True)
class HeldRun:
    """A run this process holds."""

    run: Run
    lease: Lease


@dataclass(frozen=True, slots=True)
class Demand:
    """Runs that share a backend, and how many more calls that backend takes now."""

    held: tuple[HeldRun, ...]
    slots: int
    only: frozenset[str] | None = None
    """The tasks to choose from; None: all that are ready."""
    role: str | None = None
    """Only tasks that want this role; None: any."""


async def startable(tx: Connection, demand: Demand, now_ns: int) -> list[Task]:
    """The tasks that `claim` would start, swarm by swarm; changes nothing."""
    matched = await _matched(tx, demand, now_ns)
    return [item.task for _, _, assignments in matched for item in assignments]


async def claim(tx: Connection, demand: Demand, new_id: NewId, now_ns: int) -> list[Claim]:
    """Start attempts for as many ready tasks as slots, agents and room allow.

    Tasks start by priority, then longest remaining path, then age. Runs no longer ours, or paused, are passed over.
    """
    claims: list[Claim] = []
    for swarm, members, assignments in await _matched(tx, demand, now_ns):
        claims += await _start(tx, swarm, members, assignments, new_id, now_ns)
    return claims


async def _matched(tx: Connection, demand: Demand, now_ns: int) -> list[tuple[Swarm, list[HeldRun], list[Assignment]]]:
    ours = await runs.taking_tasks(tx, [held.lease for held in demand.held])
    by_swarm: dict[tuple[str, str], list[HeldRun]] = {}
    for held in demand.held:
        if held.run.run_id in ours:
            by_swarm.setdefault((held.run.project, held.run.swarm_id), []).append(held)
    matched: list[tuple[Swarm, list[HeldRun], list[Assignment]]] = []
    slots = demand.slots
    for (project, swarm_id), members in by_swarm.items():
        swarm = await swarms.get(tx, project, swarm_id)
        if slots <= 0 or swarm is None:
            continue
        found = await _match(tx, swarm, [held.run.run_id for held in members], slots, demand, now_ns)
        matched.append((swarm, members, found))
        slots -= len(found)
    return matched


async def _match(
    tx: Connection, swarm: Swarm, run_ids: list[str], slots: int, demand: Demand, now_ns: int
) -> list[Assignment]:
    specialized = swarm.strategy is Strategy.SPECIALIZED
    if demand.only is not None:
        waiting = await ready.among(tx, run_ids, sorted(demand.only), now_ns)
    else:
        waiting = await _waiting(tx, run_ids, demand.role, slots, now_ns, specialized=specialized)
    if not waiting:
        return []
    idle: dict[str, Agent] = {}
    for role in dict.fromkeys(task.role for task in waiting):
        idle |= {agent.agent_id: agent for agent in await agents.idle(tx, swarm.swarm_id, role, slots)}
    if not specialized:
        idle |= {agent.agent_id: agent for agent in await agents.idle(tx, swarm.swarm_id, None, slots)}
    longest_first = sorted(idle.values(), key=lambda agent: (agent.idle_since_ns, agent.agent_id))
    room = swarm.max_agents - await agents.count(tx, swarm.swarm_id)
    return assign(waiting, longest_first, room, swarm.strategy)[:slots]


async def _waiting(
    tx: Connection, run_ids: list[str], role: str | None, slots: int, now_ns: int, *, specialized: bool
) -> list[Task]:
    """The tasks that could start now. In a specialized swarm each role has a queue of its own: a task whose role is
    busy must not hide one whose role is idle."""
    if role is not None or not specialized:
        return await ready.first(tx, run_ids, role, now_ns, slots)
    found: list[Task] = []
    for role in await ready.roles(tx, run_ids, now_ns):
        found += await ready.first(tx, run_ids, role, now_ns, slots)
    return sorted(found, key=lambda task: (-task.priority, -task.remaining_path, task.created_ns, task.ordinal))


async def _start(
    tx: Connection,
    swarm: Swarm,
    members: Sequence[HeldRun],
    assignments: Sequence[Assignment],
    new_id: NewId,
    now_ns: int,
) -> list[Claim]:
    if not assignments:
        return []
    made = new_agents(new_id, swarm, [item.task.role for item in assignments if item.agent is None], now_ns)
    if made:
        room = await agents.make_room(tx, swarm.swarm_id, len(made))
        assert room, "the room was counted in this transaction"
        await add_agents(tx, swarm, made)
    fresh = iter(made)
    pairs = [(item.task, (item.agent or next(fresh)).agent_id) for item in assignments]
    taken = await agents.take(tx, [(agent_id, task.task_id) for task, agent_id in pairs])
    assert len(taken) == len(pairs), "an idle agent was taken inside our own write transaction"
    begun = await runs.begin(tx, list(dict.fromkeys(task.run_id for task, _ in pairs)), now_ns)
    await events.record(
        tx, [Event(now_ns, "run.running", row["project"], row["swarm_id"], row["run_id"]) for row in begun]
    )
    claims: list[Claim] = []
    for held in members:
        mine = [(task, agent_id) for task, agent_id in pairs if task.run_id == held.run.run_id]
        if mine:
            claims += await tasks.start_attempts(tx, scope(held.run), held.lease.epoch, mine, now_ns)
    return claims

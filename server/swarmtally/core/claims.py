"""Handing ready tasks to agents: one write transaction for many tasks of many runs."""

from collections import Counter
from dataclasses import dataclass, replace

from swarmtally.core.assignment import Assignment, Bound, assign, precedence
from swarmtally.core.leases import scope
from swarmtally.core.ports import BackendInfo
from swarmtally.core.router import hand_over
from swarmtally.core.spawning import add_agents, new_agents
from swarmtally.domain.ids import NewId
from swarmtally.domain.run import Lease, Run
from swarmtally.domain.swarm import AgentStatus, IdleAgent, Strategy, Swarm
from swarmtally.domain.task import Claim, Task
from swarmtally.store import agents, events, ready, runs, swarms, tasks
from swarmtally.store.connection import Connection
from swarmtally.store.events import Event
from swarmtally.store.ready import Ready


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
    """The role of the tasks to choose from; None: any."""
    info: BackendInfo | None = None
    """What the runs share; None: clients do the work."""


@dataclass(frozen=True, slots=True)
class _Match:
    """What could start in one swarm now."""

    swarm: Swarm
    members: tuple[HeldRun, ...]
    assignments: tuple[Assignment, ...]


async def claim(tx: Connection, demand: Demand, new_id: NewId, now_ns: int) -> list[Claim]:
    """Start attempts for as many ready tasks as slots, agents and room allow.

    Tasks start by priority, then longest remaining path, then age. Runs no longer ours, or paused, are passed over.
    """
    claims: list[Claim] = []
    for match in await _matches(tx, demand, now_ns):
        claims += await _start(tx, match, demand.info, new_id, now_ns)
    return claims


async def startable(tx: Connection, demand: Demand, now_ns: int) -> list[Task]:
    """The tasks that `claim` would start now."""
    return [item.task for match in await _matches(tx, demand, now_ns) for item in match.assignments]


async def _matches(tx: Connection, demand: Demand, now_ns: int) -> list[_Match]:
    ours = await runs.taking_tasks(tx, [held.lease for held in demand.held])
    by_swarm: dict[tuple[str, str], list[HeldRun]] = {}
    for held in demand.held:
        if held.run.run_id in ours:
            by_swarm.setdefault((held.run.project, held.run.swarm_id), []).append(held)
    found: list[_Match] = []
    slots = demand.slots
    for (project, swarm_id), members in by_swarm.items():
        swarm = await swarms.get(tx, project, swarm_id)
        if slots <= 0 or swarm is None:
            continue
        made_ns = {held.run.run_id: held.run.created_ns for held in members}
        assignments = await _assign(tx, swarm, made_ns, replace(demand, slots=slots), now_ns)
        slots -= len(assignments)
        found.append(_Match(swarm, tuple(members), tuple(assignments)))
    return found


async def _assign(
    tx: Connection, swarm: Swarm, made_ns: dict[str, int], demand: Demand, now_ns: int
) -> list[Assignment]:
    """Who takes what of the runs in `made_ns` (when each was made)."""
    specialized = swarm.strategy is Strategy.SPECIALIZED
    bound, out_of_reach = await _bound(tx, swarm, list(made_ns))
    # As `assignment.out_of_reach` says of one task.
    asked = Ready(
        tuple(run_id for run_id in made_ns if run_id not in out_of_reach.runs),
        hub=not out_of_reach.hub,
        role=demand.role,
        only=demand.only,
    )
    waiting = await _waiting(tx, asked, demand.slots, now_ns, made_ns if specialized else None)
    if not waiting:
        return []
    idle: dict[str, IdleAgent] = {}
    for role, wanted in Counter(task.role for task in waiting).items():
        idle |= {agent.agent_id: agent for agent in await agents.idle(tx, swarm.swarm_id, role, wanted)}
    if not specialized and len(idle) < len(waiting):
        idle |= {agent.agent_id: agent for agent in await agents.idle(tx, swarm.swarm_id, None, len(waiting))}
    named = [agent_id for agent_id in map(bound.agent_of, waiting) if agent_id is not None]
    idle |= {agent.agent_id: agent for agent in await agents.idle_among(tx, named)}
    longest_first = sorted(idle.values(), key=lambda agent: (agent.idle_since_ns, agent.agent_id))
    room = swarm.max_agents - await agents.count(tx, swarm.swarm_id)
    return assign(waiting, longest_first, room, swarm.strategy, bound)[: demand.slots]


@dataclass(frozen=True, slots=True)
class _OutOfReach:
    """Whose one agent is busy: the hub's tasks, and solo runs."""

    hub: bool
    runs: frozenset[str]


async def _bound(tx: Connection, swarm: Swarm, run_ids: list[str]) -> tuple[Bound, _OutOfReach]:
    hub = await agents.hub(tx, swarm.swarm_id)
    solo: dict[str, str] = {}
    busy = set()
    if swarm.strategy is not Strategy.SPECIALIZED:  # there the role decides, also in a solo run
        for row in await agents.of_solo_runs(tx, run_ids):
            solo[row["run_id"]] = row["agent_id"]
            if row["status"] != AgentStatus.IDLE:
                busy.add(row["run_id"])
    hub_busy = hub is not None and hub.status is not AgentStatus.IDLE
    return Bound(hub.agent_id if hub else None, solo), _OutOfReach(hub_busy, frozenset(busy))


async def _waiting(tx: Connection, asked: Ready, slots: int, now_ns: int, by_role: dict[str, int] | None) -> list[Task]:
    """The tasks that could start now. In a specialized swarm (`by_role`: when its runs were made) each role has a queue
    of its own: a task whose role is busy must not hide one whose role is idle."""
    if by_role is None or asked.role is not None:
        return await ready.first(tx, asked, now_ns, slots)
    found: list[Task] = []
    for role in await ready.roles(tx, asked, now_ns):
        found += await ready.first(tx, replace(asked, role=role), now_ns, slots)
    return sorted(found, key=lambda task: precedence(task, by_role[task.run_id]))


async def _start(tx: Connection, match: _Match, info: BackendInfo | None, new_id: NewId, now_ns: int) -> list[Claim]:
    if not match.assignments:
        return []
    swarm = match.swarm
    made = new_agents(new_id, swarm, [item.task.role for item in match.assignments if item.agent is None], now_ns)
    if made:
        room = await agents.make_room(tx, swarm.swarm_id, len(made))
        assert room, "the room was counted in this transaction"
        await add_agents(tx, swarm, made)
    fresh = iter(made)
    pairs = [(item.task, (item.agent or next(fresh)).agent_id) for item in match.assignments]
    taken = await agents.take(tx, [(agent_id, task.task_id) for task, agent_id in pairs])
    assert len(taken) == len(pairs), "an idle agent was taken inside our own write transaction"
    begun = await runs.begin(
        tx,
        list(dict.fromkeys(task.run_id for task, _ in pairs)),
        info.max_parallel if info else None,
        info.bound if info else None,
        swarm.max_agents,
        now_ns,
    )
    await events.record(
        tx, [Event(now_ns, "run.running", row["project"], row["swarm_id"], row["run_id"]) for row in begun]
    )
    claims: list[Claim] = []
    for held in match.members:
        mine = [(task, agent_id) for task, agent_id in pairs if task.run_id == held.run.run_id]
        if mine:
            claims += await tasks.start_attempts(tx, scope(held.run), held.lease.epoch, mine, now_ns)
    await hand_over(tx, swarm, claims, now_ns)
    return claims

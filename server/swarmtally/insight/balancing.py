"""Plans tasks for a swarm as it stands now: who is in it, what keeps them busy, and how long such tasks took before."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from swarmtally.core.worker import Step, in_thread
from swarmtally.domain.clock import Clock
from swarmtally.domain.errors import InvalidInput, RoleMissing
from swarmtally.domain.swarm import Agent, Strategy, Swarm
from swarmtally.insight.balance import Item, Worker, check
from swarmtally.insight.durations import MIN_ROWS, Estimate, History
from swarmtally.insight.swapping import Plan, plan
from swarmtally.store import agents, durations
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database

HISTORY = 10_000
"""The newest finished tasks of the project that durations are estimated from."""

_NAMED = 10
"""The most tasks or roles that an error names."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A task to be planned. Without a duration it is estimated."""

    id: str
    role: str
    duration_ns: int | None = None
    priority: int = 0
    depends_on: tuple[str, ...] = ()
    mode: str | None = None
    text: str | None = None
    """What it is to be done in, and what it says, as far as somebody told: a model may expect something of that."""


@dataclass(frozen=True, slots=True)
class Busy:
    """What an agent does now: a task of `role`, since `elapsed_ns`."""

    role: str
    elapsed_ns: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A swarm as it stands: the agents that stay, in joining order; what busy ones do; and finished tasks' times."""

    swarm: Swarm
    agents: tuple[Agent, ...]
    room: int
    """How many more agents fit."""
    busy: Mapping[str, Busy]
    history: History
    as_of_ns: int


@dataclass(frozen=True, slots=True)
class Load:
    """An agent's share of a plan."""

    agent: Agent
    busy_ns: int | None
    """How long its present task still takes; 0 when idle, None when nobody knows."""
    tasks: int
    work_ns: int


@dataclass(frozen=True, slots=True)
class Balance:
    """A plan for a swarm, and what it rests on."""

    swarm: Swarm
    plan: Plan
    loads: tuple[Load, ...]
    """In joining order."""
    roles: Mapping[str, str]
    """By the id of each task."""
    estimated: Mapping[str, Estimate]
    """By the id of each task whose duration was not given."""
    unserved: tuple[str, ...]
    """Roles that no agent has: any agent takes their tasks."""
    history: int
    """Finished tasks that estimates could rest on."""
    as_of_ns: int


async def balance(
    database: Database, clock: Clock, swarm: Swarm, wanted: Sequence[Wanted], expected: Mapping[str, Estimate]
) -> Balance:
    """Plan `wanted` for the agents of `swarm`; nothing is changed.

    Args:
        expected: what a model says of tasks, by id; what it does not say of is estimated from those that finished.

    Raises:
        InvalidInput: the tasks form no graph, a duration is neither given nor known, or nobody is there.
        RoleMissing: the swarm is specialized and lacks a role.
    """
    standing = await database.read(lambda tx: _standing(tx, swarm, clock.now_ns()))
    return await in_thread(lambda step: balanced(standing, wanted, expected, step))


async def _standing(tx: Connection, swarm: Swarm, now_ns: int) -> Standing:
    present = await agents.present(tx, swarm.swarm_id)
    under_way = await durations.under_way(tx, swarm.swarm_id)
    return Standing(
        swarm=swarm,
        agents=tuple(agent for agent in present if not agent.draining),
        room=swarm.max_agents - len(present),
        busy={row["agent_id"]: Busy(row["role"], max(0, now_ns - row["claimed_ns"])) for row in under_way},
        history=History.of(await durations.of_succeeded(tx, swarm.project, now_ns, HISTORY)),
        as_of_ns=now_ns,
    )


def balanced(standing: Standing, wanted: Sequence[Wanted], expected: Mapping[str, Estimate], step: Step) -> Balance:
    """The plan of `wanted` for a swarm that stands so. Takes up to two seconds for many tasks."""
    if not wanted:
        raise InvalidInput("there is no task to balance; give at least one")
    check((task.id, task.depends_on) for task in wanted)

    def heed(tries: int) -> None:
        step(tries, None, f"{len(wanted)} tasks: {tries} changes of the plan tried")

    heed(0)
    unserved = _unserved(standing, wanted)
    estimated = _estimated(standing.history, wanted, expected)
    items = [
        Item(
            task.id,
            task.role,
            estimated[task.id].duration_ns if task.duration_ns is None else task.duration_ns,
            task.priority,
            task.depends_on,
        )
        for task in wanted
    ]
    busy = {agent.agent_id: _remaining(standing, agent) for agent in standing.agents}
    workers = [Worker(agent.agent_id, agent.role, busy[agent.agent_id] or 0) for agent in standing.agents]
    made = plan(items, workers, heed)
    tasks, work = Counter[str](), Counter[str]()
    for placed in made.placements:
        tasks[placed.agent_id] += 1
        work[placed.agent_id] += placed.end_ns - placed.start_ns
    return Balance(
        swarm=standing.swarm,
        plan=made,
        loads=tuple(
            Load(agent, busy[agent.agent_id], tasks[agent.agent_id], work[agent.agent_id]) for agent in standing.agents
        ),
        roles={task.id: task.role for task in wanted},
        estimated=estimated,
        unserved=unserved,
        history=len(standing.history.every),
        as_of_ns=standing.as_of_ns,
    )


def _unserved(standing: Standing, wanted: Sequence[Wanted]) -> tuple[str, ...]:
    """The roles nobody has, which a swarm that is not specialized gives to whoever is free."""
    swarm = standing.swarm
    if not standing.agents:
        raise InvalidInput(
            f"swarm {swarm.swarm_id} has no agents to balance tasks over; add them with agent_spawn --type ROLE"
        )
    present = {agent.role for agent in standing.agents}
    lacking = tuple(sorted({task.role for task in wanted} - present))
    if lacking and swarm.strategy is Strategy.SPECIALIZED:
        raise RoleMissing(swarm.swarm_id, lacking, standing.room)
    return lacking


def _estimated(history: History, wanted: Sequence[Wanted], expected: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """For each task without a duration, what is expected of it, else what finished tasks tell of its role."""
    roles = {task.role for task in wanted if task.duration_ns is None}
    known = {role: history.duration(role) for role in roles}
    found: dict[str, Estimate] = {}
    unknown = []
    for task in wanted:
        if task.duration_ns is None:
            estimate = expected.get(task.id, known[task.role])
            if estimate is None:
                unknown.append(task.id)
            else:
                found[task.id] = estimate
    if unknown:
        shown = ", ".join(repr(task_id[:60]) for task_id in unknown[:_NAMED])
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        raise InvalidInput(
            f"no duration is known for task {shown}{more}: the project has {len(history.every)} finished tasks, and an "
            f"estimate needs {MIN_ROWS}; give estimated_s"
        )
    return found


def _remaining(standing: Standing, agent: Agent) -> int | None:
    """How long the agent's present task still takes; None when the history does not tell."""
    doing = standing.busy.get(agent.agent_id)
    if doing is None:
        return 0 if agent.task_id is None else None
    estimate = standing.history.remaining(doing.role, doing.elapsed_ns)
    return estimate.duration_ns if estimate else None

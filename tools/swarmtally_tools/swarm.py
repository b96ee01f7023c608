"""Swarms and their agents."""

from typing import Annotated

import anyio.to_thread
from pydantic import Field

from swarmtally.app import App
from swarmtally.core.sizing import Experience
from swarmtally.core.swarms import LISTED
from swarmtally.domain.clock import iso
from swarmtally.domain.errors import SwarmError
from swarmtally.domain.run import BackendChoice
from swarmtally.domain.swarm import (
    CAPABILITIES_LIMIT,
    DEFAULT_MAX_AGENTS,
    MAX_AGENTS_LIMIT,
    NAME_LIMIT,
    Agent,
    Strategy,
    Topology,
)
from swarmtally_tools.definition import Tool, View, that_fit, tool

AGENTS_BYTES = 50_000
"""The most that the new agents of one answer take: in a mesh each names a hundred others."""

Name = Annotated[str, Field(min_length=1, max_length=NAME_LIMIT)]


class SwarmView(View):
    swarm_id: str
    """Name it with swarm_id in other calls; the current one need not be named."""
    name: str
    """For people; its id when none was given."""
    topology: str
    """Who may speak to whom."""
    strategy: str
    """How tasks find agents."""
    agents: int
    """Agents in it now."""
    max_agents: int
    """The most it may hold."""
    current: bool
    """Whether the project uses it when none is named."""
    project: str
    """What it belongs to."""
    database: str
    """The one file that holds everything."""
    backend: str | None
    """What will do the work: the name of a model that could be opened now; null when nothing can yet."""
    reasons: dict[str, str]
    """Why this backend, or why none; why an adaptive swarm has the max_agents that nobody named."""
    n: dict[str, int]
    """Runs that max_agents rests on, where it comes from the project's history."""
    created_at: str
    """UTC."""


class AgentView(View):
    agent_id: str
    """Its id."""
    role: str
    """The kind of task it takes."""
    name: str
    """For people."""
    capabilities: list[str]
    """As given."""
    status: str
    """idle or busy."""
    neighbours: list[str] | None
    """Agents the topology lets it speak to, at most 100; null when the topology is chosen per run (adaptive)."""


class SpawnedView(View):
    swarm_id: str
    """The swarm they joined."""
    topology: str
    """Its topology."""
    agents: list[AgentView]
    """The new agents, at most 100 and as many as fit."""
    spawned: int
    """How many joined."""
    size: int
    """Agents in the swarm now."""
    max_agents: int
    """The most it may hold."""


@tool(title="Make a swarm")
async def swarm_init(
    app: App,
    topology: Annotated[Topology, Field(description="Who may speak to whom")] = Topology.STAR,
    max_agents: Annotated[
        int | None, Field(description="Most agents; else 8, adaptive: what pays", ge=1, le=MAX_AGENTS_LIMIT)
    ] = None,
    strategy: Annotated[Strategy, Field(description="How tasks find agents")] = Strategy.BALANCED,
    name: Annotated[str | None, Field(description="A name for people", min_length=1, max_length=NAME_LIMIT)] = None,
    model: Annotated[str | None, Field(description="Model its runs use unless they name one", max_length=200)] = None,
) -> SwarmView:
    """Make a swarm, the project's current one. Agents join with agent_spawn, or by themselves when a run
    needs a role. Returns its id, the database, and which backend will do the work and why."""
    backend, reason = None, ""
    try:
        choice = await anyio.to_thread.run_sync(app.backing.choose, model)
    except SwarmError as error:
        if model is not None:
            raise
        reason = str(error)
    else:
        backend, reason = await _openable(app, choice)
    known = await app.experience() if max_agents is None and strategy is Strategy.ADAPTIVE else None
    most = max_agents or (known and known.pays) or DEFAULT_MAX_AGENTS
    state = await app.swarms.init(topology, strategy, most, name, model)
    swarm = state.swarm
    return SwarmView(
        swarm_id=swarm.swarm_id,
        name=swarm.name,
        topology=swarm.topology,
        strategy=swarm.strategy,
        agents=state.agents,
        max_agents=swarm.max_agents,
        current=state.current,
        project=swarm.project,
        database=str(app.settings.database),
        backend=backend,
        reasons={"backend": reason} | ({"max_agents": _why(known)} if known else {}),
        n={"max_agents": known.rows} if known and known.pays else {},
        created_at=iso(swarm.created_ns),
    )


def _why(known: Experience) -> str:
    return known.reason if known.pays else f"the default, since {known.reason}"


async def _openable(app: App, choice: BackendChoice) -> tuple[str | None, str]:
    """The model of a choice and why it is the one; None and why not where it cannot be opened now."""
    try:
        await app.backing.check(choice)
    except SwarmError as error:
        return None, str(error)
    return choice.model, choice.reason


@tool(title="Add agents")
async def agent_spawn(
    app: App,
    type: Annotated[  # noqa: A002 - the name users know
        str, Field(description="Role: coder, tester, reviewer, … or any name", min_length=1, max_length=NAME_LIMIT)
    ],
    name: Annotated[
        str | None, Field(description="Its name, for one agent", min_length=1, max_length=NAME_LIMIT)
    ] = None,
    capabilities: Annotated[
        list[Name] | None, Field(description="What it can do, in words", max_length=CAPABILITIES_LIMIT)
    ] = None,
    swarm_id: Annotated[str | None, Field(description="The swarm; omitted: the current one", max_length=100)] = None,
    count: Annotated[int, Field(description="How many", ge=1, le=MAX_AGENTS_LIMIT)] = 1,
) -> SpawnedView:
    """Add agents of one role to a swarm, all or none; the swarm's max_agents is never passed, whoever spawns at the
    same time. Returns the agents and their neighbours in the topology."""
    spawned = await app.swarms.spawn(type, name, tuple(capabilities or ()), count, swarm_id)
    return SpawnedView(
        swarm_id=spawned.swarm.swarm_id,
        topology=spawned.swarm.topology,
        agents=that_fit(
            [_agent_view(agent, spawned.neighbours[agent.agent_id]) for agent in spawned.agents[:LISTED]], AGENTS_BYTES
        ),
        spawned=len(spawned.agents),
        size=spawned.size,
        max_agents=spawned.swarm.max_agents,
    )


def _agent_view(agent: Agent, neighbours: tuple[str, ...] | None) -> AgentView:
    return AgentView(
        agent_id=agent.agent_id,
        role=agent.role,
        name=agent.name,
        capabilities=list(agent.capabilities),
        status=agent.status,
        neighbours=None if neighbours is None else list(neighbours),
    )


TOOLS: tuple[Tool, ...] = (swarm_init, agent_spawn)

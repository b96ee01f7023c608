"""Swarms and their agents."""

from enum import StrEnum
from typing import Annotated

import anyio.to_thread
from pydantic import Field

from swarmtally.app import App
from swarmtally.core.swarms import LISTED
from swarmtally.domain.clock import iso
from swarmtally.domain.errors import SwarmError
from swarmtally.domain.swarm import (
    CAPABILITIES_LIMIT,
    DEFAULT_MAX_AGENTS,
    MAX_AGENTS_LIMIT,
    NAME_LIMIT,
    Strategy,
    Topology,
)
from swarmtally_tools.definition import Tool, View, tool

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
    """What will do the work: a model name; null when nothing can yet."""
    reasons: dict[str, str]
    """Why this backend, or why none."""
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
    """The new agents, at most 100."""
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
    max_agents: Annotated[int, Field(description="Most agents", ge=1, le=MAX_AGENTS_LIMIT)] = DEFAULT_MAX_AGENTS,
    strategy: Annotated[Strategy, Field(description="How tasks find agents")] = Strategy.BALANCED,
    name: Annotated[str | None, Field(description="A name for people", min_length=1, max_length=NAME_LIMIT)] = None,
    model: Annotated[str | None, Field(description="Model its runs use unless they name one", max_length=200)] = None,
) -> SwarmView:
    """Make a swarm and make it the project's current one. Agents join with agent_spawn, or by themselves when a run
    needs a role. Returns its id, the database, and which backend will do the work and why."""
    backend, reason = None, ""
    try:
        choice = await anyio.to_thread.run_sync(app.choose, model)
        backend, reason = choice.model, choice.reason
    except SwarmError as error:
        if model is not None:
            raise
        reason = str(error)
    state = await app.swarms.init(topology, strategy, max_agents, name, model)
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
        reasons={"backend": reason},
        created_at=iso(swarm.created_ns),
    )


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
        agents=[
            AgentView(
                agent_id=agent.agent_id,
                role=agent.role,
                name=agent.name,
                capabilities=list(agent.capabilities),
                status=agent.status,
                neighbours=_listed(spawned.neighbours[agent.agent_id]),
            )
            for agent in spawned.agents[:LISTED]
        ],
        spawned=len(spawned.agents),
        size=spawned.size,
        max_agents=spawned.swarm.max_agents,
    )


class ScaledView(View):
    swarm_id: str
    """The swarm."""
    target_size: int
    """What was asked for."""
    size: int
    """Agents in it now, leaving ones too."""
    added: list[str]
    """New agents' ids, at most 100."""
    kept: int
    """Agents that were leaving and stay."""
    left: int
    """Agents that left now."""
    leaving: int
    """Agents that leave when their task is done."""
    roles: dict[str, int]
    """How many of each role, leaving ones too."""
    max_agents: int
    """The most it may hold."""
    note: str | None
    """What else was changed for it."""


class ScaleStrategy(StrEnum):
    FIXED = "fixed"


@tool(title="Grow or drain a swarm", idempotent=True)
async def swarm_scale(
    app: App,
    target_size: Annotated[int, Field(description="Agents that stay", ge=0, le=MAX_AGENTS_LIMIT)],
    strategy: Annotated[ScaleStrategy, Field(description="fixed: exactly target_size")] = ScaleStrategy.FIXED,
    type: Annotated[  # noqa: A002 - the name users know
        str | None,
        Field(description="Role to add or drain first; omitted: the most common", min_length=1, max_length=NAME_LIMIT),
    ] = None,
    swarm_id: Annotated[str | None, Field(description="The swarm; omitted: the current one", max_length=100)] = None,
) -> ScaledView:
    """Bring a swarm to exactly target_size agents. A busy agent finishes its task before it leaves, so nothing is
    lost. Raises max_agents when target_size exceeds it, and says so. Runs may still add agents they need, up to
    max_agents."""
    del strategy  # there is one so far
    scaled = await app.swarms.scale(target_size, type, swarm_id)
    raised = scaled.swarm.max_agents > scaled.max_agents_before
    return ScaledView(
        swarm_id=scaled.swarm.swarm_id,
        target_size=target_size,
        size=scaled.size,
        added=[agent.agent_id for agent in scaled.added[:LISTED]],
        kept=scaled.kept,
        left=scaled.left,
        leaving=scaled.leaving,
        roles=scaled.roles,
        max_agents=scaled.swarm.max_agents,
        note=f"max_agents was raised from {scaled.max_agents_before} to {scaled.swarm.max_agents}" if raised else None,
    )


def _listed(ids: tuple[str, ...] | None) -> list[str] | None:
    return None if ids is None else list(ids)


TOOLS: tuple[Tool, ...] = (swarm_init, agent_spawn, swarm_scale)

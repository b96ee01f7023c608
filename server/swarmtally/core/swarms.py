"""Swarms and their agents: made, found, grown under their limit, deleted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmtally.core.spawning import add_agents, new_agents
from swarmtally.domain.clock import Clock
from swarmtally.domain.errors import InvalidInput, NoSwarm, NotFound, SwarmFull
from swarmtally.domain.ids import NewId
from swarmtally.domain.swarm import Agent, Strategy, Swarm, Topology
from swarmtally.domain.text import checked_name
from swarmtally.domain.topology import neighbours
from swarmtally.store import agents, events, swarms
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from swarmtally.store.events import Event

if TYPE_CHECKING:
    from swarmtally.core.adapting import Adapted
    from swarmtally.core.scaling import Scaled
    from swarmtally.core.sizing import Experience

LISTED = 100
"""The most swarms, agents or neighbours one answer names."""


@dataclass(frozen=True, slots=True)
class SwarmState:
    """A swarm with what is in it: how many agents, of which roles, and whether it is the project's current one."""

    swarm: Swarm
    agents: int
    roles: dict[str, int]
    current: bool


@dataclass(frozen=True, slots=True)
class Spawned:
    """New agents, each with its neighbours by id (None: decided per run), cut at `LISTED`."""

    swarm: Swarm
    agents: tuple[Agent, ...]
    neighbours: dict[str, tuple[str, ...] | None]
    size: int


class Swarms:
    """The swarms of one project."""

    def __init__(self, database: Database, clock: Clock, new_id: NewId, project: str) -> None:
        self._database = database
        self._clock = clock
        self._new_id = new_id
        self._project = project

    async def init(
        self, topology: Topology, strategy: Strategy, max_agents: int, name: str | None, model: str | None
    ) -> SwarmState:
        """Make a swarm and make it current.

        Raises:
            InvalidInput: the name cannot be shown.
        """
        name = _named("name", name)
        swarm = self._new_swarm(topology, strategy, max_agents, name, model)

        async def unit(tx: Connection) -> None:
            await self._insert(tx, swarm)

        await self._database.write(unit)
        return SwarmState(swarm, 0, {}, current=True)

    def _new_swarm(
        self, topology: Topology, strategy: Strategy, max_agents: int, name: str | None, model: str | None
    ) -> Swarm:
        swarm_id = self._new_id("s")
        return Swarm(
            swarm_id, self._project, name or swarm_id, topology, strategy, max_agents, model, self._clock.now_ns()
        )

    async def _insert(self, tx: Connection, swarm: Swarm) -> None:
        await swarms.insert(tx, swarm)
        await events.record(
            tx, [Event(swarm.created_ns, "swarm.created", swarm.project, swarm.swarm_id, detail=swarm.name)]
        )

    async def find(self, swarm_id: str | None) -> Swarm:
        """The named swarm, else the current one.

        Raises:
            NotFound: this project has no swarm of that id.
            NoSwarm: none is named and none is current.
        """

        async def unit(tx: Connection) -> Swarm:
            return await self._find(tx, swarm_id)

        return await self._database.read(unit)

    async def find_current(self, swarm_id: str | None) -> Swarm | None:
        """The same; None where none is named and none is current."""
        try:
            return await self.find(swarm_id)
        except NoSwarm:
            return None

    async def _find(self, tx: Connection, swarm_id: str | None) -> Swarm:
        if swarm_id is not None:
            named = await swarms.get(tx, self._project, swarm_id)
            if named is None:
                raise NotFound(f"project {self._project} has no swarm {swarm_id!r}; list them with run_status")
            return named
        found = await swarms.current(tx, self._project)
        if found is None:
            raise NoSwarm(self._project)
        return found

    async def find_or_make(self, swarm_id: str | None) -> tuple[Swarm, bool]:
        """The named or current swarm; where none is current, a new one called `default`, and True."""

        async def unit(tx: Connection) -> tuple[Swarm, bool]:
            try:
                return await self._find(tx, swarm_id), False
            except NoSwarm:
                swarm = self._new_swarm(Topology.STAR, Strategy.BALANCED, 8, "default", None)
                await self._insert(tx, swarm)
                return swarm, True

        return await self._database.write(unit)

    async def spawn(
        self, role: str, name: str | None, capabilities: Sequence[str], count: int, swarm_id: str | None
    ) -> Spawned:
        """Add `count` agents of `role`, all or none.

        Raises:
            InvalidInput: a name, role or capability cannot be shown.
            SwarmFull: they do not fit under max_agents; none is added.
        """
        role, name = checked_name("type", role), _named("name", name)
        capabilities = [checked_name("capability", capability) for capability in capabilities]
        if name is not None and count > 1:
            raise InvalidInput(f"name {name!r} can name one agent only, got count {count}; leave name or count out")

        async def unit(tx: Connection) -> Spawned:
            swarm = await self._find(tx, swarm_id)
            if not await agents.make_room(tx, swarm.swarm_id, count):
                raise SwarmFull(swarm.swarm_id, await agents.count(tx, swarm.swarm_id), swarm.max_agents, count)
            made = new_agents(self._new_id, swarm, [role] * count, self._clock.now_ns(), name, tuple(capabilities))
            await add_agents(tx, swarm, made)
            order = await agents.ids_in_joining_order(tx, swarm.swarm_id)
            shown = {agent.agent_id: _cut(neighbours(swarm.topology, order, agent.agent_id)) for agent in made[:LISTED]}
            return Spawned(swarm, tuple(made), shown, len(order))

        return await self._database.write(unit)

    async def scale(self, target: int, role: str | None, swarm_id: str | None) -> "Scaled":
        """Bring the named or current swarm to exactly `target` agents; see `scaling.scale`."""
        # A memory command, which needs none of it, should start fast.
        from swarmtally.core.scaling import scale

        role = _named("type", role)

        async def unit(tx: Connection) -> "Scaled":
            swarm = await self._find(tx, swarm_id)
            return await scale(tx, swarm, target, role, self._new_id, self._clock.now_ns())

        return await self._database.write(unit)

    async def adapt(
        self, target: int, role: str | None, swarm_id: str | None, experience: "Experience | None" = None
    ) -> "Adapted":
        """Bring the named or current swarm to the size its load needs, at most `target`; see `adapting.adapt`."""
        from swarmtally.core.adapting import adapt

        role = _named("type", role)

        async def unit(tx: Connection) -> "Adapted":
            swarm = await self._find(tx, swarm_id)
            return await adapt(tx, swarm, target, role, self._new_id, self._clock.now_ns(), experience)

        return await self._database.write(unit)

    async def states(self) -> list[SwarmState]:
        """The project's newest swarms, at most `LISTED`."""

        async def unit(tx: Connection) -> list[SwarmState]:
            rows = await swarms.newest(tx, self._project, LISTED)
            return [
                SwarmState(
                    Swarm.from_row(row),
                    row["agents"],
                    await agents.roles(tx, row["swarm_id"]),
                    current=bool(row["is_current"]),
                )
                for row in rows
            ]

        return await self._database.read(unit)

    async def use(self, swarm_id: str) -> Swarm:
        """Make a swarm the project's current one."""

        async def unit(tx: Connection) -> Swarm:
            swarm = await self._find(tx, swarm_id)
            await swarms.make_current(tx, self._project, swarm_id)
            return swarm

        return await self._database.write(unit)

    async def delete(self, swarm_id: str) -> Swarm:
        """Remove a swarm and its agents; its runs, figures and artefacts stay.

        Raises:
            InvalidInput: a run of it is not finished.
        """

        async def unit(tx: Connection) -> Swarm:
            swarm = await self._find(tx, swarm_id)
            unfinished = await swarms.unfinished_runs(tx, swarm_id)
            if unfinished:
                raise InvalidInput(
                    f"swarm {swarm_id} has {unfinished} unfinished runs; end them with run_control, then delete it"
                )
            await swarms.delete(tx, self._project, swarm_id)
            await events.record(tx, [Event(self._clock.now_ns(), "swarm.deleted", self._project, swarm_id)])
            return swarm

        return await self._database.write(unit)


def _named(what: str, text: str | None) -> str | None:
    return None if text is None else checked_name(what, text)


def _cut(ids: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if ids is None else ids[:LISTED]

"""Bringing a swarm to the size its measured load needs: measured, decided and done in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from swarmtally.core.scaling import Scaled, raise_limit, scale, scale_roles
from swarmtally.core.sizing import LOOKBACK_NS, Experience, Load, Need, Want, need, share
from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.ids import NewId
from swarmtally.domain.swarm import Agent, AgentStatus, Strategy, Swarm
from swarmtally.store import agents, load, swarms
from swarmtally.store.connection import Connection
from swarmtally.store.load import Window


@dataclass(frozen=True, slots=True)
class Sized:
    """A need, and how many agents it got."""

    need: Need
    size: int


@dataclass(frozen=True, slots=True)
class Adapted:
    """A swarm after it was scaled to its load, with what that followed from: one of the whole swarm, or one for each
    role of a specialized one."""

    scaled: Scaled
    as_of_ns: int
    size_before: int
    sized: tuple[Sized, ...]
    at_once: int | None
    """Calls that its backends take at once; None: not known, or not limited."""
    not_yet: int
    """Agents that join only when others have left; the swarm holds max_agents until then."""
    experience: Experience | None = None
    """What the project's history says, read before the load was measured."""
    places: int | None = None
    """All that a specialized swarm's roles may have together by that; None: it did not limit them."""

    @property
    def needed(self) -> int | None:
        """The agents all needs come to; None when one of them is not known, or there is none."""
        known = [each.need.needed for each in self.sized if each.need.needed is not None]
        return sum(known) if known and len(known) == len(self.sized) else None


@dataclass(frozen=True, slots=True)
class _Measured:
    staying: list[Agent]
    arrivals: dict[str, load.Arrivals]
    services: list[load.Service]
    backlog: dict[str, int]
    at_once: int | None
    now_ns: int

    def of(self, role: str | None) -> Load:
        """The load of one role, or of all when None."""
        first_ns = min((each.first_ns for each in self.arrivals.values()), default=self.now_ns)
        staying = [agent for agent in self.staying if role in (None, agent.role)]
        services = [each for each in self.services if role in (None, each.role)]
        return Load(
            role=role,
            agents=len(staying),
            busy=sum(agent.status is AgentStatus.BUSY for agent in staying),
            arrivals=sum(each.count for name, each in self.arrivals.items() if role in (None, name)),
            since_first_ns=self.now_ns - first_ns,
            ended=tuple(each.duration_ns for each in services if not each.under_way),
            under_way=tuple(each.duration_ns for each in services if each.under_way),
            backlog=sum(count for name, count in self.backlog.items() if role in (None, name)),
        )

    @property
    def roles(self) -> list[str]:
        return sorted(
            {
                *(agent.role for agent in self.staying),
                *self.arrivals,
                *(each.role for each in self.services),
                *self.backlog,
            }
        )


async def adapt(
    tx: Connection,
    swarm: Swarm,
    target: int,
    role: str | None,
    new_id: NewId,
    now_ns: int,
    experience: Experience | None = None,
) -> Adapted:
    """Bring the swarm to the size its load needs, at most `target`, raising its max_agents where that is less.

    Where `experience` tells, never beyond the number with the greatest throughput, and without a load to what pays.
    Otherwise without a load, or when nobody knows how long an attempt takes, it keeps its size. A specialized swarm is
    sized role by role, and `target` and experience limit the sum, but without a load its roles keep theirs; in any
    other `role` grows and drains first, as in `scale`.

    Raises:
        InvalidInput: `role` is given for a specialized swarm, or it would lose the last agent of a role that an
            unfinished run needs.
    """
    measured = await _measure(tx, swarm, now_ns)
    await raise_limit(tx, swarm, target)
    roomy = replace(swarm, max_agents=max(swarm.max_agents, target))
    if swarm.strategy is Strategy.SPECIALIZED:
        if role is not None:
            raise InvalidInput(
                f"swarm {swarm.swarm_id} is specialized, and adaptive sizes each of its roles by its own load; leave "
                "type out, or use strategy fixed"
            )
        needs = [need(measured.of(name), measured.at_once) for name in measured.roles]
        wants = await _wants(tx, swarm, needs)
        places = _places(needs, wants, experience)
        sizes = share(wants, target if places is None else min(target, places))
        scaled, not_yet = await scale_roles(tx, roomy, sizes, new_id, now_ns)
        sized = tuple(Sized(each, sizes[str(each.load.role)]) for each in needs)
    else:
        places = None
        whole = need(measured.of(None), measured.at_once, experience)
        sized = (Sized(whole, min(whole.wanted, target)),)
        scaled, not_yet = await scale(tx, roomy, sized[0].size, role, new_id, now_ns), 0
    return Adapted(
        scaled=replace(scaled, max_agents_before=swarm.max_agents),
        as_of_ns=now_ns,
        size_before=len(measured.staying),
        sized=sized,
        at_once=measured.at_once,
        not_yet=not_yet,
        experience=experience,
        places=places,
    )


def _places(needs: Sequence[Need], wants: Mapping[str, Want], experience: Experience | None) -> int | None:
    """How many agents all roles may have together, where experience finds that less than they want. Who is busy stays,
    and a role with work keeps one, or its tasks would wait for ever."""
    if experience is None or experience.best is None or all(each.load.none for each in needs):
        return None
    least = sum(max(each.load.busy, int(wants[str(each.load.role)].working and each.wanted > 0)) for each in needs)
    places = max(experience.best, least)
    return places if sum(want.agents for want in wants.values()) > places else None


async def _measure(tx: Connection, swarm: Swarm, now_ns: int) -> _Measured:
    window = Window(swarm.project, swarm.swarm_id, now_ns - LOOKBACK_NS, now_ns)
    return _Measured(
        staying=[agent for agent in await agents.present(tx, swarm.swarm_id) if not agent.draining],
        arrivals=await load.arrivals(tx, window),
        services=await load.services(tx, window),
        backlog=await load.backlog(tx, window),
        at_once=await load.at_once(tx, window),
        now_ns=now_ns,
    )


async def _wants(tx: Connection, swarm: Swarm, needs: Sequence[Need]) -> dict[str, Want]:
    """What each role wants. One that an unfinished run will need counts as having work."""
    wanted = await swarms.roles_wanted(tx, swarm.swarm_id)
    unplanned = await swarms.has_unplanned_tasks(tx, swarm.swarm_id)
    return {
        str(each.load.role): Want(each.wanted, unplanned or each.load.role in wanted or not each.load.none)
        for each in needs
    }

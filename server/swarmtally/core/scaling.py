"""Growing a swarm, or draining it: an agent with a task leaves when that is done, so nothing is lost."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from swarmtally.core.spawning import add_agents, new_agents
from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.ids import NewId
from swarmtally.domain.swarm import Agent, AgentStatus, Strategy, Swarm
from swarmtally.store import agents, events, runs, swarms
from swarmtally.store.connection import Connection
from swarmtally.store.events import Event

DEFAULT_ROLE = "coder"
"""What an empty swarm grows by when no role is named."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """A swarm after scaling. `leaving` are those still at work; `size` and `roles` count them too."""

    swarm: Swarm
    added: tuple[Agent, ...]
    kept: int
    """Agents that were leaving and stay."""
    left: int
    leaving: int
    size: int
    roles: dict[str, int]
    max_agents_before: int


@dataclass(frozen=True, slots=True)
class _Change:
    """Who is there, and which of them stay after all or leave; which roles join."""

    before: Sequence[Agent]
    kept: Sequence[Agent]
    joining: Sequence[str]
    drained: Sequence[Agent]

    @property
    def staying(self) -> list[Agent]:
        return [agent for agent in self.before if not agent.draining]


async def scale(tx: Connection, swarm: Swarm, target: int, role: str | None, new_id: NewId, now_ns: int) -> Scaled:
    """Bring the swarm to exactly `target` agents that stay, raising its max_agents where that is less.

    Growing keeps agents that were about to leave first, then adds new ones of `role` (by default the swarm's most
    common). Draining takes agents of `role` first, then idle before busy, the most common role first, the newest first,
    and the hub last.

    Raises:
        InvalidInput: a specialized swarm would lose the last agent of a role that an unfinished run needs.
    """
    before = await agents.present(tx, swarm.swarm_id)
    staying = [agent for agent in before if not agent.draining]
    missing = target - len(staying)
    kept = [agent for agent in before if agent.draining][: max(missing, 0)]
    change = _Change(
        before=before,
        kept=kept,
        joining=[role or _most_common(staying)] * (missing - len(kept)),
        drained=to_drain(staying, -missing, role) if missing < 0 else [],
    )
    if missing > 0:
        await raise_limit(tx, swarm, target)
    return await _apply(tx, swarm, change, new_id, now_ns)


async def scale_roles(
    tx: Connection, swarm: Swarm, sizes: Mapping[str, int], new_id: NewId, now_ns: int
) -> tuple[Scaled, int]:
    """Bring each role of the swarm to its size of agents that stay, under the swarm's max_agents; roles not named stay
    as they are. Also returns how many could not join yet, because busy ones that leave still take their room.

    Raises:
        InvalidInput: a specialized swarm would lose the last agent of a role that an unfinished run needs.
    """
    before = await agents.present(tx, swarm.swarm_id)
    kept: list[Agent] = []
    joining: list[str] = []
    drained: list[Agent] = []
    for role, size in sorted(sizes.items()):
        staying = [agent for agent in before if agent.role == role and not agent.draining]
        back = [agent for agent in before if agent.role == role and agent.draining][: max(size - len(staying), 0)]
        kept += back
        joining += [role] * (size - len(staying) - len(back))
        # The hub, who leaves last, need not be of this role.
        others = [agent for agent in before[:1] if agent not in staying]
        drained += to_drain([*others, *staying], max(len(staying) - size, 0), role)
    left = sum(agent.status is AgentStatus.IDLE for agent in drained)
    room = max(swarm.max_agents - len(before) + left, 0)
    change = _Change(before, kept, joining[:room], drained)
    return await _apply(tx, swarm, change, new_id, now_ns), len(joining[room:])


async def raise_limit(tx: Connection, swarm: Swarm, target: int) -> None:
    """Let the swarm hold `target` agents, where that is more than it may hold."""
    if target > swarm.max_agents:
        await swarms.set_max_agents(tx, swarm.swarm_id, target)
        await runs.widen(tx, swarm.swarm_id, target)


async def _apply(tx: Connection, swarm: Swarm, change: _Change, new_id: NewId, now_ns: int) -> Scaled:
    if change.drained:
        await _refuse_to_strand(tx, swarm, change.staying, change.drained)
        await agents.drain(tx, [agent.agent_id for agent in change.drained], now_ns)
    await agents.keep(tx, [agent.agent_id for agent in change.kept])
    added = new_agents(new_id, swarm, change.joining, now_ns)
    if added:
        room = await agents.make_room(tx, swarm.swarm_id, len(added))
        assert room, "there is room: it was counted or made in this transaction"
        await add_agents(tx, swarm, added)
    size = len(change.staying) + len(change.kept) + len(added) - len(change.drained)
    await events.record(
        tx,
        [Event(now_ns, "swarm.scaled", swarm.project, swarm.swarm_id, detail=f"{len(change.staying)} to {size}")],
    )
    left = sum(agent.status is AgentStatus.IDLE for agent in change.drained)
    after = await swarms.get(tx, swarm.project, swarm.swarm_id)
    assert after is not None, "the swarm is there inside our own transaction"
    leaving = sum(agent.draining for agent in change.before) - len(change.kept) + len(change.drained) - left
    return Scaled(
        swarm=after,
        added=tuple(added),
        kept=len(change.kept),
        left=left,
        leaving=leaving,
        size=size + leaving,
        roles=await agents.roles(tx, swarm.swarm_id),
        max_agents_before=swarm.max_agents,
    )


def to_drain(staying: Sequence[Agent], count: int, role: str | None) -> list[Agent]:
    """The `count` agents that leave, of `staying` in joining order."""
    counted: Counter[str] = Counter()
    ranks = []
    for agent in staying:
        counted[agent.role] += 1
        ranks.append(counted[agent.role])
    # Always from the role that has most: of each role the newest goes first, and its rank is the role's size then.
    order = sorted(
        range(len(staying)),
        key=lambda at: (
            at == 0,
            role is not None and staying[at].role != role,
            staying[at].status is AgentStatus.BUSY,
            -ranks[at],
            -at,
        ),
    )
    return [staying[at] for at in order[:count]]


def _most_common(staying: Sequence[Agent]) -> str:
    counted = Counter(agent.role for agent in staying).most_common(1)
    return counted[0][0] if counted else DEFAULT_ROLE


async def _refuse_to_strand(tx: Connection, swarm: Swarm, staying: Sequence[Agent], drained: Sequence[Agent]) -> None:
    if swarm.strategy is not Strategy.SPECIALIZED:
        return
    gone = {agent.agent_id for agent in drained}
    remaining = {agent.role for agent in staying if agent.agent_id not in gone}
    last = sorted({agent.role for agent in drained} - remaining)
    unplanned = await swarms.has_unplanned_tasks(tx, swarm.swarm_id)
    wanted = await swarms.roles_wanted(tx, swarm.swarm_id)
    for role in last:
        if unplanned or role in wanted:
            raise InvalidInput(
                f"swarm {swarm.swarm_id} is specialized, and its last agent of role {role} is needed by an unfinished "
                "run; wait for the run, cancel it with run_control, or choose a larger target_size"
            )

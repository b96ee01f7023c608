"""The ways a hand-over takes through a swarm: which agents have an edge, and the shortest path over the edges.

All of it is arithmetic on positions in the joining order: a question costs no more than the length of its path, however
many agents there are, and every process answers it alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from swarmtally.domain.errors import NoEdge
from swarmtally.domain.topology import FAN_IN, Shape


@dataclass(frozen=True, slots=True)
class JoiningOrder:
    """The agents of a swarm in the order they joined; the first is the hub, root or first of the ring.

    Made once for many questions, because finding an agent in a plain sequence would cost as much as the swarm is large.
    """

    agents: tuple[str, ...]
    positions: Mapping[str, int]

    @classmethod
    def of(cls, agents: Sequence[str]) -> "JoiningOrder":
        return cls(tuple(agents), {agent_id: position for position, agent_id in enumerate(agents)})


def edge(shape: Shape, order: JoiningOrder, source: str, target: str) -> bool:
    """Whether `source` may hand something to `target` directly. No agent has an edge to itself or to a stranger."""
    start, end = order.positions.get(source), order.positions.get(target)
    if start is None or end is None or start == end:
        return False
    match shape:
        case Shape.SOLO:
            return False
        case Shape.STAR:
            return 0 in (start, end)
        case Shape.HIERARCHICAL:
            return start == _parent(end) or end == _parent(start)
        case Shape.RING:
            return end == (start + 1) % len(order.agents)
        case Shape.MESH:
            return True


def check_edge(shape: Shape, order: JoiningOrder, source: str, target: str) -> None:
    """Refuse a hand-over that no edge carries.

    Raises:
        NoEdge: `source` has no edge to `target`; the text names the next agent on the way, if there is a way.
    """
    if edge(shape, order, source, target):
        return
    path = route(shape, order, source, target)
    if len(path) == 1:
        raise NoEdge(shape, source, target, "an agent keeps what it has, so send nothing")
    raise NoEdge(shape, source, target, f"send it by way of {path[1]}")


def route(shape: Shape, order: JoiningOrder, source: str, target: str) -> tuple[str, ...]:
    """The shortest path from `source` to `target` over edges, both included; one agent when they are the same.

    Raises:
        NoEdge: there is no path: one of them is not of this swarm, or the run is solo.
    """
    for agent_id in (source, target):
        if agent_id not in order.positions:
            raise NoEdge(shape, source, target, f"{agent_id} is not of this swarm, so name one of its agents")
    start, end = order.positions[source], order.positions[target]
    if start != end and shape is Shape.SOLO:
        raise NoEdge(shape, source, target, "one agent does all of a solo run, so let it do this too")
    return tuple(order.agents[position] for position in _path(shape, len(order.agents), start, end))


def _path(shape: Shape, size: int, start: int, end: int) -> Sequence[int]:
    if start == end:
        return (start,)
    match shape:
        case Shape.STAR:
            return (start, end) if 0 in (start, end) else (start, 0, end)
        case Shape.HIERARCHICAL:
            return _over_the_common_ancestor(start, end)
        case Shape.RING:
            return [(start + step) % size for step in range((end - start) % size + 1)]
        case Shape.MESH | Shape.SOLO:
            return (start, end)


def _over_the_common_ancestor(start: int, end: int) -> Sequence[int]:
    up, down = [start], [end]
    while up[-1] != down[-1]:
        # A parent stands before its children, so of two different agents the later one is no ancestor of the other.
        climbing = up if up[-1] > down[-1] else down
        climbing.append(_parent(climbing[-1]))
    return (*up, *reversed(down[:-1]))


def _parent(position: int) -> int:
    """The position of an agent's parent; of the root's -1, where nobody stands."""
    return (position - 1) // FAN_IN

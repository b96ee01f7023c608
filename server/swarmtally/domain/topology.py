"""Which agents a swarm's topology lets an agent speak to, and which shape a run in an adaptive swarm takes.

The edges are a pure function of the topology and the order in which agents joined, so every process computes the same.
"""

from collections.abc import Sequence
from enum import StrEnum

from swarmtally.domain.swarm import Topology

FAN_IN = 4
"""How many children an agent has in a hierarchical swarm."""

STAR_LEAVES = 8
"""The most leaves that one hub serves in an adaptive swarm; more of them get a hierarchy."""


class Shape(StrEnum):
    """The topology of one run: its swarm's, or the one chosen for it in an adaptive swarm. Solo: one agent does all."""

    SOLO = "solo"
    STAR = "star"
    HIERARCHICAL = "hierarchical"
    RING = "ring"
    MESH = "mesh"


def shape_of(topology: Topology) -> Shape | None:
    """The shape of every run in a swarm of that topology; None when it is decided for each run (adaptive)."""
    return None if topology is Topology.ADAPTIVE else Shape(topology)


def decide(leaves: int, noun: str = "component") -> tuple[Shape, str]:
    """The shape of a run in an adaptive swarm, and the reason in one sentence.

    Args:
        leaves: how many parts can be worked on at the same time, at least 1.
        noun: what one of them is called in the reason.
    """
    counted = f"{leaves:,} {noun}{'' if leaves == 1 else 's'}"
    if leaves == 1:
        return Shape.SOLO, f"{counted}: a chain, so one agent"
    if leaves <= STAR_LEAVES:
        return Shape.STAR, f"{counted}: at most {STAR_LEAVES}, so star"
    return Shape.HIERARCHICAL, f"{counted}: more than {STAR_LEAVES}, so hierarchical"


def neighbours(topology: Topology, agents: Sequence[str], agent_id: str) -> tuple[str, ...] | None:
    """The agents `agent_id` has an edge to, in joining order; None when the topology is chosen per run (adaptive).

    `agents` are all agents of the swarm in the order they joined; the first is the hub, root or first of the ring.
    """
    position = agents.index(agent_id)
    match topology:
        case Topology.ADAPTIVE:
            return None
        case Topology.MESH:
            return tuple(other for other in agents if other != agent_id)
        case Topology.STAR:
            return tuple(agents[1:]) if position == 0 else (agents[0],)
        case Topology.RING:
            return (agents[(position + 1) % len(agents)],) if len(agents) > 1 else ()
        case Topology.HIERARCHICAL:
            parent = [agents[(position - 1) // FAN_IN]] if position else []
            children = agents[position * FAN_IN + 1 : position * FAN_IN + FAN_IN + 1]
            return (*parent, *children)

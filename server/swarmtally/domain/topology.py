"""Which agents a swarm's topology lets an agent speak to.

The edges are a pure function of the topology and the order in which agents joined, so every process computes the same.
"""

from collections.abc import Sequence
from enum import StrEnum

from swarmtally.domain.swarm import Topology

FAN_IN = 4
"""How many children an agent has in a hierarchical swarm."""


class Shape(StrEnum):
    """The topology of one run: its swarm's, or the one chosen for it in an adaptive swarm. Solo: one agent does all."""

    SOLO = "solo"
    STAR = "star"
    HIERARCHICAL = "hierarchical"
    RING = "ring"
    MESH = "mesh"


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

"""Swarms and the agents in them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

MAX_AGENTS_LIMIT = 10_000
"""The most agents one swarm may hold."""

DEFAULT_MAX_AGENTS = 8

NAME_LIMIT = 200
"""The longest name, role or capability, in characters."""

CAPABILITIES_LIMIT = 50
"""The most capabilities one agent may list."""


class Topology(StrEnum):
    """Who may speak to whom in a swarm."""

    STAR = "star"
    HIERARCHICAL = "hierarchical"
    RING = "ring"
    MESH = "mesh"
    ADAPTIVE = "adaptive"


class Strategy(StrEnum):
    """How a ready task finds its agent; see `swarmtally.core.assignment`."""

    BALANCED = "balanced"
    SPECIALIZED = "specialized"
    ADAPTIVE = "adaptive"


class AgentStatus(StrEnum):
    IDLE = "idle"
    BUSY = "busy"
    LEFT = "left"
    """Drained: it is in the swarm no more, and its row tells what it did."""


@dataclass(frozen=True, slots=True)
class Swarm:
    """A group of agents with a size limit; `model` is what its runs use when they name none."""

    swarm_id: str
    project: str
    name: str
    topology: Topology
    strategy: Strategy
    max_agents: int
    model: str | None
    created_ns: int

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Swarm":
        return cls(
            swarm_id=row["swarm_id"],
            project=row["project"],
            name=row["name"],
            topology=Topology(row["topology"]),
            strategy=Strategy(row["strategy"]),
            max_agents=row["max_agents"],
            model=row["model"],
            created_ns=row["created_ns"],
        )


class IdleAgent(NamedTuple):
    """What matters of an agent that could take a task."""

    agent_id: str
    role: str
    idle_since_ns: int


@dataclass(frozen=True, slots=True)
class Agent:
    """A durable identity in a swarm. It does one task at a time, whichever process schedules it."""

    agent_id: str
    swarm_id: str
    role: str
    name: str
    capabilities: tuple[str, ...]
    status: AgentStatus
    draining: bool
    """Leaves when its task is done."""
    task_id: str | None
    idle_since_ns: int
    tasks_succeeded: int
    tasks_failed: int
    created_ns: int

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Agent":
        return cls(
            agent_id=row["agent_id"],
            swarm_id=row["swarm_id"],
            role=row["role"],
            name=row["name"],
            capabilities=() if row["capabilities"] == "[]" else tuple(json.loads(row["capabilities"])),
            status=AgentStatus(row["status"]),
            draining=bool(row["draining"]),
            task_id=row["task_id"],
            idle_since_ns=row["idle_since_ns"],
            tasks_succeeded=row["tasks_succeeded"],
            tasks_failed=row["tasks_failed"],
            created_ns=row["created_ns"],
        )

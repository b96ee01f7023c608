"""What a replay takes: tasks with what their attempts took, and what was allowed meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass

from swarmtally.domain.swarm import Agent, Strategy
from swarmtally.domain.task import Task

UNLIMITED = 1_000_000
"""More calls or agents than any run can use."""


@dataclass(frozen=True, slots=True)
class Spans:
    """Where the time of one attempt went, in ns."""

    delay: int = 0
    """It could have been claimed and was not."""
    before: int = 0
    """From the claim to the first call."""
    work: float = 0
    """What its calls took; on a compute-bound backend what they would have taken alone."""
    after: int = 0
    """From the last call's end to the commit."""

    def __sub__(self, part: "Spans") -> "Spans":
        return Spans(self.delay - part.delay, self.before - part.before, self.work - part.work, self.after - part.after)

    @property
    def total(self) -> float:
        return self.delay + self.before + self.work + self.after


@dataclass(frozen=True, slots=True)
class Step:
    """One attempt at a task."""

    spans: Spans
    locked: Spans = Spans()
    """What of `spans` was waiting for other processes' write locks."""
    stalled: Spans = Spans()
    """What of `spans` was waiting for memory."""
    halted: int = 0
    """What of `spans.delay` the run was paused or without a process."""
    pause: int = 0
    """From the last call's end until the next attempt was due, in ns."""
    cause: str | None = None
    """Of its failure."""
    lost: bool = False
    """Its process died, or its packet expired: no result came of it."""


@dataclass(frozen=True, slots=True)
class Job:
    """A task with what its attempts took."""

    task: Task
    needs: frozenset[str]
    """The jobs that must have ended before."""
    release_ns: int
    """Not before this, whatever has ended."""
    steps: tuple[Step, ...]
    pool: int = 0
    """Which of the recording's pools takes its calls."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A backend as its process opened it: how many calls it takes at once, and whether they share its capacity."""

    slots: int
    compute: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """An agent that did not join for a task of its own."""

    agent: Agent
    joined: int
    joins_ns: int
    leaves_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """Runs of one swarm that were under way at the same time, with everything that decided who did what when."""

    jobs: tuple[Job, ...]
    pools: tuple[Pool, ...]
    members: tuple[Member, ...]
    strategy: Strategy
    max_agents: int
    created_ns: Mapping[str, int]
    """When each run was made: the older one's tasks come first."""
    solo: frozenset[str] = frozenset()
    """Runs that one agent does alone."""

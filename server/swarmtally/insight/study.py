"""The runs under study, replayed as they were, and what a cause that limited them is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.swarm import AgentStatus
from swarmtally.insight.commands import Place
from swarmtally.insight.jobs import Recording
from swarmtally.insight.recording import Scene
from swarmtally.insight.replay import Replayed, replay
from swarmtally.store.history import Membership, Sample

WORTH_SHARE = 0.005
"""What costs less of the makespan than this is not worth naming."""

WORTH_NS = 1_000_000
"""Nor what costs less than this."""


class Component(StrEnum):
    """Where a cause lies."""

    SWARM = "swarm"
    QUEUE = "queue"
    BACKEND = "backend"
    MEMORY = "memory"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A recorded figure, its unit in its name; `threshold` is what it is held against, None where there is nothing."""

    figure: str
    value: float
    threshold: float | None
    n: int
    """What it was made of: attempts, calls or samples."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A change, and what all runs under study would have taken with it: their makespans, added up, in ns."""

    change: str
    makespan_ns: int
    command: str | None
    """What applies it; None with a `note` why nothing does."""
    note: str | None = None
    base_ns: int | None = None
    """What they would have taken with the sizes that hold by now, which the change is held against; None: the unchanged
    replay."""

    def saved_ns(self, unchanged_ns: int) -> int:
        """What the change gains; `unchanged_ns`: what the unchanged replay took."""
        return (unchanged_ns if self.base_ns is None else self.base_ns) - self.makespan_ns


@dataclass(frozen=True, slots=True)
class Cause:
    """What limited the runs. `lost_ns`: what their makespans, added up, would lack without it."""

    name: str
    component: Component
    summary: str
    lost_ns: int
    evidence: tuple[Evidence, ...]
    what_if: WhatIf | None
    reason: str | None = None
    """Why there is no what-if."""
    swarm_id: str | None = None
    tasks: tuple[str, ...] = ()
    """Keys of tasks it is about."""


class Unknown(Exception):
    """Nothing can be said of a cause; the text says why."""


Heed = Callable[[], None]
"""Called before each replay; raises when nobody waits for the study any more."""

Change = Callable[[Scene], Recording]
"""A scene's recording, changed; the very same object where the change does not concern it."""


@dataclass(frozen=True, slots=True)
class Study:
    """Scenes with their unchanged replays."""

    scenes: tuple[Scene, ...]
    bases: tuple[Replayed, ...]
    samples: tuple[Sample, ...]
    """Taken while they lasted."""
    memberships: Mapping[str, tuple[Membership, ...]]
    """Of each swarm, as it is now."""
    machine_bytes: int | None
    place: Place
    heed: Heed

    @property
    def base_ns(self) -> int:
        """The makespans of the unchanged replays, added up."""
        return sum(base.makespan_ns for base in self.bases)

    @property
    def worth_ns(self) -> int:
        return max(WORTH_NS, round(self.base_ns * WORTH_SHARE))

    def changed(self, change: Change) -> "Study":
        """The same scenes, each with `change`."""
        made = [(scene, base, change(scene)) for scene, base in zip(self.scenes, self.bases, strict=True)]
        return replace(
            self,
            scenes=tuple(replace(scene, recording=new) for scene, _, new in made),
            bases=tuple(base if new is scene.recording else self._replay(new) for scene, base, new in made),
        )

    def total_ns(self, change: Change) -> int:
        """The makespans with `change`, added up."""
        total = 0
        for scene, base in zip(self.scenes, self.bases, strict=True):
            changed = change(scene)
            total += (base if changed is scene.recording else self._replay(changed)).makespan_ns
        return total

    def _replay(self, recording: Recording) -> Replayed:
        self.heed()
        return replay(recording)

    def lost_ns(self, change: Change) -> int:
        """What is gained with `change`."""
        return self.base_ns - self.total_ns(change)

    def staying(self, swarm_id: str) -> list[Membership]:
        """The swarm's agents now, without those that leave."""
        return [
            member
            for member in self.memberships.get(swarm_id, ())
            if member.agent.status is not AgentStatus.LEFT and not member.agent.draining
        ]


def at_least_ns(spans: Sequence[tuple[int, int]], level: int) -> int:
    """How long at least `level` of `spans` lasted at once."""
    at_once, since, total = 0, 0, 0
    for at_ns, change in sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans]):
        if at_once >= level:
            total += at_ns - since
        at_once += change
        since = at_ns
    return total


def most_at_once(spans: Sequence[tuple[int, int]]) -> int:
    at_once = most = 0
    for _, change in sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans]):
        at_once += change
        most = max(most, at_once)
    return most


def seconds(ns: float) -> float:
    return ns / NS_PER_S

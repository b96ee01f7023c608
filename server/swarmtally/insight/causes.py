"""Every cause that is looked for, and their ranking."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from swarmtally.insight import limits, losses
from swarmtally.insight.study import Cause, Component, Study, Unknown

Finder = Callable[[Study], Iterator[Cause]]

FINDERS: Mapping[str, tuple[tuple[Component, ...], Finder]] = {
    "backend_saturation": ((Component.BACKEND,), limits.saturation),
    "agent_starvation": ((Component.SWARM,), limits.starvation),
    "role_shortage": ((Component.SWARM,), limits.shortage),
    "agents_and_backend": ((Component.BACKEND, Component.SWARM), limits.places),
    "critical_path": ((Component.SWARM,), losses.critical_path),
    "rate_limit": ((Component.BACKEND,), losses.rate_limits),
    "network": ((Component.NETWORK,), losses.network),
    "queue_wait": ((Component.QUEUE,), losses.queue_waits),
    "overhead": ((Component.QUEUE,), losses.overhead),
    "interruption": ((Component.QUEUE,), losses.halts),
    "lock_wait": ((Component.QUEUE,), losses.locks),
    "memory": ((Component.MEMORY,), losses.memory),
}
"""Name → the components it belongs to, and what finds it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The causes by what they cost, those looked for that cost next to nothing, and why others are unknown."""

    causes: tuple[Cause, ...]
    ruled_out: tuple[str, ...]
    reasons: Mapping[str, str]


def find(study: Study, component: Component | None) -> Verdict:
    """Look for every cause of `component` (None: of all)."""
    found: list[Cause] = []
    ruled_out: list[str] = []
    reasons: dict[str, str] = {}
    for name, (components, finder) in FINDERS.items():
        if component is not None and component not in components:
            continue
        try:
            causes = list(finder(study))
        except Unknown as unknown:
            reasons[name] = str(unknown)
            continue
        found += causes
        if not causes:
            ruled_out.append(name)
    ranked = sorted(found, key=lambda cause: (-cause.lost_ns, cause.name, cause.summary))
    return Verdict(tuple(ranked), tuple(ruled_out), reasons)

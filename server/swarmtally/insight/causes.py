"""Every cause that is looked for, and their ranking."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from swarmtally.insight import limits, losses, refusals
from swarmtally.insight.study import Cause, Component, Study, Unknown

LEAST_GAIN_SHARE = 0.01
"""A what-if that gains less of the makespan than this gains nothing, ..."""

LEAST_GAIN_NS = 50_000_000
"""... if it also gains less than this."""

Finder = Callable[[Study], Iterator[Cause]]

FINDERS: Mapping[str, tuple[tuple[Component, ...], Finder]] = {
    "backend_saturation": ((Component.BACKEND,), limits.saturation),
    "agent_starvation": ((Component.SWARM,), limits.starvation),
    "role_shortage": ((Component.SWARM,), limits.shortage),
    "agents_and_backend": ((Component.BACKEND, Component.SWARM), limits.places),
    "critical_path": ((Component.SWARM,), losses.critical_path),
    "rate_limit": ((Component.BACKEND,), refusals.rate_limits),
    "network": ((Component.NETWORK,), losses.network),
    "failures": ((Component.BACKEND,), losses.failures),
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
        gaining = [cause for cause in causes if not _gains_nothing(study, cause)]
        found += gaining
        if not gaining:
            ruled_out.append(name)
    ranked = sorted(found, key=lambda cause: (-cause.lost_ns, cause.name, cause.summary))
    return Verdict(tuple(ranked), tuple(ruled_out), reasons)


def _gains_nothing(study: Study, cause: Cause) -> bool:
    """What its own change does not gain was not lost to it."""
    if cause.what_if is None:
        return False
    saved_ns = min(cause.lost_ns, cause.what_if.saved_ns(study.base_ns))
    return saved_ns < LEAST_GAIN_NS and saved_ns < LEAST_GAIN_SHARE * study.base_ns

"""How many agents a measured load needs. Pure: figures in, figures out.

By Little's law (J. D. C. Little, A Proof for the Queuing Formula L = λW, Operations Research 9, 1961) a load of λ
arrivals a second, each served for S seconds, keeps λS agents at work on average. What waits already comes on top.
Why these windows and this share of idleness: docs/decisions/0011-adaptive-size.md. What a project's history says of
how many agents pay comes in as an argument: docs/decisions/0022-sizes-from-history.md.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from swarmtally.domain.clock import NS_PER_S

UTILISATION = Fraction(4, 5)
"""The share of their time that agents shall be at work; the rest keeps waits short when arrivals bunch."""

LOOKBACK_NS = 15 * 60 * NS_PER_S
"""How far back arrivals and ended attempts count."""

SHORTEST_NS = 60 * NS_PER_S
"""A load is not judged by less than this, and what waits shall be served within it, where one service is no longer."""

NO_LOAD = "no load yet: in the last 15 min no task became ready and no attempt ended, and none waits or is under way"
NO_SERVICE = "no attempt ended in the last 15 min, so how long one takes is not known"


@dataclass(frozen=True, slots=True)
class Experience:
    """What the project's own history says of how many agents pay (`swarmtally.learning`)."""

    rows: int
    """Runs it rests on; 0: there is none."""
    pays: int | None
    """How many to have where nothing else is known; None: it does not tell."""
    best: int | None
    """Beyond it throughput falls; None: it does not tell."""
    told: str
    """In words, with its figures: what it says, or why it does not tell."""
    runs_to_make: tuple[str, ...] = ()
    """What would tell."""

    @property
    def reason(self) -> str:
        """What it says, or why it does not tell and what would."""
        return self.told if self.pays is not None else "; ".join((self.told, *self.runs_to_make))


@dataclass(frozen=True, slots=True)
class Load:
    """What was measured of a whole swarm, or of one role of a specialized one. Times in nanoseconds."""

    role: str | None
    agents: int
    """That stay."""
    busy: int
    arrivals: int
    """Times a task became ready in the window."""
    since_first_ns: int
    """From the swarm's first arrival in the lookback to now; 0 when there was none."""
    ended: tuple[int, ...]
    """How long the attempts took that ended in the lookback."""
    under_way: tuple[int, ...]
    """How long those under way have taken so far."""
    backlog: int
    """Tasks that wait for any agent."""

    @property
    def none(self) -> bool:
        return not (self.arrivals or self.ended or self.under_way or self.backlog or self.busy)


@dataclass(frozen=True, slots=True)
class Need:
    """The agents a load needs, with the figures it follows from."""

    load: Load
    window_ns: int
    """What the arrivals are spread over."""
    horizon_ns: int
    """What the backlog shall be served within."""
    service_ns: int | None
    needed: int | None
    """None: it cannot be said; `reason` says why."""
    reason: str | None
    """Also why it is less than the load needs."""
    pays: int | None = None
    """Without a load: how many agents pay by the project's history; None: it does not tell, or there is a load."""

    @property
    def wanted(self) -> int:
        """The size to come to when nothing limits it: what pays where there is no load, as it is where nothing is
        known, but one where work waits."""
        if self.needed is not None:
            return self.needed
        if self.pays is not None:
            return self.pays
        return self.load.agents if self.load.none else max(self.load.agents, self.load.busy, 1)


def mean_service_ns(ended: Sequence[int], under_way: Sequence[int]) -> int | None:
    """The mean time of an attempt, in nanoseconds; None when none has ended.

    Attempts under way are counted as taking at least what they have taken so far: the mean of the product-limit
    estimate (E. L. Kaplan and P. Meier, Nonparametric Estimation from Incomplete Observations, JASA 53, 1958) up to the
    longest time seen. Leaving them out would call a swarm fast whose slow attempts have not ended yet.
    """
    if not ended:
        return None
    # Where one ended just as long after its claim as another has run, the end comes first, as is usual.
    seen = sorted([(time, 0) for time in ended] + [(time, 1) for time in under_way])
    mean, going_on, before = 0.0, 1.0, 0
    for at, (time, censored) in enumerate(seen):
        mean += going_on * (time - before)
        before = time
        if not censored:
            left = len(seen) - at
            going_on *= (left - 1) / left
    return round(mean)


def need(load: Load, at_once: int | None = None, experience: Experience | None = None) -> Need:
    """The agents that `load` needs: (λS + backlog × S / horizon) / utilisation, rounded up.

    Never fewer than are busy, never 0, and never more than the backend takes calls `at_once` (None: not known) or than
    `experience` finds throughput to grow with (None: it is not asked), except for busy ones. Without a load it is not
    known, and `pays` is what experience recommends.
    """
    service_ns = mean_service_ns(load.ended, load.under_way)
    # Over less than one service time a burst would look as if it went on and on.
    shortest = max(SHORTEST_NS, min(service_ns or 0, LOOKBACK_NS))
    window_ns = min(max(load.since_first_ns, shortest), LOOKBACK_NS) if load.arrivals else LOOKBACK_NS
    horizon_ns = max(SHORTEST_NS, service_ns or 0)
    if load.none:
        pays = min(experience.pays, at_once or experience.pays) if experience and experience.pays else None
        unknown = f"{NO_LOAD}; {experience.reason}" if experience else NO_LOAD
        return Need(load, window_ns, horizon_ns, service_ns, None, unknown, pays)
    if service_ns is None:
        return Need(load, window_ns, horizon_ns, service_ns, None, NO_SERVICE)
    at_work = Fraction(load.arrivals * service_ns, window_ns) + Fraction(load.backlog * service_ns, horizon_ns)
    needed, reason = _limited(ceil(at_work / UTILISATION), at_once, experience)
    return Need(load, window_ns, horizon_ns, service_ns, max(needed, load.busy, 1), reason)


def _limited(needed: int, at_once: int | None, experience: Experience | None) -> tuple[int, str | None]:
    """How many of the agents needed are of use, and why not all."""
    best = experience.best if experience else None
    if at_once is not None and needed > at_once and (best is None or at_once <= best):
        return (
            at_once,
            f"the load needs {needed}, but the backend takes {at_once} calls at once; others would only wait",
        )
    if experience and best is not None and needed > best:
        return best, f"the load needs {needed}, but beyond {best} throughput falls: {experience.told}"
    return needed, None


@dataclass(frozen=True, slots=True)
class Want:
    """How many agents of a role are wanted, and whether there is work for it."""

    agents: int
    working: bool


def share(wants: Mapping[str, Want], places: int) -> dict[str, int]:
    """How many agents each role gets when all may have `places` together; each what it wants where that suffices.

    Roles with work come first: one agent each, those that want most first; then every place goes to the role whose
    agents are most loaded, which keeps the highest load as low as can be. Roles without work get what is left.
    """
    given = dict.fromkeys(wants, 0)
    queue = [_turn(role, want, 0) for role, want in wants.items() if want.agents]
    heapq.heapify(queue)
    for _ in range(places):
        if not queue:
            break
        *_, role = heapq.heappop(queue)
        given[role] += 1
        if given[role] < wants[role].agents:
            heapq.heappush(queue, _turn(role, wants[role], given[role]))
    return given


def _turn(role: str, want: Want, has: int) -> tuple[bool, bool, Fraction, str]:
    """Where a role that has `has` agents stands in the queue for the next place; the least comes first."""
    return (not want.working, has > 0, -Fraction(want.agents, max(has, 1)), role)

"""Stretches of time in which something came far oftener than over the whole log."""

from collections.abc import Mapping
from math import log

from swarmtally.logreading.stamps import NS_PER_S
from swarmtally.logreading.templates import Burst

LEAST = 5
"""Entries in a burst."""
TIMES = 4.0
"""How many times the mean rate of the log a burst's rate is at least."""
CHANCE = 1e-6
"""Below which probability, over all stretches looked at, the count would be chance."""
MOST = 20
"""Bursts that are given: those with the most entries."""
SECONDS_PER_MINUTE = 60


def bursts(buckets: Mapping[int, int], shift: int, span_s: float) -> tuple[Burst, ...]:
    """In order of time. `buckets` counts by Unix seconds >> shift; `span_s` is the length of the log.

    A stretch is one when a Poisson process of the mean rate would give its count with a probability under CHANCE, by
    Chernoff's bound P(X >= c) <= exp(-(c ln(c/m) - c + m)) (Mitzenmacher and Upfal, Probability and Computing, 2005,
    theorem 5.4), times the number of stretches; stretches that touch are one."""
    width_s = 1 << shift
    stretches = max(1.0, span_s / width_s)
    mean = sum(buckets.values()) / stretches
    least = log(stretches / CHANCE)
    found: list[list[int]] = []
    for at in sorted(at for at, count in buckets.items() if _is_burst(count, mean, least)):
        if found and found[-1][1] == at:
            found[-1][1] += 1
            found[-1][2] += buckets[at]
        else:
            found.append([at, at + 1, buckets[at]])
    most = sorted(sorted(found, key=lambda one: -one[2])[:MOST])
    return tuple(_burst(first, end, count, width_s) for first, end, count in most)


def _is_burst(count: int, mean: float, least: float) -> bool:
    return count >= LEAST and count >= TIMES * mean and count * log(count / mean) - count + mean > least


def _burst(first: int, end: int, count: int, width_s: int) -> Burst:
    rate = count / ((end - first) * width_s) * SECONDS_PER_MINUTE
    return Burst(first * width_s * NS_PER_S, end * width_s * NS_PER_S, count, rate)

"""Figures of resource samples: mean, most and number, or why there are none."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from swarmtally.domain.clock import NS_PER_S
from swarmtally.store.history import Sample

NO_SAMPLES = "no resource samples were recorded then; they are taken while runs are executed, and kept for 7 days"


class Metric(StrEnum):
    CPU = "cpu"
    """Cores used by the process and its children."""
    MEMORY = "memory"
    """Their resident bytes."""
    NETWORK = "network"
    """Bytes a second, sent and received, of the whole machine."""


UNITS = {Metric.CPU: "cores", Metric.MEMORY: "bytes", Metric.NETWORK: "bytes/s"}


@dataclass(frozen=True, slots=True)
class Figure:
    """Over the samples of a timeframe; without any, `reason` says why."""

    mean: float | None
    most: float | None
    n: int
    unit: str
    reason: str | None = None


def figures(samples: Sequence[Sample], metrics: Sequence[Metric]) -> dict[Metric, Figure]:
    """The figures of `metrics`. The mean is weighted by the samples' intervals."""
    return {metric: _figure(samples, metric) for metric in dict.fromkeys(metrics)}


def _figure(samples: Sequence[Sample], metric: Metric) -> Figure:
    found = [
        (value, sample.interval_ns)
        for sample in samples
        if sample.interval_ns > 0 and (value := _value(sample, metric)) is not None
    ]
    if not found:
        why = "the system does not tell it" if samples else NO_SAMPLES
        return Figure(None, None, 0, UNITS[metric], why)
    whole = sum(weight for _, weight in found)
    mean = sum(value * weight for value, weight in found) / whole
    return Figure(mean, max(value for value, _ in found), len(found), UNITS[metric])


def _value(sample: Sample, metric: Metric) -> float | None:
    if metric is Metric.CPU:
        return None if sample.cpu_ns is None else sample.cpu_ns / sample.interval_ns
    if metric is Metric.MEMORY:
        return sample.rss_bytes
    return None if sample.net_bytes is None else sample.net_bytes * NS_PER_S / sample.interval_ns

"""The figures of one window of time, computed from recorded rows and nothing else.

Each is a value with the number of rows behind it, or None with the reason. docs/measures.md has the definitions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.measures import AttemptFacts
from swarmtally.insight.speed import LEAST_CALLS, Alone, sequential
from swarmtally.insight.statistics import Ints, median, wilson
from swarmtally.insight.window import Window

HOST_MODEL = "host"

NO_TASKS = "no task has ended in this time"
NO_RESULTS = "no attempt has ended in this time"
NO_RUNS = "no run has ended in this time"
NO_AGENTS = "no agent was in a swarm in this time"
NO_BASELINE = "no run has a baseline: what a separate request would have sent is not recorded yet"
NO_LONE_CALLS = "no calls ran alone on this backend; `swarmtally calibrate` measures it"
HOST_CALLS = "the client does the work; its calls are not ours to time"


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure: its value or the reason there is none, how many rows it counts, its 95 % interval, and its basis."""

    value: float | None
    n: int
    reason: str | None = None
    interval: tuple[float, float] | None = None
    basis: str | None = None


Figures = dict[str, Figure]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A row of `run_measure`, as far as figures need it."""

    run_id: str
    ended_ns: int
    begun_ns: int
    swarm_id: str
    status: str
    backend: str
    model: str
    succeeded: int
    failed: int
    cancelled: int
    attempts: int
    results: int
    retried: int
    busy_ns: int
    work_ns: int
    critical_path_ns: int
    makespan_ns: int | None
    places: int | None
    calls: int
    calls_unknown: int
    fresh_tokens: int
    output_tokens: int

    @property
    def bound_ns(self) -> float:
        """No schedule is shorter: the work over all places, or the longest dependent chain."""
        return max(self.work_ns / max(1, self.places or 1), self.critical_path_ns)

    @property
    def counts(self) -> bool:
        """Whether its makespan says anything: somebody cancelled the others."""
        return self.makespan_ns is not None and self.makespan_ns > 0 and self.status != "cancelled"


@dataclass(frozen=True, slots=True)
class Rows:
    """All that the figures of a window are computed from.

    `stretches` are runs' measures; of the runs in `raw_runs` the rows themselves are given instead, for what is counted
    by task and attempt, because they began or ended outside a window, or go on.
    """

    stretches: tuple[Stretch, ...]
    raw_runs: frozenset[str]
    attempts: tuple[tuple[str, AttemptFacts], ...]
    """(swarm_id, attempt)"""
    cancelled: tuple[int, ...]
    """When tasks of those runs were cancelled."""
    alive_ns: Mapping[Window, int]
    """By window: how long the agents of all swarms there are were in them."""
    swarms: frozenset[str]
    """The swarms there are."""
    alone: Mapping[tuple[str, str], Alone] = field(default_factory=dict)
    """By (backend, model): what its calls take alone."""
    lone: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """How many calls are known to have run alone, of those that had too few for `alone` too."""


def figures(rows: Rows, window: Window) -> Figures:
    """All figures of `window`."""
    whole = [
        stretch
        for stretch in rows.stretches
        if stretch.run_id not in rows.raw_runs
        and stretch.begun_ns >= window.since_ns
        and window.holds(stretch.ended_ns)
    ]
    attempts = [attempt for _, attempt in rows.attempts if window.holds(attempt.committed_ns)]
    ended = [stretch for stretch in rows.stretches if window.holds(stretch.ended_ns) and stretch.counts]
    return {
        **_rates(rows, window, whole, attempts),
        **_of_runs(ended),
        "speed_multiplier": _speed_multiplier(rows, ended),
        "agent_utilisation": _utilisation(rows, window, whole),
        "token_efficiency": Figure(None, 0, NO_BASELINE),
    }


def _rates(rows: Rows, window: Window, whole: Sequence[Stretch], attempts: Sequence[AttemptFacts]) -> Figures:
    final = [attempt for attempt in attempts if attempt.final and attempt.has_result]
    succeeded = sum(stretch.succeeded for stretch in whole) + sum(item.status == "succeeded" for item in final)
    failed = sum(stretch.failed for stretch in whole) + sum(item.status == "failed" for item in final)
    results = sum(stretch.results for stretch in whole) + sum(item.has_result for item in attempts)
    retried = sum(stretch.retried for stretch in whole) + sum(
        item.status == "failed" and not item.final for item in attempts
    )
    cancelled = sum(stretch.cancelled for stretch in whole) + sum(map(window.holds, rows.cancelled))
    tasks = succeeded + failed
    return {
        "tasks_ended": Figure(tasks + cancelled, tasks + cancelled) if tasks + cancelled else Figure(None, 0, NO_TASKS),
        "success_rate": Figure(succeeded / tasks, tasks, interval=wilson(succeeded, tasks))
        if tasks
        else Figure(None, 0, NO_TASKS),
        "retry_rate": Figure(retried / results, results) if results else Figure(None, 0, NO_RESULTS),
        "cancelled_rate": Figure(cancelled / (tasks + cancelled), tasks + cancelled)
        if tasks + cancelled
        else Figure(None, 0, NO_TASKS),
    }


def _of_runs(ended: Sequence[Stretch]) -> Figures:
    names = ("makespan_s", "work_s", "critical_path_s", "parallelism", "schedule_efficiency")
    if not ended:
        return dict.fromkeys(names, Figure(None, 0, NO_RUNS))
    n = len(ended)
    makespan_ns = sum(stretch.makespan_ns or 0 for stretch in ended)
    return {
        "makespan_s": Figure(_median_s([stretch.makespan_ns or 0 for stretch in ended]), n),
        "work_s": Figure(_median_s([stretch.work_ns for stretch in ended]), n),
        "critical_path_s": Figure(_median_s([stretch.critical_path_ns for stretch in ended]), n),
        "parallelism": Figure(sum(stretch.work_ns for stretch in ended) / makespan_ns, n),
        "schedule_efficiency": Figure(sum(stretch.bound_ns for stretch in ended) / makespan_ns, n),
    }


def _median_s(values: Sequence[int]) -> float:
    given: Ints = np.array(values, dtype=np.int64)
    return median(given) / NS_PER_S


def _speed_multiplier(rows: Rows, ended: Sequence[Stretch]) -> Figure:
    """Over the runs all of whose calls are known and whose backend had lone calls: what their calls would take one
    after another, over what the runs took."""
    if not ended:
        return Figure(None, 0, NO_RUNS)
    known = [stretch for stretch in ended if stretch.calls and not stretch.calls_unknown]
    counted = [stretch for stretch in known if (stretch.backend, stretch.model) in rows.alone]
    if not counted:
        return Figure(None, 0, _why_no_multiplier(rows, ended, known))
    groups: dict[tuple[str, str], list[Stretch]] = {}
    for stretch in counted:
        groups.setdefault((stretch.backend, stretch.model), []).append(stretch)
    seconds, variance = 0.0, 0.0
    for key, group in groups.items():
        found = sequential(
            rows.alone[key],
            sum(stretch.fresh_tokens for stretch in group),
            sum(stretch.output_tokens for stretch in group),
            sum(stretch.calls for stretch in group),
        )
        seconds += found.seconds
        variance += found.half_width_s**2
    makespan_s = sum(stretch.makespan_ns or 0 for stretch in counted) / NS_PER_S
    half = variance**0.5
    basis = "; ".join(rows.alone[key].told(key[1]) for key in groups)
    if len(counted) < len(ended):
        basis += f"; counts {len(counted)} of {len(ended)} runs: of the others calls are unknown or none ran alone"
    return Figure(
        seconds / makespan_s,
        len(counted),
        interval=(max(0.0, seconds - half) / makespan_s, (seconds + half) / makespan_s),
        basis=basis,
    )


def _why_no_multiplier(rows: Rows, ended: Sequence[Stretch], known: Sequence[Stretch]) -> str:
    if known:
        return (
            NO_LONE_CALLS
            if not any(rows.lone.values())
            else (
                f"only {max(rows.lone.values())} calls ran alone on this backend, {LEAST_CALLS} are needed;"
                " `swarmtally calibrate` makes them"
            )
        )
    if all(stretch.backend == HOST_MODEL for stretch in ended):
        return HOST_CALLS
    return "in every run some call has no token figures"


def _utilisation(rows: Rows, window: Window, whole: Sequence[Stretch]) -> Figure:
    alive_ns = rows.alive_ns[window]
    if alive_ns <= 0:
        return Figure(None, 0, NO_AGENTS)
    mine = [stretch for stretch in whole if stretch.swarm_id in rows.swarms]
    busy_ns, n = sum(stretch.busy_ns for stretch in mine), sum(stretch.attempts for stretch in mine)
    for swarm_id, attempt in rows.attempts:
        if swarm_id in rows.swarms:
            until = attempt.busy_until_ns(window.until_ns)
            spent = until - max(attempt.claimed_ns, window.since_ns)
            if spent > 0:
                busy_ns += spent
                n += 1
    return Figure(busy_ns / alive_ns, n)

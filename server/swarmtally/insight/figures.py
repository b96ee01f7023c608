"""The figures of one window of time, computed from recorded rows and nothing else.

Each is a value with the number of rows behind it, or None with the reason. docs/measures.md has the definitions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from swarmtally.domain.clock import NS_PER_S, iso
from swarmtally.domain.measures import AttemptFacts
from swarmtally.insight.speed import LEAST_CALLS, Alone, sequential
from swarmtally.insight.statistics import Ints, median, wilson
from swarmtally.insight.window import Window

HOST_MODEL = "host"

NO_TASKS = "no task has ended in this time"
NO_RESULTS = "no attempt has ended in this time"
NO_RUNS = "no run has ended in this time"
NO_AGENTS = "no agent was in a swarm in this time"
NO_BASELINE = "of no run that ended in this time is known what all its calls used and what separate requests would have"
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
class Tally:
    """A row of `store.measures.tallies`: sums over stretches of runs that ended in one segment of time."""

    segment: int
    swarm_id: str
    backend: str
    model: str
    whole: bool
    counts: bool
    known: bool
    runs: int
    succeeded: int
    failed: int
    cancelled: int
    attempts: int
    results: int
    retried: int
    busy_ns: float
    work_ns: float
    bound_ns: float
    makespan_ns: float
    calls: int
    fresh_tokens: int
    output_tokens: int
    compared: int
    """Runs that can be compared with separate requests; the next two are over these."""
    raw_tokens: int
    separate_tokens: float


@dataclass(frozen=True, slots=True)
class Rows:
    """All that the figures of a window are computed from.

    Time is cut at `edges`, so that every window is some segments; number n ends with edge n. What is counted by task
    and attempt is summed up by segment only where runs lie wholly in one; of the others, and of those that go on, the
    rows themselves are given.
    """

    edges: tuple[int, ...]
    tallies: tuple[Tally, ...]
    listed: Mapping[str, Mapping[int, Ints]]
    """makespan_ns, work_ns and critical_path_ns of the runs that count, by segment."""
    attempts: tuple[tuple[str, AttemptFacts], ...]
    """(swarm_id, attempt)"""
    cancelled: tuple[int, ...]
    """When tasks of those runs were cancelled."""
    alive_ns: Mapping[Window, int]
    """By window: how long the agents of all swarms there are were in them."""
    swarms: frozenset[str]
    """The swarms there are."""
    gone_ns: int = 0
    """Runs that ended up to then may be kept no longer."""
    alone: Mapping[tuple[str, str], Alone] = field(default_factory=dict)
    """By (backend, model): what its calls take alone."""
    lone: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """How many calls are known to have run alone, of those that had too few for `alone` too."""

    def segments(self, window: Window) -> range:
        return range(self.edges.index(window.since_ns) + 1, self.edges.index(window.until_ns) + 1)


NAMES = (
    *("tasks_ended", "success_rate", "retry_rate", "cancelled_rate"),
    *("makespan_s", "work_s", "critical_path_s", "parallelism", "schedule_efficiency"),
    *("speed_multiplier", "agent_utilisation", "token_efficiency"),
)


def figures(rows: Rows, window: Window) -> Figures:
    """All figures of `window`."""
    if window.since_ns < rows.gone_ns:
        return dict.fromkeys(NAMES, Figure(None, 0, gone("runs", rows.gone_ns)))
    segments = rows.segments(window)
    inside = [tally for tally in rows.tallies if tally.segment in segments]
    whole = [tally for tally in inside if tally.whole]
    ended = [tally for tally in inside if tally.counts]
    attempts = [attempt for _, attempt in rows.attempts if window.holds(attempt.committed_ns)]
    return {
        **_rates(rows, window, whole, attempts),
        **_of_runs(rows, ended, segments),
        "speed_multiplier": _speed_multiplier(rows, ended),
        "agent_utilisation": _utilisation(rows, window, whole),
        "token_efficiency": _token_efficiency(ended),
    }


_MS = 1_000_000


def gone(what: str, until_ns: int) -> str:
    """Why there is no figure where rows are kept no longer."""
    return f"{what} up to {iso(until_ns + _MS - 1)} are kept no longer; ask for a timeframe that begins then or later"


def _rates(rows: Rows, window: Window, whole: Sequence[Tally], attempts: Sequence[AttemptFacts]) -> Figures:
    final = [attempt for attempt in attempts if attempt.final and attempt.has_result]
    succeeded = sum(tally.succeeded for tally in whole) + sum(item.status == "succeeded" for item in final)
    failed = sum(tally.failed for tally in whole) + sum(item.status == "failed" for item in final)
    results = sum(tally.results for tally in whole) + sum(item.has_result for item in attempts)
    retried = sum(tally.retried for tally in whole) + sum(
        item.status == "failed" and not item.final for item in attempts
    )
    cancelled = sum(tally.cancelled for tally in whole) + sum(map(window.holds, rows.cancelled))
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


def _of_runs(rows: Rows, ended: Sequence[Tally], segments: range) -> Figures:
    names = ("makespan_s", "work_s", "critical_path_s", "parallelism", "schedule_efficiency")
    if not ended:
        return dict.fromkeys(names, Figure(None, 0, NO_RUNS))
    n = sum(tally.runs for tally in ended)
    makespan_ns = sum(tally.makespan_ns for tally in ended)

    def middle(name: str) -> Figure:
        found = [rows.listed[name][segment] for segment in segments if segment in rows.listed[name]]
        return Figure(median(np.concatenate(found)) / NS_PER_S, n)

    return {
        "makespan_s": middle("makespan_ns"),
        "work_s": middle("work_ns"),
        "critical_path_s": middle("critical_path_ns"),
        "parallelism": Figure(sum(tally.work_ns for tally in ended) / makespan_ns, n),
        "schedule_efficiency": Figure(sum(tally.bound_ns for tally in ended) / makespan_ns, n),
    }


def _speed_multiplier(rows: Rows, ended: Sequence[Tally]) -> Figure:
    """Over the runs all of whose calls are known and whose backend had lone calls: what their calls would take one
    after another, over what the runs took."""
    if not ended:
        return Figure(None, 0, NO_RUNS)
    known = [tally for tally in ended if tally.known]
    counted = [tally for tally in known if (tally.backend, tally.model) in rows.alone]
    if not counted:
        return Figure(None, 0, _why_no_multiplier(rows, ended, known))
    groups: dict[tuple[str, str], list[Tally]] = {}
    for tally in counted:
        groups.setdefault((tally.backend, tally.model), []).append(tally)
    seconds, variance = 0.0, 0.0
    for key, group in groups.items():
        found = sequential(
            rows.alone[key],
            sum(tally.fresh_tokens for tally in group),
            sum(tally.output_tokens for tally in group),
            sum(tally.calls for tally in group),
        )
        seconds += found.seconds
        variance += found.half_width_s**2
    makespan_s = sum(tally.makespan_ns for tally in counted) / NS_PER_S
    half = variance**0.5
    n, runs = sum(tally.runs for tally in counted), sum(tally.runs for tally in ended)
    basis = "; ".join(rows.alone[key].told(key[1]) for key in groups)
    if n < runs:
        basis += f"; counts {n} of {runs} runs: of the others calls are unknown or none ran alone"
    return Figure(
        seconds / makespan_s,
        n,
        interval=(max(0.0, seconds - half) / makespan_s, (seconds + half) / makespan_s),
        basis=basis,
    )


def _why_no_multiplier(rows: Rows, ended: Sequence[Tally], known: Sequence[Tally]) -> str:
    if all(tally.backend == HOST_MODEL for tally in known or ended):
        return HOST_CALLS
    if not known:
        return "in every run some call has no token figures"
    most = max(rows.lone.get((tally.backend, tally.model), 0) for tally in known)
    if not most:
        return NO_LONE_CALLS
    return f"only {most} calls ran alone on this backend, {LEAST_CALLS} are needed; `swarmtally calibrate` makes them"


def _token_efficiency(ended: Sequence[Tally]) -> Figure:
    """What was saved against separate requests with full context, of the tokens those would have used: over the runs
    all of whose calls are known and that have a baseline."""
    runs, compared = sum(tally.runs for tally in ended), sum(tally.compared for tally in ended)
    separate = sum(tally.separate_tokens for tally in ended)
    if not runs:
        return Figure(None, 0, NO_RUNS)
    if not compared or not separate:
        return Figure(None, 0, NO_BASELINE)
    basis = f"counts {compared} of {runs} runs: of the others calls or the baseline are unknown"
    value = 1 - sum(tally.raw_tokens for tally in ended) / separate
    return Figure(value, compared, basis=basis if compared < runs else None)


def _utilisation(rows: Rows, window: Window, whole: Sequence[Tally]) -> Figure:
    alive_ns = rows.alive_ns[window]
    if alive_ns <= 0:
        return Figure(None, 0, NO_AGENTS)
    mine = [tally for tally in whole if tally.swarm_id in rows.swarms]
    busy_ns, n = sum(tally.busy_ns for tally in mine), sum(tally.attempts for tally in mine)
    for swarm_id, attempt in rows.attempts:
        if swarm_id in rows.swarms:
            until = attempt.busy_until_ns(window.until_ns)
            spent = until - max(attempt.claimed_ns, window.since_ns)
            if spent > 0:
                busy_ns += spent
                n += 1
    return Figure(busy_ns / alive_ns, n)

"""Parts of the performance report, from what `insight.performance` found."""

from collections.abc import Mapping

from swarmtally.domain.clock import NS_PER_S, iso
from swarmtally.insight.figures import Figure, Figures
from swarmtally.insight.performance import Report, Spread
from swarmtally.store.connection import Row
from swarmtally.store.explanations import Explanation
from swarmtally_tools.definition import View

DIGITS = 6
"""Figures are given to so many decimal places."""


class SpreadView(View):
    n: int
    """Rows counted."""
    p50: float | None
    """The median; every percentile is a recorded value (nearest rank)."""
    p95: float | None
    """Null below 20 rows."""
    p99: float | None
    """Null below 100 rows."""
    max: float | None
    """The largest."""


class LatencyView(SpreadView):
    under_50ms: float | None
    """The share that took less than 50 ms."""


class ResourcesView(View):
    samples: int
    """Rows counted: one a second and process while it executed runs."""
    processes: int
    """How many processes they are of."""
    cpu_cores: float | None
    """Mean cores in use, the process and its children."""
    rss_mib_max: float | None
    """The most memory one process and its children held."""
    read_mib_per_s: float | None
    """Mean, from disk."""
    written_mib_per_s: float | None
    """Mean, to disk."""
    machine_sent_mib_per_s: float | None
    """Mean of the whole machine: systems do not count the network by process."""
    machine_received_mib_per_s: float | None
    """Mean of the whole machine."""
    lock_wait_s: float | None
    """Waited for other processes' write locks, in all."""
    loop_lag_ms_max: float | None
    """The longest the event loop kept a due timer waiting."""
    time: dict[str, float]
    """Shares of the processes' wall-clock time: store, scheduling, backends, rest; empty without samples."""


class HeldView(View):
    n: int
    """Predictions counted: of what ended last, at most 50."""
    value: float | None
    """Of duration_s and tokens the share that lay in its 90 % interval; of success the Brier score, the mean of
    (predicted share - outcome) squared; null below 20."""
    interval: tuple[float, float] | None
    """95 % interval of the share, were predictions of one run independent; null for success."""
    basis: str | None
    """Of how many runs they are."""


class TrendView(View):
    figures: dict[str, float | None]
    """In the window that ends at as_of."""
    change: dict[str, float | None]
    """Against the window before it, of the same length; null where either is."""
    n: dict[str, int]
    """Rows behind each figure."""
    reasons: dict[str, str]
    """Why a figure is null."""


class EndedRunView(View):
    run_id: str
    """The run."""
    kind: str
    """run, batch, concurrent or pipeline."""
    status: str
    """How it ended."""
    task: str
    """What was asked for, cut."""
    ended_at: str
    """UTC."""
    makespan_s: float | None
    """First claim to last commit."""
    parallelism: float | None
    """Work over makespan."""
    schedule_efficiency: float | None
    """The shortest possible over the makespan."""
    succeeded: int
    """Tasks."""
    failed: int
    """Tasks."""
    cancelled: int
    """Tasks."""
    model: str
    """What did the work."""


class TimelineView(View):
    task: str
    """Its key in the run."""
    role: str
    """Who did it."""
    status: str
    """How its last attempt ended."""
    start_s: float
    """Claimed, since the run's first claim."""
    end_s: float
    """Committed."""
    exec_s: float | None
    """What its calls took."""


class ExplanationView(View):
    figure: str
    """What is explained; of durations and latencies the median."""
    query: str
    """Straight over the recorded rows; run it with any SQLite shell."""
    parameters: dict[str, str | int | None]
    """What is bound in it; times in ns since the epoch."""
    value: float | None
    """What it gives."""
    rows: int
    """Rows counted."""


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def held_view(figure: Figure) -> HeldView:
    between = None if figure.interval is None else tuple(round(bound, DIGITS) for bound in figure.interval)
    return HeldView(n=figure.n, value=rounded(figure.value), interval=between, basis=figure.basis)


def latency_view(spread: Spread) -> LatencyView:
    return LatencyView(**spread_view(spread, 1_000_000).model_dump(), under_50ms=rounded(spread.fast))


def spread_view(spread: Spread, unit_ns: int) -> SpreadView:
    p50, p95, p99, most = (
        None if value is None else round(value / unit_ns, DIGITS)
        for value in (spread.p50_ns, spread.p95_ns, spread.p99_ns, spread.max_ns)
    )
    return SpreadView(n=spread.n, p50=p50, p95=p95, p99=p99, max=most)


def resources_view(report: Report) -> ResourcesView:
    row = report.resources
    known = row["n"] and "samples" not in report.gone

    def scaled(name: str, unit: float) -> float | None:
        return round(row[name] * unit, DIGITS) if known and row[name] is not None else None

    return ResourcesView(
        samples=row["n"] if known else 0,
        processes=row["processes"] if known else 0,
        cpu_cores=scaled("cpu_ns", 1),
        rss_mib_max=scaled("rss_bytes", 1 / 2**20),
        read_mib_per_s=scaled("read_bytes", NS_PER_S / 2**20),
        written_mib_per_s=scaled("written_bytes", NS_PER_S / 2**20),
        machine_sent_mib_per_s=scaled("net_sent_bytes", NS_PER_S / 2**20),
        machine_received_mib_per_s=scaled("net_received_bytes", NS_PER_S / 2**20),
        lock_wait_s=scaled("lock_wait_ns", 1 / NS_PER_S),
        loop_lag_ms_max=scaled("lag_ns", 1e-6),
        time={
            part: round(row[f"{part}_ns"] / row["interval_ns"], DIGITS)
            for part in ("store", "scheduling", "backends", "rest")
        }
        if known and row["interval_ns"]
        else {},
    )


def trend_view(now: Figures, before: Figures) -> TrendView:
    def change(name: str) -> float | None:
        here, there = now[name].value, before[name].value
        return None if here is None or there is None else round(here - there, DIGITS)

    return TrendView(
        figures={name: rounded(figure.value) for name, figure in now.items()},
        change={name: change(name) for name in now},
        n={name: figure.n for name, figure in now.items()},
        reasons={name: figure.reason for name, figure in now.items() if figure.reason},
    )


def ended_run_view(row: Row) -> EndedRunView:
    # A run that somebody cut short says nothing about how long such work takes.
    makespan_ns = None if row["status"] == "cancelled" else row["makespan_ns"]
    bound_ns = max(row["work_ns"] / max(1, row["places"] or 1), row["critical_path_ns"])
    return EndedRunView(
        run_id=row["run_id"],
        kind=row["kind"],
        status=row["status"],
        task=row["task"][:80],
        ended_at=iso(row["ended_ns"]),
        makespan_s=_over(makespan_ns, NS_PER_S),
        parallelism=_over(row["work_ns"], makespan_ns),
        schedule_efficiency=_over(bound_ns, makespan_ns),
        succeeded=row["succeeded"],
        failed=row["failed"],
        cancelled=row["cancelled"],
        model=row["model"],
    )


def _over(value: float | None, divisor: int | None) -> float | None:
    return None if value is None or not divisor else round(value / divisor, DIGITS)


def timeline_view(report: Report) -> list[TimelineView]:
    if not report.timeline:
        return []
    first = report.timeline[0]["claimed_ns"]
    return [
        TimelineView(
            task=row["key"],
            role=row["role"],
            status=row["status"],
            start_s=round((row["claimed_ns"] - first) / NS_PER_S, 3),
            end_s=round((row["committed_ns"] - first) / NS_PER_S, 3),
            exec_s=None if row["exec_ns"] is None else round(row["exec_ns"] / NS_PER_S, 3),
        )
        for row in report.timeline
    ]


def explanation_view(each: Explanation) -> ExplanationView:
    parameters: Mapping[str, str | int | None] = each.parameters
    return ExplanationView(
        figure=each.figure, query=each.query, parameters=dict(parameters), value=rounded(each.value), rows=each.rows
    )

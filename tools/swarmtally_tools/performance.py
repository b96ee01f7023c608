"""The performance report."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from swarmtally.analysis import PerformanceRequest
from swarmtally.app import App
from swarmtally.domain.clock import NS_PER_S, iso
from swarmtally.domain.measures import LATENCY_OF, WITH_ROWS
from swarmtally.insight.figures import Figure, Figures
from swarmtally.insight.performance import LEAST_FOR, Report, Spread
from swarmtally.store.connection import Row
from swarmtally.store.explanations import Explanation
from swarmtally_tools.definition import Tool, View, tool

RUNS_SHOWN = 10
TASKS_SHOWN = 50

DURATIONS_SHOWN = (("wait", "waits"), ("exec", "execs"), ("overhead", "overheads"))

DIGITS = 6
"""Figures are given to so many decimal places."""


class ReportFormat(StrEnum):
    SUMMARY = "summary"
    DETAILED = "detailed"
    JSON = "json"


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


class PerformanceView(View):
    as_of: str
    """Give it again to get the same figures."""
    since: str
    """Counted is what ended after this, UTC,"""
    until: str
    """up to this."""
    project: str
    """Whose rows are counted."""
    swarm_id: str | None
    """Whose of them; null: of all swarms."""
    database: str
    """Where the rows are."""
    format: ReportFormat
    """As asked."""
    tasks_ended: float | None
    """Succeeded, failed and cancelled."""
    success_rate: float | None
    """Succeeded over succeeded and failed."""
    retry_rate: float | None
    """Attempts that failed and were tried again, over attempts with a result."""
    cancelled_rate: float | None
    """Cancelled over all tasks that ended."""
    makespan_s: float | None
    """Median over the runs that ended: first claim to last commit."""
    work_s: float | None
    """Median: what the runs' calls took, added up."""
    critical_path_s: float | None
    """Median: the longest dependent chain of calls."""
    parallelism: float | None
    """Work over makespan. No speed-up: calls at once can slow each other down."""
    schedule_efficiency: float | None
    """The shortest possible makespan over the real one."""
    speed_multiplier: float | None
    """What the same calls would take one after another, over what the runs took; see basis."""
    agent_utilisation: float | None
    """Busy over present agent-seconds."""
    token_efficiency: float | None
    """The share of raw tokens saved against separate requests with full context."""
    latency_ms: dict[str, LatencyView]
    """By kind of message, sent to received."""
    durations_s: dict[str, SpreadView]
    """Of attempts: wait (ready to claimed), exec (calls), overhead (the rest, to commit)."""
    predictions: dict[str, HeldView]
    """How those of tasks and runs that ended held: duration_s, tokens, success."""
    resources: ResourcesView
    """Of the processes that executed runs; all of the project's, also for one swarm."""
    trends: dict[str, TrendView]
    """Last hour, day, week, month."""
    n: dict[str, int]
    """Rows behind each figure."""
    reasons: dict[str, str]
    """Why a figure is null."""
    intervals: dict[str, tuple[float, float]]
    """95 % intervals."""
    basis: dict[str, str]
    """What an estimated figure rests on."""
    runs: list[EndedRunView]
    """Those that ended last, at most 10; empty in a summary."""
    timeline: list[TimelineView]
    """Tasks of the newest of them, at most 50; empty in a summary."""
    explained: list[ExplanationView]
    """What `explain` asked for."""


@tool(title="Report on performance", read_only=True, idempotent=True)
async def performance_report(
    app: App,
    format: Annotated[  # noqa: A002 - the argument's name is the design's
        ReportFormat, Field(description="summary; detailed and json add runs and a timeline")
    ] = ReportFormat.SUMMARY,
    timeframe: Annotated[str, Field(description="90s, 15m, 24h, 7d, 30d, all, or start/end", max_length=100)] = "24h",
    swarm_id: Annotated[str | None, Field(description="Of this swarm only", max_length=200)] = None,
    explain: Annotated[
        list[str] | None, Field(description="Figures to give query and rows of, such as success_rate", max_length=20)
    ] = None,
    as_of: Annotated[str | None, Field(description="Count up to then, ISO 8601", max_length=100)] = None,
) -> PerformanceView:
    """How the project's work went: success, makespan, parallelism, speed_multiplier, utilisation, latencies, resources,
    how predictions held, trends. Every figure is counted from recorded rows with its n, null with a reason when
    unknown; `explain` gives its query."""
    brief = format is ReportFormat.SUMMARY
    found = await app.analysis.performance(
        PerformanceRequest(
            timeframe=timeframe,
            swarm_id=swarm_id,
            as_of=as_of,
            explain=tuple(explain or ()),
            runs=0 if brief else RUNS_SHOWN,
            tasks=0 if brief else TASKS_SHOWN,
        )
    )
    report = found.report
    figures = report.figures
    return PerformanceView(
        as_of=iso(found.as_of_ns),
        since=iso(report.window.since_ns),
        until=iso(report.window.until_ns),
        project=app.settings.project,
        swarm_id=swarm_id,
        database=str(app.database.path),
        format=format,
        **{name: _rounded(figure.value) for name, figure in figures.items()},
        latency_ms={kind: _latency(report.spreads[name]) for kind, name in LATENCY_OF.items()},
        durations_s={name: _spread(report.spreads[source], NS_PER_S) for name, source in DURATIONS_SHOWN},
        predictions={target: _held(figure) for target, figure in report.predictions.items()},
        resources=_resources(report),
        trends={name: _trend(now, before) for name, (now, before) in report.trends.items()},
        n={name: figure.n for name, figure in figures.items()},
        reasons=_reasons(report),
        intervals={
            name: (round(low, DIGITS), round(high, DIGITS))
            for name, (low, high) in ((name, figure.interval) for name, figure in figures.items() if figure.interval)
        },
        basis={name: figure.basis for name, figure in figures.items() if figure.basis},
        runs=[_run(row) for row in report.runs],
        timeline=_timeline(report),
        explained=[_explanation(each) for each in report.explained],
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def _held(figure: Figure) -> HeldView:
    between = None if figure.interval is None else tuple(round(bound, DIGITS) for bound in figure.interval)
    return HeldView(n=figure.n, value=_rounded(figure.value), interval=between, basis=figure.basis)


def _latency(spread: Spread) -> LatencyView:
    return LatencyView(**_spread(spread, 1_000_000).model_dump(), under_50ms=_rounded(spread.fast))


def _spread(spread: Spread, unit_ns: int) -> SpreadView:
    p50, p95, p99, most = (
        None if value is None else round(value / unit_ns, DIGITS)
        for value in (spread.p50_ns, spread.p95_ns, spread.p99_ns, spread.max_ns)
    )
    return SpreadView(n=spread.n, p50=p50, p95=p95, p99=p99, max=most)


def _reasons(report: Report) -> dict[str, str]:
    gone, spreads = report.gone, report.spreads
    reasons = {name: figure.reason for name, figure in report.figures.items() if figure.reason}
    for kind, name in LATENCY_OF.items():
        why = (gone.get("messages") if kind in WITH_ROWS else None) or gone.get("runs")
        reasons[f"latency_ms.{kind}"] = why or _too_few(spreads[name], "no such message has arrived in this time")
    for name, source in DURATIONS_SHOWN:
        why = gone.get("runs") or _too_few(spreads[source], "no attempt with that time has ended in this time")
        reasons[f"durations_s.{name}"] = why
    reasons |= {f"predictions.{name}": figure.reason for name, figure in report.predictions.items() if figure.reason}
    if "samples" in gone:
        reasons["resources"] = gone["samples"]
    elif not report.resources["n"]:
        reasons["resources"] = "no process executed runs in this time"
    else:
        untold = [name for name, source in _TOLD.items() if report.resources[source] is None]
        reasons |= dict.fromkeys((f"resources.{name}" for name in untold), "the system does not tell")
    return {name: reason for name, reason in reasons.items() if reason}


def _too_few(spread: Spread, none: str) -> str:
    if not spread.n:
        return none
    return "" if spread.p99_ns is not None else f"{spread.n} rows: p95 needs {LEAST_FOR[0.95]}, p99 {LEAST_FOR[0.99]}"


_TOLD = {
    "cpu_cores": "cpu_ns",
    "rss_mib_max": "rss_bytes",
    "read_mib_per_s": "read_bytes",
    "written_mib_per_s": "written_bytes",
    "machine_sent_mib_per_s": "net_sent_bytes",
    "machine_received_mib_per_s": "net_received_bytes",
}
"""What some systems do not tell, and the column it comes from."""


def _resources(report: Report) -> ResourcesView:
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


def _trend(now: Figures, before: Figures) -> TrendView:
    def change(name: str) -> float | None:
        here, there = now[name].value, before[name].value
        return None if here is None or there is None else round(here - there, DIGITS)

    return TrendView(
        figures={name: _rounded(figure.value) for name, figure in now.items()},
        change={name: change(name) for name in now},
        n={name: figure.n for name, figure in now.items()},
        reasons={name: figure.reason for name, figure in now.items() if figure.reason},
    )


def _run(row: Row) -> EndedRunView:
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


def _timeline(report: Report) -> list[TimelineView]:
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


def _explanation(each: Explanation) -> ExplanationView:
    parameters: Mapping[str, str | int | None] = each.parameters
    return ExplanationView(
        figure=each.figure, query=each.query, parameters=dict(parameters), value=_rounded(each.value), rows=each.rows
    )


TOOLS: tuple[Tool, ...] = (performance_report,)

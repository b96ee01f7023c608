"""The performance report."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from swarmtally.analysis import PerformanceRequest
from swarmtally.app import App
from swarmtally.domain.clock import NS_PER_S, iso
from swarmtally.domain.measures import LATENCY_OF, WITH_ROWS
from swarmtally.insight.performance import LEAST_FOR, Report, Spread
from swarmtally_tools.definition import Tool, View, tool
from swarmtally_tools.performance_views import (
    DIGITS,
    EndedRunView,
    ExplanationView,
    HeldView,
    LatencyView,
    ResourcesView,
    SpreadView,
    TimelineView,
    TrendView,
    ended_run_view,
    explanation_view,
    held_view,
    latency_view,
    resources_view,
    rounded,
    spread_view,
    timeline_view,
    trend_view,
)

RUNS_SHOWN = 10
TASKS_SHOWN = 50

DURATIONS_SHOWN = (("wait", "waits"), ("exec", "execs"), ("overhead", "overheads"))


class ReportFormat(StrEnum):
    SUMMARY = "summary"
    DETAILED = "detailed"
    JSON = "json"


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
        **{name: rounded(figure.value) for name, figure in figures.items()},
        latency_ms={kind: latency_view(report.spreads[name]) for kind, name in LATENCY_OF.items()},
        durations_s={name: spread_view(report.spreads[source], NS_PER_S) for name, source in DURATIONS_SHOWN},
        predictions={target: held_view(figure) for target, figure in report.predictions.items()},
        resources=resources_view(report),
        trends={name: trend_view(now, before) for name, (now, before) in report.trends.items()},
        n={name: figure.n for name, figure in figures.items()},
        reasons=_reasons(report),
        intervals={
            name: (round(low, DIGITS), round(high, DIGITS))
            for name, (low, high) in ((name, figure.interval) for name, figure in figures.items() if figure.interval)
        },
        basis={name: figure.basis for name, figure in figures.items() if figure.basis},
        runs=[ended_run_view(row) for row in report.runs],
        timeline=timeline_view(report),
        explained=[explanation_view(each) for each in report.explained],
    )


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


TOOLS: tuple[Tool, ...] = (performance_report,)

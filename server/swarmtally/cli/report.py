"""The performance report as a person reads it: bars of recorded figures, drawn with rich."""

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from swarmtally.cli.text import NONE, clean
from swarmtally_tools.performance import PerformanceView, ReportFormat
from swarmtally_tools.performance_views import TrendView

BAR = 40
"""The length of a whole bar, in columns, where there is room."""

NARROW = 100
"""On a terminal narrower than this bars are half as long."""

_SHARES = {
    "success_rate": "Success rate",
    "agent_utilisation": "Agent utilisation",
    "schedule_efficiency": "Schedule efficiency",
    "token_efficiency": "Token efficiency",
}
_TIMES = {"speed_multiplier": "Speed multiplier", "parallelism": "Parallelism"}
_SECONDS = {"makespan_s": "Makespan (median)", "work_s": "Work (median)", "critical_path_s": "Critical path (median)"}
_TRENDS = ("success_rate", "speed_multiplier", "parallelism", "schedule_efficiency", "agent_utilisation", "makespan_s")


def show(view: PerformanceView, console: Console) -> None:
    """Draw a report; in the format json it is printed as such."""
    if view.format is ReportFormat.JSON:
        console.print_json(view.model_dump_json())
        return
    length = BAR if console.width >= NARROW else BAR // 2
    for part in _parts(view, length):
        console.print(part)
        console.print()


def _parts(view: PerformanceView, length: int) -> Iterator[RenderableType]:
    whose = f"swarm {view.swarm_id}" if view.swarm_id else f"project {view.project}"
    yield Text(clean(f"{whose}, {view.since} to {view.until}"), style="bold")
    yield _titled("Figures", _figures(view, length))
    yield _titled("Messages, sent to received (a whole bar is 50 ms)", _messages(view, length))
    if view.timeline:
        yield _titled(f"Run {view.runs[0].run_id}, {view.runs[0].status}", _timeline(view, length))
    if view.resources.samples:
        yield _titled(f"Resources ({view.resources.samples} samples)", _resources(view, length))
    if any(held.n for held in view.predictions.values()):
        yield _titled("Predictions that held (90 % are meant)", _predictions(view, length))
    yield _titled("Trends (in brackets: against the window before)", _trends(view))
    if view.reasons:
        yield _titled("Not known, or not all of it", _rows(list(view.reasons.items())))
    for each in view.explained:
        given = ", ".join(f":{name} = {value!r}" for name, value in each.parameters.items())
        found = NONE if each.value is None else f"{each.value:g}"
        text = f"{each.query}\nwith {given}\ngives {found} from {each.rows:,} rows"
        yield _titled(f"Explained: {each.figure}", Text(clean(text)))


def _titled(title: str, part: RenderableType) -> RenderableType:
    return Group(Text(clean(title), style="bold"), part)


def _figures(view: PerformanceView, length: int) -> Table:
    table = _grid(4)
    for name, label in _SHARES.items():
        value = getattr(view, name)
        table.add_row(label, bar(value, length), _share(value), _beside(view, name))
    for name, label in _TIMES.items():
        value = getattr(view, name)
        table.add_row(label, "", NONE if value is None else f"{value:.2f}x", _beside(view, name))
    for name, label in _SECONDS.items():
        value = getattr(view, name)
        table.add_row(label, "", NONE if value is None else f"{value:.3g} s", _beside(view, name))
    return table


def _beside(view: PerformanceView, name: str) -> str:
    """How many rows a figure counts, and its interval."""
    n = f"n {view.n[name]:,}" if view.n.get(name) else ""
    if name not in view.intervals:
        return n
    low, high = view.intervals[name]
    between = f"{low:.1%} to {high:.1%}" if name in _SHARES else f"{low:.2f} to {high:.2f}"
    return f"{n}, {between}"


def _messages(view: PerformanceView, length: int) -> Table:
    table = _grid(4)
    for kind, latency in view.latency_ms.items():
        label = kind.replace("_", " ").capitalize()
        if latency.p50 is None:
            table.add_row(label, "", NONE, "")
            continue
        most = f"p95 {latency.p95:.1f}" if latency.p95 is not None else f"max {latency.max or 0:.1f}"
        under = f"{latency.under_50ms or 0:.0%} under 50 ms"
        table.add_row(
            label, bar(latency.p50 / 50, length), f"{latency.p50:.1f} ms", f"{most} ms, {under}, n {latency.n:,}"
        )
    return table


def _timeline(view: PerformanceView, length: int) -> Table:
    table = _grid(4)
    # Wrapping would take the blanks that say when a task began.
    table.add_column(no_wrap=True, min_width=length)
    end = max((task.end_s for task in view.timeline), default=0) or 1
    for task in view.timeline:
        start = round(task.start_s / end * length)
        lasting = max(1, round(task.end_s / end * length) - start)
        style = "red" if task.status == "failed" else "cyan"
        drawn = Text(" " * min(start, length - 1) + "█" * lasting, style=style)
        table.add_row(
            clean(task.task), clean(task.role), f"{task.start_s:.1f} s", f"{task.end_s - task.start_s:.1f} s", drawn
        )
    return table


def _resources(view: PerformanceView, length: int) -> Table:
    resources = view.resources
    table = _grid(3)
    table.add_row("CPU", "", f"{resources.cpu_cores or 0:.2f} cores (mean)")
    table.add_row("Memory", "", f"{resources.rss_mib_max or 0:.0f} MiB (most)")
    if resources.written_mib_per_s is not None:
        table.add_row("Disk", "", f"{resources.written_mib_per_s:.2f} MiB/s written")
    for part, share in resources.time.items():
        table.add_row(f"Time: {part}", bar(share, length), _share(share))
    return table


def _predictions(view: PerformanceView, length: int) -> Table:
    table = _grid(4)
    for target, held in view.predictions.items():
        label = target.removesuffix("_s").capitalize()
        told = f"n {held.n:,}" + (f", {held.interval[0]:.1%} to {held.interval[1]:.1%}" if held.interval else "")
        if target == "success":
            table.add_row(label, "", NONE if held.value is None else f"{held.value:.3f}", f"{told}, Brier score")
        else:
            table.add_row(label, bar(held.value, length), _share(held.value), told)
    return table


def _trends(view: PerformanceView) -> Table:
    # Figures stand one below the other: on a narrow terminal there is no room for them side by side.
    table = Table(box=None, pad_edge=False)
    table.add_column("last")
    for window in view.trends:
        table.add_column(window, justify="right", overflow="fold")
    for name in _TRENDS:
        table.add_row(name.replace("_", " "), *(_trend(trend, name) for trend in view.trends.values()))
    return table


def _trend(trend: TrendView, name: str) -> str:
    value, change = trend.figures[name], trend.change[name]
    if value is None:
        return NONE
    written = f"{value:.1%}" if name in _SHARES else f"{value:.2f}"
    if change is None:
        return written
    return f"{written} ({change:+.1%})" if name in _SHARES else f"{written} ({change:+.2f})"


def bar(share: float | None, length: int = BAR) -> Text:
    """A bar of that share of `length`; beyond it a whole one with a mark."""
    if share is None:
        return Text("")
    drawn = "█" * min(length, round(max(0.0, share) * length))
    return Text(f"|{drawn}{'+' if share > 1 else ''}", style="cyan")


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value:.1%}"


def _rows(pairs: list[tuple[str, str]]) -> Table:
    table = _grid(2)
    for name, text in pairs:
        table.add_row(name, clean(text))
    return table


def _grid(columns: int) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    for _ in range(columns - 1):
        table.add_column(overflow="fold")
    return table

"""A swarm's newest sample as a person reads it, made with rich. Imported only where stdout is a terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from swarmtally.cli.text import NONE, clean
from swarmtally_tools.monitor_views import ExecutorView, LatencyView, MonitorView, RunProgressView, SampleView

BAR_WIDTH = 30

PARTS = {"store": "blue", "scheduling": "magenta", "backends": "green", "rest": "bright_black"}
"""Where time goes, and the colour of it."""


def frame(view: MonitorView) -> RenderableType:
    """Everything of the newest sample, and the unfinished runs. A figure that is not known is a dash."""
    sample = view.samples[-1]
    parts: list[RenderableType] = [_head(view, sample), _figures(sample)]
    if view.runs:
        parts.append(_runs(view.runs, view.unfinished_runs))
    parts.append(_latencies(sample.latency_ms))
    if sample.executors:
        parts.append(_executors(sample.executors))
    else:
        parts.append(Text(clean(f"executing processes: {sample.reasons['executors']}"), style="dim"))
    return Group(*parts)


def _head(view: MonitorView, sample: SampleView) -> Text:
    text = Text(clean(view.swarm_id), style="bold")
    text.append(clean(f"  {view.project}  {sample.as_of}  sample {view.samples_taken}, {view.watched_s:.0f} s"), "dim")
    return text


def _figures(sample: SampleView) -> Table:
    agents, queue, process, machine = sample.agents, sample.queue, sample.process, sample.machine
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    table.add_row("agents", f"{agents.busy} busy, {agents.idle} idle, {agents.leaving} leaving")
    table.add_row(
        "queue",
        f"{queue.ready} ready (oldest {_number(queue.oldest_s, ' s')}), {queue.running} running, "
        f"{queue.blocked} blocked, {queue.retrying} to be retried, {queue.held} held by a paused run",
    )
    table.add_row(
        "throughput",
        f"{_number(sample.throughput_per_s)} tasks/s ({_number(sample.succeeded)} succeeded, "
        f"{_number(sample.failed)} failed, since the sample before)",
    )
    table.add_row(
        "this process",
        f"cpu {_number(process.cpu_percent, ' %')}, memory {_size(process.rss_bytes)}, disk "
        f"{_size(process.read_bytes_per_s)}/s in {_size(process.written_bytes_per_s)}/s out",
    )
    table.add_row(
        "whole machine",
        f"network {_size(machine.network_received_bytes_per_s)}/s in {_size(machine.network_sent_bytes_per_s)}/s out, "
        f"waiting for memory {_number(machine.memory_stall_percent, ' %')}",
    )
    return table


def _runs(runs: Sequence[RunProgressView], unfinished: int) -> Table:
    more = f", {unfinished - len(runs)} more" if unfinished > len(runs) else ""
    table = _table(f"unfinished runs{more}", "run", "kind", "status", "", "tasks ended")
    for run in runs:
        table.add_row(
            clean(run.run_id),
            run.kind,
            run.status,
            ProgressBar(total=max(1, run.known), completed=run.ended, width=BAR_WIDTH),
            f"{run.ended} of {run.known}",
        )
    return table


def _latencies(found: dict[str, LatencyView]) -> Table:
    table = _table("messages, sent to received", "kind", "n", "p50", "p95")
    for kind, latency in found.items():
        table.add_row(kind, str(latency.n), _number(latency.p50, " ms"), _number(latency.p95, " ms"))
    return table


def _executors(found: Sequence[ExecutorView]) -> Table:
    names = ("process", "cpu", "memory", "calls", "lag", "lock wait", "where its time goes")
    table = _table("executing processes", *names)
    for one in found:
        table.add_row(
            clean(one.owner),
            _number(one.cpu_percent, " %"),
            _size(one.rss_bytes),
            str(one.calls),
            _number(one.lag_ms, " ms"),
            _number(round(100 * one.time_share.lock_wait, 1), " %"),
            _shares(one),
        )
    return table


def _shares(one: ExecutorView) -> Text:
    text = Text()
    for name, colour in PARTS.items():
        share = getattr(one.time_share, name)
        text.append("█" * round(share * BAR_WIDTH), colour)
    for name, colour in PARTS.items():
        text.append(f"  {name} {100 * getattr(one.time_share, name):.0f} %", colour)
    return text


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, overflow="fold", style="bold" if number == 0 else None)
    return table


def _number(figure: float | None, unit: str = "") -> str:
    return NONE if figure is None else f"{figure:g}{unit}"


def _size(figure: float | None) -> str:
    """Bytes in a unit that reads well."""
    if figure is None:
        return NONE
    for unit in ("B", "kB", "MB"):
        if figure < 1000:
            return f"{figure:.3g} {unit}"
        figure /= 1000
    return f"{figure:.3g} GB"

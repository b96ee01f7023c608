"""Looking at a swarm while it works."""

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Annotated

from pydantic import Field

from swarmtally.app import App
from swarmtally.core import progress
from swarmtally.domain.clock import NS_PER_S, iso
from swarmtally.domain.swarm import Swarm
from swarmtally.insight.monitor import Sample
from swarmtally_tools.definition import Tool, tool
from swarmtally_tools.monitor_views import MonitorView, run_view, sample_view, throughput_per_s

INTERVALS_S = (0.5, 60.0)
DURATION_LIMIT_S = 24 * 3600.0

CALL_LIMIT_S = 45.0
"""The longest an MCP call goes on: clients cut calls off after about a minute."""

KEPT = 20
"""The most samples a result holds: what a model's context takes."""


class Watched:
    """What a look at a swarm has seen so far; it can be shown at any moment, also when the look was broken off."""

    def __init__(self, interval_s: float, duration_s: float) -> None:
        self._interval_s = interval_s
        self._duration_s = duration_s
        self._swarm: Swarm | None = None
        self._database = ""
        self._samples: deque[Sample] = deque(maxlen=KEPT)
        self._taken = 0
        self._elapsed_ns = 0
        self._looked_s = 0.0

    @property
    def taken(self) -> int:
        return self._taken

    @property
    def elapsed_s(self) -> float:
        """From the first sample to the last."""
        return self._elapsed_ns / NS_PER_S

    def begin(self, swarm: Swarm, database: str) -> None:
        self._swarm = swarm
        self._database = database

    def add(self, sample: Sample) -> None:
        self._samples.append(sample)
        self._taken += 1
        self._elapsed_ns += sample.elapsed_ns or 0

    def end(self, seconds: float) -> None:
        """The look went on for all of `seconds`. (Its first and last sample may lie closer together.)"""
        self._looked_s = seconds

    async def tell(self) -> None:
        """Report the newest sample in one line to whoever called."""
        await progress.report(self.elapsed_s, self._duration_s or None, self._line())

    def _line(self) -> str:
        assert self._swarm is not None
        sample = self._samples[-1]
        agents, queue, rate = sample.agents, sample.queue, throughput_per_s(sample)
        return (
            f"{self._swarm.swarm_id}: {agents.busy + agents.leaving} agents busy, {agents.idle} idle; "
            f"{queue.running} tasks running, {queue.ready} ready"
            + ("" if rate is None else f"; {rate:g} ended a second")
        )

    def view(self) -> MonitorView:
        """Everything so far; there must be a sample."""
        assert self._swarm is not None
        last = self._samples[-1]
        looked_s = max(self._looked_s, self.elapsed_s)
        remaining_s = round(max(0.0, self._duration_s - looked_s), 3)
        return MonitorView(
            swarm_id=self._swarm.swarm_id,
            project=self._swarm.project,
            database=self._database,
            interval_s=self._interval_s,
            duration_s=self._duration_s,
            watched_s=round(self.elapsed_s, 3),
            remaining_s=remaining_s,
            next_step=f"call swarm_monitor again with duration {remaining_s:g}" if remaining_s else None,
            samples=[sample_view(sample) for sample in self._samples],
            samples_taken=self._taken,
            runs=[run_view(item) for item in last.runs],
            unfinished_runs=last.unfinished_runs,
            as_of=iso(last.as_of_ns),
        )


async def watch(
    app: App,
    swarm_id: str | None,
    interval_s: float,
    seconds: float,
    watched: Watched,
    on_sample: Callable[[], Awaitable[None]],
) -> None:
    """Add a sample to `watched` and tell `on_sample`, now and every `interval_s` until `seconds` are over.

    Raises:
        NoSwarm, NotFound: there is no such swarm.
    """
    swarm = await app.swarms.find(swarm_id)
    monitor = await app.analysis.monitor()
    watched.begin(swarm, str(app.settings.database))
    async with aclosing(monitor.watch(swarm, interval_s, seconds)) as samples:
        async for sample in samples:
            watched.add(sample)
            await on_sample()
    watched.end(seconds)


@tool(title="Watch a swarm work", read_only=True)
async def swarm_monitor(
    app: App,
    interval: Annotated[
        float, Field(description="Seconds between samples", ge=INTERVALS_S[0], le=INTERVALS_S[1], allow_inf_nan=False)
    ] = 5,
    duration: Annotated[
        float,
        Field(description="Seconds to watch; 0: one sample", ge=0, le=DURATION_LIMIT_S, allow_inf_nan=False),
    ] = 0,
    swarm_id: Annotated[str | None, Field(description="The swarm; omitted: the current one", max_length=100)] = None,
) -> MonitorView:
    """Samples of a swarm at work: agents by state, queue, throughput, message latencies, cpu, memory, disk, network,
    where the executing processes' time went. Rates need two samples. Over MCP a call ends after 45 s and remaining_s
    says what is left; the shell goes on for the whole duration."""
    limit_s = app.patience(CALL_LIMIT_S)
    seconds = duration if limit_s is None else min(duration, limit_s)
    watched = Watched(interval, duration)
    await watch(app, swarm_id, interval, seconds, watched, watched.tell)
    return watched.view()


TOOLS: tuple[Tool, ...] = (swarm_monitor,)

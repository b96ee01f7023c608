"""swarm_monitor: how long a call goes on, what it keeps, and why a figure is null. Time goes on with each sample."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from swarmtally.app import App, open_app
from swarmtally.core import progress
from swarmtally.domain.errors import InvalidInput, NoSwarm, NotFound
from swarmtally.domain.resources import ResourceUse
from swarmtally.domain.swarm import Strategy, Swarm, Topology
from swarmtally.domain.timekeeping import TimeSpent
from swarmtally.insight.monitor import RUNS_LISTED, Agents, Executor, Latency, Queue, Sample
from swarmtally.mcp.calling import RESULT_LIMIT_BYTES
from swarmtally.settings import Front, Settings
from swarmtally_tools.monitor import KEPT, Watched, swarm_monitor
from swarmtally_tools.monitor_views import KINDS, MonitorView, RunProgressView, SampleView, sample_view
from tests.store.conftest import HandClock


class Watching:
    """An app whose clock moves on by `step_s` with each sample that is reported."""

    def __init__(self, app: App, clock: HandClock) -> None:
        self.app = app
        self.clock = clock
        self.step_s = 5.0
        self.heard: list[tuple[float, float | None, str]] = []

    async def _hear(self, done: float, total: float | None, message: str) -> None:
        self.heard.append((done, total, message))
        self.clock.advance(self.step_s)

    async def __call__(self, **arguments: Any) -> MonitorView:
        with progress.listening(self._hear):
            view = await swarm_monitor.call(self.app, arguments)
        assert isinstance(view, MonitorView)
        return view


@asynccontextmanager
async def watching(place: Path, front: Front) -> AsyncIterator[Watching]:
    gather = partial(Settings.gather, front, db=str(place / "swarm.db"), project="test", cwd=place)
    clock = HandClock()
    async with open_app(await anyio.to_thread.run_sync(gather), clock) as app:
        yield Watching(app, clock)


async def init(app: App) -> str:
    return (await app.swarms.init(Topology.STAR, Strategy.BALANCED, 8, None, None)).swarm.swarm_id


async def test_a_call_over_mcp_is_cut_at_45_seconds_and_says_how_to_go_on(tmp_path: Path) -> None:
    async with watching(tmp_path, "mcp") as watch:
        await init(watch.app)
        view = await watch(interval=5, duration=60)
    assert (view.samples_taken, len(view.samples)) == (10, 10)
    assert (view.watched_s, view.remaining_s) == (45, 15)
    assert view.next_step == "call swarm_monitor again with duration 15"
    assert [sample.elapsed_s for sample in view.samples] == [None, *[5] * 9]
    assert [done for done, _, _ in watch.heard] == [5 * number for number in range(10)]
    assert {total for _, total, _ in watch.heard} == {60}


async def test_what_remains_is_not_cut(tmp_path: Path) -> None:
    async with watching(tmp_path, "mcp") as watch:
        await init(watch.app)
        view = await watch(interval=5, duration=15)
    assert (view.samples_taken, view.watched_s, view.remaining_s, view.next_step) == (4, 15, 0, None)


async def test_the_shell_watches_for_the_whole_duration_and_keeps_the_newest_samples(tmp_path: Path) -> None:
    async with watching(tmp_path, "shell") as watch:
        await init(watch.app)
        view = await watch(interval=5, duration=300)
    assert (view.samples_taken, view.watched_s, view.remaining_s) == (61, 300, 0)
    assert len(view.samples) == KEPT
    assert view.as_of == view.samples[-1].as_of


async def test_without_a_duration_there_is_one_sample_and_rates_are_null_with_the_reason(tmp_path: Path) -> None:
    async with watching(tmp_path, "mcp") as watch:
        swarm_id = await init(watch.app)
        view = await watch()
    (sample,) = view.samples
    assert (view.swarm_id, view.remaining_s, sample.throughput_per_s, sample.process.cpu_percent) == (
        swarm_id,
        0,
        None,
        None,
    )
    assert "first sample" in sample.reasons["throughput_per_s"]
    assert nulls(sample) == {name for name in sample.reasons if not name.startswith(("latency_ms", "executors"))}
    assert {f"latency_ms.{kind}" for kind in KINDS} < sample.reasons.keys()


def nulls(sample: SampleView) -> set[str]:
    """The figures of a sample that are null, latencies apart."""
    found = set()
    for name, value in sample.model_dump().items():
        if value is None:
            found.add(name)
        elif isinstance(value, dict) and name in ("process", "machine", "queue"):
            found |= {f"{name}.{inner}" for inner, figure in value.items() if figure is None}
    return found


async def test_samples_that_come_late_are_not_made_up_for(tmp_path: Path) -> None:
    async with watching(tmp_path, "shell") as watch:
        await init(watch.app)
        watch.step_s = 12
        view = await watch(interval=5, duration=60)
    assert [sample.elapsed_s for sample in view.samples] == [None, *[12] * 5]
    assert view.samples_taken == 6


async def test_the_last_sample_is_at_the_end_also_when_no_interval_ends_there(tmp_path: Path) -> None:
    async with watching(tmp_path, "shell") as watch:
        await init(watch.app)
        watch.step_s = 60
        view = await watch(interval=60, duration=60)
    assert (view.samples_taken, view.watched_s) == (2, 60)


def test_a_look_that_went_on_to_its_end_leaves_nothing_though_its_first_sample_came_late() -> None:
    watched = Watched(0.5, 0.5)
    watched.begin(Swarm("s_1", "test", "here", Topology.STAR, Strategy.BALANCED, 8, None, 0), "swarm.db")
    for elapsed_ns in (None, 494_000_000):
        watched.add(replace(full(), elapsed_ns=elapsed_ns))
    assert watched.view().remaining_s == 0.006
    watched.end(0.5)
    view = watched.view()
    assert (view.watched_s, view.remaining_s, view.next_step) == (0.494, 0, None)


async def test_a_swarm_that_is_not_there_is_told_with_the_remedy(tmp_path: Path) -> None:
    async with watching(tmp_path, "mcp") as watch:
        with pytest.raises(NoSwarm, match="make one with swarm_init"):
            await watch()
        with pytest.raises(NotFound, match="no swarm 's_none'"):
            await watch(swarm_id="s_none")


@pytest.mark.parametrize(
    "wrong", [{"interval": 0.4}, {"interval": 61}, {"duration": -1}, {"duration": 86_401}, {"interval": float("nan")}]
)
def test_bounds_are_kept(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        swarm_monitor.check(wrong)


def test_shares_and_rates_are_what_the_nanoseconds_say() -> None:
    view = sample_view(full())
    (executor, *_) = view.executors
    share = executor.time_share
    assert (share.store, share.scheduling, share.backends, share.rest, share.lock_wait) == (0.2, 0.1, 0.4, 0.3, 0.05)
    assert (executor.covers_s, executor.cpu_percent, executor.lag_ms) == (2, 150, 3)
    assert (view.succeeded, view.failed, view.throughput_per_s) == (7, 3, 5)
    assert (view.process.cpu_percent, view.process.read_bytes_per_s) == (25, 1_000)
    assert view.machine.memory_stall_percent == 5
    assert (view.latency_ms["coordination"].n, view.latency_ms["coordination"].p95) == (12_345, 9_876.543)
    assert view.reasons == {}


def full(owner: str = "host:1:2") -> Sample:
    """Two seconds in which everything is known."""
    spent = TimeSpent(400_000_000, 200_000_000, 800_000_000, 600_000_000, 100_000_000)
    executor = Executor(owner, 2_000_000_000, 3_000_000_000, 123_456_789, 8, 3_000_000, spent)
    return Sample(
        as_of_ns=1_700_000_000_000_000_000,
        elapsed_ns=2_000_000_000,
        agents=Agents(10_000, 10_000, 10_000),
        queue=Queue(10_000, 123_456_789_012, 10_000, 10_000, 10_000, 10_000),
        succeeded=7,
        failed=3,
        latencies=dict.fromkeys(KINDS, Latency(12_345, 1_234_567_890, 9_876_543_210)),
        process=ResourceUse(500_000_000, 123_456_789, 2_000, 123_456_789, 99, 123_456_789, 123_456_789, 100_000_000),
        executors=(executor,) * 5,
        runs=(),
        unfinished_runs=0,
    )


def test_the_fullest_result_fits_a_models_context() -> None:
    run = RunProgressView(run_id="r_0123456789ab", kind="concurrent", status="interrupted", ended=9_999, known=10_000)
    view = MonitorView(
        swarm_id="s_0123456789ab",
        project="p" * 200,
        database="d" * 200,
        interval_s=0.5,
        duration_s=86_400,
        watched_s=45,
        remaining_s=86_355,
        next_step="call swarm_monitor again with duration 86355",
        samples=[sample_view(full("a-rather-long-host-name.example.org:1234567:1700000000000"))] * KEPT,
        samples_taken=91,
        runs=[run] * RUNS_LISTED,
        unfinished_runs=10_000,
        as_of="2026-11-23T12:33:45.902Z",
    )
    assert len(json.dumps(view.model_dump(mode="json"), separators=(",", ":"))) <= RESULT_LIMIT_BYTES

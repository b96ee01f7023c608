"""Samples of a swarm against rows that the test reads itself."""

import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from swarmtally.core.resources import ResourceProbe
from swarmtally.domain.errors import BackendFailure
from swarmtally.domain.resources import ResourceSample, ResourceUse
from swarmtally.domain.retry import RetryPolicy
from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.domain.timekeeping import TimeSpent
from swarmtally.insight.monitor import Monitor, Sample, executors
from swarmtally.store import monitoring, samples
from swarmtally.store.connection import Connection, Row
from tests.core.harness import ScriptedBackend, Swarmed, swarmed, task
from tests.store.conftest import HandClock


@asynccontextmanager
async def watching(swarm: Swarmed) -> AsyncIterator[AsyncGenerator[Sample, None]]:
    """Samples one after the other, as fast as they are asked for: each asking moves the clock on."""

    class Hurrying(HandClock):
        def monotonic_ns(self) -> int:
            self.advance(10)
            return self.ns

        def now_ns(self) -> int:
            return swarm.database.clock.now_ns()

    probe = await anyio.to_thread.run_sync(ResourceProbe)
    monitor = Monitor(swarm.database, Hurrying(), "test", probe)
    found = monitor.watch(await swarm.swarms.find(None), 1, 1e9)
    try:
        yield found
    finally:
        await found.aclose()


async def test_a_fresh_swarm_has_no_figures_and_no_inventions(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.init()
        async with watching(swarm) as found:
            first, second = await anext(found), await anext(found)
    assert (first.elapsed_ns, first.succeeded, first.failed, first.process.cpu_ns) == (None,) * 4
    assert first.process.rss_bytes
    assert (second.succeeded, second.failed) == (0, 0)
    for sample in (first, second):
        assert sample.queue.oldest_ns is None
        assert (sample.latencies, sample.executors, sample.runs) == ({}, (), ())
    assert second.elapsed_ns is not None
    assert second.elapsed_ns > 0
    assert second.process.cpu_ns is not None


def ranked(values: list[int], percent: int) -> int:
    """Nearest rank: the smallest value that at least `percent` of all do not exceed."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


async def test_latencies_are_those_of_the_rows(tmp_path: Path) -> None:
    def script(key: str, asked: int) -> str | BackendFailure:
        failing = key.startswith("t") and int(key[1:]) % 3 == 0 and asked == 0
        return BackendFailure("busy", transient=True) if failing else "result"

    async with swarmed(tmp_path, ScriptedBackend(script)) as swarm:
        await swarm.init()
        async with watching(swarm) as found:
            await anext(found)
            await swarm.run(*(task(f"t{n}") for n in range(30)), task("end", *(f"t{n}" for n in range(30))))
            sample = await anext(found)
            again = await anext(found)
        attempts = await swarm.rows("SELECT * FROM attempt")
        sent = await swarm.rows("SELECT kind, received_ns - sent_ns AS ns FROM message WHERE hop = hops")
    assert len(attempts) == 41
    assert (sample.succeeded, sample.failed) == (31, 0)
    wanted = {
        "task_assignment": [row["begun_ns"] - row["claimed_ns"] for row in attempts],
        "status_update": [row["committed_ns"] - row["ended_ns"] for row in attempts if row["status"] == "succeeded"],
        "error_handling": [row["committed_ns"] - row["ended_ns"] for row in attempts if row["status"] == "failed"],
        "data_transfer": [row["ns"] for row in sent],
    }
    assert [len(wanted[kind]) for kind in ("task_assignment", "status_update", "error_handling")] == [41, 31, 10]
    assert len(sent) > 10, "what an agent delivered itself is not sent to it"
    assert {kind: (item.n, item.p50_ns, item.p95_ns) for kind, item in sample.latencies.items()} == {
        kind: (len(values), ranked(values, 50), ranked(values, 95)) for kind, values in wanted.items()
    }
    assert (again.succeeded, again.failed, again.latencies) == (0, 0, {})


async def test_while_tasks_end_each_is_in_one_sample(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.init()
        seen: list[Sample] = []
        async with watching(swarm) as found, anyio.create_task_group() as group:
            seen.append(await anext(found))
            run_id = await swarm.start(*(task(f"t{n}") for n in range(100)))
            group.start_soon(swarm.runs.wait, run_id, None)
            while swarm.scheduler.holds(run_id):
                seen.append(await anext(found))
            seen.append(await anext(found))
    assert sum(sample.succeeded or 0 for sample in seen) == 100
    assert sum(sample.latencies["status_update"].n for sample in seen if "status_update" in sample.latencies) == 100


async def test_agents_and_queue_are_told_by_state(tmp_path: Path) -> None:
    backend = ScriptedBackend(max_parallel=2, together=2, gate=anyio.Event())
    async with swarmed(tmp_path, backend) as swarm:
        await swarm.init(max_agents=4)
        await swarm.swarms.spawn("coder", None, (), 3, None)
        run_id = await swarm.start(*(task(f"t{n}") for n in range(5)), task("end", "t0"))
        with anyio.fail_after(20):
            await backend.met.wait()
        await swarm.swarms.scale(1, None, None)
        async with watching(swarm) as found:
            first = await anext(found)
            await swarm.runs.pause(run_id)
            paused = await anext(found)
        assert backend.gate is not None
        backend.gate.set()
    agents, queue = first.agents, first.queue
    assert (agents.idle, agents.busy, agents.leaving) == (0, 1, 1)
    assert (queue.ready, queue.running, queue.blocked, queue.held, queue.retrying) == (3, 2, 1, 0, 0)
    assert queue.oldest_ns is not None
    assert queue.oldest_ns > 0
    assert [(item.ended, item.known, item.status) for item in first.runs] == [(0, 6, "running")]
    assert (paused.queue.ready, paused.queue.held, paused.queue.oldest_ns) == (0, 3, None)
    assert [item.status for item in paused.runs] == ["paused"]


async def test_a_task_that_waits_for_its_next_attempt_is_not_ready(tmp_path: Path) -> None:
    def script(key: str, asked: int) -> BackendFailure:
        return BackendFailure("busy", transient=True, retry_after_s=500)

    # A pause that a sample cannot miss.
    async with swarmed(tmp_path, ScriptedBackend(script), retry=RetryPolicy(base_s=500, cap_s=500)) as swarm:
        await swarm.init()
        async with watching(swarm) as found:
            await anext(found)
            await swarm.start(task("a"))
            with anyio.fail_after(20):
                while (sample := await anext(found)).queue.retrying == 0:
                    pass
    assert (sample.queue.ready, sample.queue.oldest_ns, sample.queue.running) == (0, None, 0)


async def test_other_swarms_change_nothing(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.init()
        async with watching(swarm) as found:
            await anext(found)
            await swarm.swarms.init(Topology.MESH, Strategy.BALANCED, 8, None, None)
            await swarm.run(task("a"), task("b", "a"))
            sample = await anext(found)
    assert (sample.succeeded, sample.latencies, sample.agents.idle) == (0, {}, 0)


def row(owner: str, at_ns: int, calls: int, cpu_ns: int | None = 5) -> ResourceSample:
    use = ResourceUse(cpu_ns, at_ns * 10, None, None, 0, None, None, None)
    return ResourceSample(at_ns, "test", owner, use, TimeSpent(1, 2, 3, 4, 1), at_ns, calls)


def test_a_processs_rows_add_up_and_the_busiest_comes_first() -> None:
    first, second = executors([row("a", 1, 9), row("b", 2, 4), row("a", 3, 2)])
    assert (first.owner, second.owner) == ("b", "a")
    assert (second.covers_ns, second.cpu_ns, second.rss_bytes, second.calls, second.lag_ns) == (20, 10, 30, 2, 3)
    assert second.spent == TimeSpent(2, 4, 6, 8, 2)


def test_what_one_row_does_not_know_the_sum_does_not() -> None:
    (found,) = executors([row("a", 1, 1), row("a", 2, 1, cpu_ns=None)])
    assert found.cpu_ns is None


async def test_rows_of_executing_processes_are_in_one_sample_and_other_projects_in_none(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.init()
        async with watching(swarm) as found:
            await anext(found)

            async def write(*rows: ResourceSample) -> None:
                for one in rows:
                    await swarm.database.write(lambda tx, one=one: samples.insert(tx, one))  # type: ignore[misc]

            await write(row("a", 1, 1), replace(row("b", 1, 1), project="other"))
            one, none = await anext(found), await anext(found)
            stored = await swarm.database.read(lambda tx: monitoring.samples(tx, "test", monitoring.Marks(0, 0)))
    assert [item.owner for item in one.executors] == ["a"]
    assert none.executors == ()
    assert stored == [row("a", 1, 1)]


@pytest.mark.parametrize("statement", ["ended", "latencies", "marks_at"])
async def test_a_look_reads_only_what_is_new(tmp_path: Path, statement: str) -> None:
    """However many events there are: each statement finds its first one by number."""
    plans: list[str] = []

    class Explaining:
        def __init__(self, tx: Connection) -> None:
            self._tx = tx

        async def rows(self, sql: str, parameters: dict[str, object]) -> list[Row]:
            plans.extend(line["detail"] for line in await self._tx.rows(f"EXPLAIN QUERY PLAN {sql}", parameters))
            return []

        async def row(self, sql: str, parameters: dict[str, object]) -> Row:
            await self.rows(sql, parameters)
            return {"event_id": 0, "sample_id": 0}

    async with swarmed(tmp_path) as swarm:

        async def unit(tx: Connection) -> None:
            asked = Explaining(tx)
            if statement == "marks_at":
                await monitoring.marks_at(asked, 5)  # type: ignore[arg-type]
            else:
                ask = getattr(monitoring, statement)
                await ask(asked, "s", monitoring.Marks(1, 1))

        await swarm.database.read(unit)
    text = "\n".join(plans)
    if statement == "marks_at":
        assert "TEMP B-TREE" not in text, text
    else:
        assert "SEARCH event USING INTEGER PRIMARY KEY (rowid>?)" in text, text
        assert "SCAN event" not in text
        assert "SCAN attempt" not in text
        assert "SCAN message" not in text

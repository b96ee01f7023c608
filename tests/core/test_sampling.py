"""Resource samples: the shares of a run of known shape, and that nothing is sampled while nothing is executed."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from swarmtally.core.attempt import Workshop
from swarmtally.core.ports import Inputs, Prompt, Reply
from swarmtally.core.resources import ResourceProbe
from swarmtally.core.runs import Runs
from swarmtally.core.sampling import Sampler
from swarmtally.core.scheduler import Scheduler
from swarmtally.core.swarms import Swarms
from swarmtally.domain.ids import NewId, id_factory
from swarmtally.domain.resources import ResourceSample
from swarmtally.domain.retry import RetryPolicy
from swarmtally.domain.run import BackendChoice, Run
from swarmtally.domain.task import Task
from swarmtally.domain.timekeeping import Part, TimeSpent
from swarmtally.store import location
from swarmtally.store.database import Database, open_database
from tests.core.harness import KeyPacker, ListPlanner, NoShelf, ScriptedBackend, Swarmed, swarmed, task
from tests.gate import Gate
from tests.store.conftest import HandClock

OWNER = "host:1:2"


@dataclass(frozen=True, slots=True)
class SlowPacker:
    """Packing takes two seconds: none of the parts that have a name."""

    clock: HandClock

    def pack(self, run: Run, task: Task, inputs: Inputs, budget_bytes: int) -> Prompt:
        self.clock.advance(2)
        return KeyPacker().pack(run, task, inputs, budget_bytes)

    def parts(self, run: Run, inputs: Inputs, references: Sequence[str], budget_bytes: int) -> str:
        return KeyPacker().parts(run, inputs, references, budget_bytes)


@dataclass
class SlowBackend(ScriptedBackend):
    """A call takes four seconds."""

    clock: HandClock | None = None

    async def execute(self, prompt: Prompt) -> Reply:
        assert self.clock is not None
        self.clock.advance(4)
        return await super().execute(prompt)


def slow_ids(clock: HandClock) -> NewId:
    """Naming an agent, which the scheduler's turn does, takes half a second."""
    new_id = id_factory()

    def slow(kind: str) -> str:
        if kind == "a":
            clock.advance(0.5)
        return new_id(kind)

    return slow


async def slow_statements(database: Database, clock: HandClock) -> None:
    """Writing a usage row takes a second, which its statement spends."""
    writer = database._writer
    assert writer is not None
    await writer._raw.create_function("pause", 1, lambda seconds: clock.advance(seconds))
    await writer.rows("CREATE TEMP TRIGGER slow AFTER INSERT ON main.usage BEGIN SELECT pause(1); END")


async def recorded(database: Database) -> list[ResourceSample]:
    rows = await database.read(lambda tx: tx.rows("SELECT * FROM resource_sample ORDER BY sample_id"))
    return [ResourceSample.from_row(row) for row in rows]


async def test_a_run_of_known_shape_has_the_shares_computed_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing else reads the database meanwhile: what goes on during a statement belongs to the store.
    monkeypatch.setattr("swarmtally.core.scheduler.WATCH_S", 3600)
    clock = HandClock()
    backend = SlowBackend(clock=clock)

    async def open_backend(choice: BackendChoice) -> ScriptedBackend:
        return backend

    path = await anyio.to_thread.run_sync(location.prepare, tmp_path / "swarm.db")
    async with open_database(path, clock) as database:
        await slow_statements(database, clock)
        async with anyio.create_task_group() as group:
            shop = Workshop(database, clock, SlowPacker(clock), ListPlanner(), RetryPolicy(), lambda: 0.5)
            scheduler = Scheduler(shop, NoShelf(), slow_ids(clock))
            runs = Runs(database, clock, id_factory(), "test", OWNER, scheduler, open_backend)
            swarm = Swarmed(database, Swarms(database, clock, id_factory(), "test"), runs, scheduler, backend)
            probe = await anyio.to_thread.run_sync(ResourceProbe)
            group.start_soon(Sampler(database, clock, scheduler, "test", OWNER, probe).run)
            group.start_soon(scheduler.run)
            # One after the other, by one agent.
            await swarm.init()
            await swarm.start(task("a"), task("b", "a"), task("c", "b"))
            with anyio.fail_after(20):
                while scheduler.held():
                    await scheduler.next_rest().wait()
            group.cancel_scope.cancel()
        rows = await recorded(database)
    spent = [TimeSpent(*(sum(getattr(row.spent, name) for row in rows) for name in TimeSpent.__slots__))]
    second = 1_000_000_000
    assert spent == [TimeSpent(3 * second, second // 2, 12 * second, 6 * second, 0)]
    stored = sum(row.interval_ns for row in rows)
    assert stored == spent[0].total_ns == 21 * second + second // 2
    assert {(row.project, row.owner, row.calls) for row in rows[-1:]} == {("test", OWNER, 0)}


@asynccontextmanager
async def sampled(folder: Path, backend: ScriptedBackend | None = None) -> AsyncIterator[tuple[Swarmed, Sampler]]:
    """The harness with a sampler beside it."""
    async with swarmed(folder, backend) as swarm, anyio.create_task_group() as group:
        probe = await anyio.to_thread.run_sync(ResourceProbe)
        clock = swarm.database.clock
        sampler = Sampler(swarm.database, clock, swarm.scheduler, "test", OWNER, probe)
        group.start_soon(sampler.run)
        yield swarm, sampler
        group.cancel_scope.cancel()


async def until_rows(swarm: Swarmed, number: int) -> list[ResourceSample]:
    with anyio.fail_after(20):
        while len(rows := await recorded(swarm.database)) < number:
            await anyio.lowlevel.checkpoint()
    return rows


async def test_only_work_is_sampled_and_its_last_shorter_interval_too(tmp_path: Path) -> None:
    async with sampled(tmp_path) as (swarm, _):
        for number in range(50):
            await swarm.init(max_agents=number + 1)
        assert await recorded(swarm.database) == []
        await swarm.run(task("a"))
        (row,) = await until_rows(swarm, 1)
        for number in range(50):
            await swarm.init(max_agents=number + 1)
        assert await recorded(swarm.database) == [row]
        await swarm.run(task("b"))
        assert len(await until_rows(swarm, 2)) == 2
    assert 0 < row.interval_ns < 20_000_000_000
    assert row.use.cpu_ns is not None
    assert row.use.rss_bytes
    assert row.spent.store_ns > 0
    assert row.spent.scheduling_ns > 0


async def test_runs_that_follow_each_other_at_once_share_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As soon as the machine likes, which may be late.
    monkeypatch.setattr("swarmtally.core.sampling.GAP_S", 20)
    monkeypatch.setattr("swarmtally.core.sampling.EVERY_S", 3600)
    async with sampled(tmp_path) as (swarm, sampler):
        sampler._every_s = 3600
        for key in "abc":
            await swarm.run(task(key))
    (row,) = await until_closed(tmp_path)
    assert row.spent.scheduling_ns > 0


async def test_a_long_run_has_a_row_for_each_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarmtally.core.sampling.EVERY_S", 0.01)
    backend = ScriptedBackend(gate=anyio.Event())
    async with sampled(tmp_path, backend) as (swarm, sampler):
        sampler._every_s = 0.01
        began = swarm.database.timekeeper.read().total_ns
        run_id = await swarm.start(task("a"))
        rows = await until_rows(swarm, 3)
        assert rows[-1].calls == 1
        assert rows[-1].spent.backends_ns > 0
        assert backend.gate is not None
        backend.gate.set()
        await swarm.runs.wait(run_id, None)
    after = swarm.database.timekeeper.read().total_ns
    rows = await until_closed(tmp_path)
    total = sum(row.interval_ns for row in rows)
    assert 0 < total <= after - began


async def until_closed(folder: Path) -> list[ResourceSample]:
    from swarmtally.domain.clock import SystemClock

    async with open_database(folder / "swarm.db", SystemClock()) as database:
        return await recorded(database)


async def test_what_is_under_way_when_the_program_ends_is_sampled_too(tmp_path: Path) -> None:
    backend = ScriptedBackend(gate=anyio.Event())
    async with sampled(tmp_path, backend) as (swarm, _):
        await swarm.start(task("a"))
        with anyio.fail_after(20):
            await backend.met.wait()
    rows = await until_closed(tmp_path)
    assert sum(row.spent.backends_ns for row in rows) > 0


async def test_a_paused_run_is_no_work_once_its_calls_have_ended(tmp_path: Path) -> None:
    backend = ScriptedBackend(gate=anyio.Event(), max_parallel=1)
    async with sampled(tmp_path, backend) as (swarm, sampler):
        run_id = await swarm.start(task("a"), task("b"))
        with anyio.fail_after(20):
            await backend.met.wait()
        await swarm.runs.pause(run_id)
        assert await sampler._works(), "a call is under way"
        assert backend.gate is not None
        backend.gate.set()
        await swarm.runs.wait(run_id, 20)
        assert swarm.scheduler.held()
        assert not await sampler._works()
        await swarm.runs.resume(run_id)
        assert await sampler._works()
        await swarm.runs.wait(run_id, 20)


async def test_an_interval_that_could_not_be_written_is_part_of_the_next(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        probe = await anyio.to_thread.run_sync(ResourceProbe)
        sampler = Sampler(swarm.database, swarm.database.clock, swarm.scheduler, "test", OWNER, probe)
        first = await sampler._read(sampler._moment())
        assert swarm.database._writer is not None
        await swarm.database._writer.rows("PRAGMA query_only = 1")
        second = await sampler._keep(first, sampler._moment())
        assert second is first
        await swarm.database._writer.rows("PRAGMA query_only = 0")
        third = await sampler._keep(second, sampler._moment())
        last = await sampler._keep(third, sampler._moment())
        rows = await recorded(swarm.database)
        assert [row.spent for row in rows] == [
            third.moment.spent.since(first.moment.spent),
            last.moment.spent.since(third.moment.spent),
        ]


async def test_a_row_bears_the_time_of_its_writing_so_that_no_answer_from_before_ever_shows_it(tmp_path: Path) -> None:
    clock = HandClock()
    async with swarmed(tmp_path, clock=clock) as swarm:
        probe = await anyio.to_thread.run_sync(ResourceProbe)
        sampler = Sampler(swarm.database, clock, swarm.scheduler, "test", OWNER, probe)
        first = await sampler._read(sampler._moment())
        clock.advance(1)
        ended = sampler._moment()
        # What ended is written later, and somebody asks in between.
        clock.advance(0.5)
        as_of_ns = clock.now_ns()
        clock.advance(0.5)
        await sampler._keep(first, ended)
        (row,) = await recorded(swarm.database)
    assert row.at_ns > as_of_ns
    assert row.interval_ns == 1_000_000_000


async def test_where_reading_is_slow_rows_come_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(100))
    monkeypatch.setattr("swarmtally.core.sampling.time.thread_time", lambda: float(next(ticks)))
    async with swarmed(tmp_path) as swarm:
        probe = await anyio.to_thread.run_sync(ResourceProbe)
        sampler = Sampler(swarm.database, swarm.database.clock, swarm.scheduler, "test", OWNER, probe)
        await sampler._read(sampler._moment())
        assert sampler._every_s == 50


async def test_waiting_for_another_processs_lock_is_store_time_and_told_apart(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm, open_database(tmp_path / "swarm.db", swarm.database.clock) as other:
        hold = Gate()
        async with anyio.create_task_group() as group:
            group.start_soon(other.write, hold.unit)
            await hold.reached()
            before = swarm.database.timekeeper.read()
            group.start_soon(swarm.init)
            with anyio.move_on_after(10):
                while not swarm.database.timekeeper.read().since(before).lock_wait_ns:
                    await anyio.lowlevel.checkpoint()
            hold.open()
        spent = swarm.database.timekeeper.read().since(before)
    assert 0 < spent.lock_wait_ns <= spent.store_ns
    assert swarm.database.timekeeper.under_way(Part.STORE) == 0

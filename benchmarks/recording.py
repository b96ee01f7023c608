"""What all that figures rest on costs together: tasks that do nothing, with time kept, resources sampled, ended runs
measured and rows of a year ago deleted, and with none of it; it may cost 5 % of the throughput."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from benchmarks.durable_tasks import Beside, doing_nothing
from swarmtally.core import owner
from swarmtally.core.bookkeeping import DAY_NS, Bookkeeper
from swarmtally.core.resources import ResourceProbe
from swarmtally.core.sampling import Sampler
from swarmtally.core.scheduler import Scheduler
from swarmtally.domain.clock import SystemClock
from swarmtally.domain.retention import Retention
from swarmtally.domain.timekeeping import Part, Timekeeper
from swarmtally.store import location
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database, open_database

LIMIT = 0.05
"""Of the throughput."""

AGENTS = 100

TASKS = 500
"""Of a run."""


async def sampling(database: Database, scheduler: Scheduler) -> None:
    """A resource sample a second."""
    this_process, probe = await anyio.to_thread.run_sync(lambda: (owner.this_process(), ResourceProbe()))
    await Sampler(database, database.clock, scheduler, "p", this_process, probe).run()


async def bookkeeping(database: Database, scheduler: Scheduler) -> None:
    """Every ended run measured, and what is kept no longer deleted."""
    await Bookkeeper(database, database.clock, Retention()).run()


RECORDING: dict[str, Beside] = {"sampling": sampling, "bookkeeping": bookkeeping}
"""What goes on beside the tasks."""


@dataclass(frozen=True)
class Cost:
    """Of one task, in seconds: wall-clock time, and processor time, which other programs disturb less."""

    wall_s: float
    cpu_s: float


def run(smoke: bool) -> list[str]:
    runs, pairs = (1, 2) if smoke else (30, 11)
    with_it, without = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(pairs):
            # In turn, each first as often as second: a machine slows down and speeds up over such a time.
            for recorded in (True, False) if number % 2 else (False, True):
                cost = _once(Path(folder, f"{number}{recorded}.db"), runs, recorded=recorded)
                (with_it if recorded else without).append(cost)
    rates = [1 / statistics.median(cost.wall_s for cost in costs) for costs in (with_it, without)]
    told = f"{AGENTS} agents, {pairs} pairs of {runs} runs of {TASKS} tasks, as many old rows deleted"
    return [
        f"{told}: {rates[0]:.0f} tasks/s with it, {rates[1]:.0f} without",
        _cost("throughput", [cost.wall_s for cost in with_it], [cost.wall_s for cost in without]),
        _cost("processor time", [cost.cpu_s for cost in with_it], [cost.cpu_s for cost in without]),
        _timing(100_000 if smoke else 1_000_000),
        _reading(),
    ]


def _cost(name: str, with_it: list[float], without: list[float]) -> str:
    found = sorted(1 - other / one for one, other in zip(with_it, without, strict=True))
    cost = statistics.median(found)
    verdict = "within" if cost <= LIMIT else "ABOVE"
    return f"costs {cost:5.1%} of the {name} ({found[0]:.1%} to {found[-1]:.1%}), {verdict} the limit {LIMIT:.0%}"


def _once(path: Path, runs: int, *, recorded: bool) -> Cost:
    with nullcontext() if recorded else _untimed():
        return anyio.run(_tasks, path, runs, recorded)


async def _tasks(path: Path, runs: int, recorded: bool) -> Cost:
    await _old_messages(path, runs * TASKS)
    async with doing_nothing(path, AGENTS, tuple(RECORDING.values()) if recorded else ()) as done:
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(runs):
            await done(TASKS)
        tasks = runs * TASKS
        return Cost((time.perf_counter() - wall) / tasks, (time.process_time() - cpu) / tasks)


async def _old_messages(path: Path, count: int) -> None:
    """As many messages as there will be tasks, to be deleted while those run."""
    clock = SystemClock()
    at_ns = clock.now_ns() - 400 * DAY_NS

    async def unit(tx: Connection) -> None:
        await tx.insert(
            "message (kind, project, swarm_id, run_id, task_id, about, sender, receiver, hop, hops, sent_ns,"
            " received_ns)",
            [("data_transfer", "p", "s", "r", "t", "t", "a", "b", 1, 1, at_ns, at_ns)] * count,
        )

    async with open_database(location.prepare(path), clock) as database:
        await database.write(unit)


@contextmanager
def _untimed() -> Iterator[None]:
    """Have nobody keep time."""
    begin, end = Timekeeper.begin, Timekeeper.end
    try:
        Timekeeper.begin = Timekeeper.end = lambda self, part: None  # type: ignore[method-assign]
        yield
    finally:
        Timekeeper.begin, Timekeeper.end = begin, end  # type: ignore[method-assign]


def _timing(spans: int) -> str:
    keeper = Timekeeper(time.monotonic_ns)
    span = keeper.time(Part.STORE)
    started = time.perf_counter_ns()
    for _ in range(spans):
        with span:
            pass
    each_ns = (time.perf_counter_ns() - started) / spans
    return f"keeping the time of one statement: {each_ns:.0f} ns"


def _reading() -> str:
    probe = ResourceProbe()
    started = time.thread_time()
    for _ in range(20):
        probe.read()
    return f"reading what process and machine used, once a second: {(time.thread_time() - started) * 50:.1f} ms"

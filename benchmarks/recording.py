"""What recording for figures costs: tasks that do nothing, with it and without; the limit of the ratio is 1.05."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from benchmarks.durable_tasks import Beside, through
from swarmtally.core import owner
from swarmtally.core.resources import ResourceProbe
from swarmtally.core.sampling import Sampler
from swarmtally.core.scheduler import Scheduler
from swarmtally.domain.timekeeping import Part, Timekeeper
from swarmtally.store.database import Database

LIMIT = 1.05

AGENTS = 100


async def sampling(database: Database, scheduler: Scheduler) -> None:
    """A resource sample a second."""
    this_process, probe = await anyio.to_thread.run_sync(lambda: (owner.this_process(), ResourceProbe()))
    await Sampler(database, database.clock, scheduler, "p", this_process, probe).run()


RECORDING: dict[str, Beside] = {"sampling": sampling}
"""What goes on beside the tasks."""


@dataclass(frozen=True)
class Cost:
    """Of one task, in seconds: wall-clock time, and processor time, which other programs disturb less."""

    wall_s: float
    cpu_s: float


def run(smoke: bool) -> list[str]:
    tasks, repeats = (400, 3) if smoke else (2_500, 15)
    with_it, without = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(repeats):
            # In turn, each first as often as second: a machine slows down and speeds up over such a time.
            for recorded in (True, False) if number % 2 else (False, True):
                cost = _once(Path(folder, f"{number}{recorded}.db"), tasks, recorded=recorded)
                (with_it if recorded else without).append(cost)
    rates = [1 / statistics.median(cost.wall_s for cost in costs) for costs in (with_it, without)]
    return [
        f"{AGENTS} agents, {repeats} pairs: {rates[0]:.0f} tasks/s with it, {rates[1]:.0f} without",
        _ratios("wall-clock time", [cost.wall_s for cost in with_it], [cost.wall_s for cost in without]),
        _ratios("processor time", [cost.cpu_s for cost in with_it], [cost.cpu_s for cost in without]),
        _timing(100_000 if smoke else 1_000_000),
        _reading(),
    ]


def _ratios(name: str, with_it: list[float], without: list[float]) -> str:
    found = sorted(one / other for one, other in zip(with_it, without, strict=True))
    ratio = statistics.median(found)
    verdict = "within" if ratio <= LIMIT else "ABOVE"
    return f"{name} a task: ratio {ratio:5.3f} ({found[0]:.3f} to {found[-1]:.3f}), {verdict} the limit {LIMIT}"


def _once(path: Path, tasks: int, *, recorded: bool) -> Cost:
    with nullcontext() if recorded else _untimed():
        started = time.process_time()
        wall_s = anyio.run(through, path, tasks, AGENTS, tuple(RECORDING.values()) if recorded else ())
        return Cost(wall_s, (time.process_time() - started) / tasks)


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

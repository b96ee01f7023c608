"""A day compressed: tasks that do nothing go through a rolling window of runs, older ones are deleted all along, and
memory, file and rate stay where they were.

`python -m benchmarks.soak TASKS` is the long form: 10,000,000 tasks are a day at 116 a second."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

import anyio
import psutil

from benchmarks.durable_tasks import CHOICE, NoPlanner, NoShelf, NullBackend, TextPacker
from swarmtally.core import owner
from swarmtally.core.attempt import Workshop
from swarmtally.core.bookkeeping import DAY_NS, Bookkeeper
from swarmtally.core.resources import ResourceProbe
from swarmtally.core.runs import Runs
from swarmtally.core.sampling import Sampler
from swarmtally.core.scheduler import Scheduler
from swarmtally.core.swarms import Swarms
from swarmtally.domain.clock import SystemClock
from swarmtally.domain.ids import id_factory
from swarmtally.domain.retention import Retention
from swarmtally.domain.retry import RetryPolicy
from swarmtally.domain.run import NewRun, RunKind
from swarmtally.domain.swarm import Strategy, Swarm, Topology
from swarmtally.domain.task import NewTask
from swarmtally.store import location
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database, open_database

AGENTS = 200

RUN_TASKS = 500
"""Of a run; each tenth builds on the one before it, so that messages travel."""

AT_ONCE = 4
"""Runs under way."""

RSS_LIMIT = 0.05
"""The most that the memory may grow over the second half, by the line through its samples, as a share of it."""

FILE_LIMIT = 0.10
"""The same for the file with its log."""

KEPT_LIMIT = 1.5
"""The most tasks the file may hold, as a multiple of the window and those under way: deleting keeps up."""

SMOKE_TASKS, TASKS = 20_000, 300_000

_READ_S = 1.0
"""How long a reader holds its view of the database, every tenth second: what is written meanwhile stays in the log."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one moment showed."""

    at_s: float
    ended: int
    """Tasks, since the beginning."""
    kept: int
    """Tasks in the file."""
    rss: int
    file: int
    log: int
    """In bytes, these three."""
    free_pages: int

    @property
    def stored(self) -> int:
        return self.file + self.log


class BooksClock:
    """Goes so that a day ago is when the last of the tasks before the newest `window` had ended."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._ended: deque[tuple[int, int]] = deque()
        self._before_ns = 0

    def note(self, at_ns: int, ended: int) -> None:
        self._ended.append((at_ns, ended))
        while self._ended[0][1] <= ended - self._window:
            self._before_ns = self._ended.popleft()[0] + 1

    def now_ns(self) -> int:
        return self._before_ns + DAY_NS

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


class Soak:
    """One soak over `path`."""

    def __init__(self, path: Path, tasks: int) -> None:
        self._path = path
        self._tasks = tasks
        self.window = max(RUN_TASKS * AT_ONCE * 2, min(50_000, tasks // 10))
        self._clock = SystemClock()
        self._books_clock = BooksClock(self.window)
        self._begun_s = time.perf_counter()
        self._begun = 0
        self._ended = 0
        self.samples: list[Sample] = []

    async def run(self) -> None:
        new_id, backend, clock = id_factory(), NullBackend(AGENTS), self._clock

        async def open_backend(choice: object) -> NullBackend:
            return backend

        async with open_database(location.prepare(self._path), clock) as database, anyio.create_task_group() as beside:
            shop = Workshop(database, clock, TextPacker(), NoPlanner(), RetryPolicy(), lambda: 0.5)
            scheduler = Scheduler(shop, NoShelf(), new_id)
            beside.start_soon(scheduler.run)
            swarm = (
                await Swarms(database, clock, new_id, "p").init(Topology.STAR, Strategy.BALANCED, AGENTS, None, None)
            ).swarm
            runs = Runs(database, clock, new_id, "p", owner.this_process(), scheduler, open_backend)
            probe = await anyio.to_thread.run_sync(ResourceProbe)
            beside.start_soon(Sampler(database, clock, scheduler, "p", owner.this_process(), probe).run)
            beside.start_soon(self._keep_books, database)
            beside.start_soon(self._read_long, database)
            beside.start_soon(self._sample, database)
            async with anyio.create_task_group() as group:
                for _ in range(AT_ONCE):
                    group.start_soon(self._work, runs, swarm)
            self.samples.append(await self._look(database))
            beside.cancel_scope.cancel()

    async def _work(self, runs: Runs, swarm: Swarm) -> None:
        """One run after another."""
        plan = [
            NewTask(f"k{number}", "work", "coder", "coder", "text", (f"k{number - 1}",) if number % 10 == 9 else ())
            for number in range(RUN_TASKS)
        ]
        while self._begun < self._tasks:
            self._begun += RUN_TASKS
            run_id = await runs.start(NewRun(RunKind.BATCH, "t", (), None, CHOICE), plan, swarm, ["coder"])
            await runs.wait(run_id, None)
            self._ended += RUN_TASKS
            self._books_clock.note(self._clock.now_ns(), self._ended)

    async def _keep_books(self, database: Database) -> None:
        """As `Bookkeeper.run`, but that it looks for old rows each time: ten minutes are a day's 70,000 tasks."""
        books = Bookkeeper(database, self._books_clock, Retention(runs_days=1, details_days=1))
        while True:
            await books.measure_ended()
            await books.delete_old()
            await anyio.sleep(0.2)

    async def _read_long(self, database: Database) -> None:
        async def unit(tx: Connection) -> None:
            await tx.rows("SELECT COUNT(*) FROM run")
            time.sleep(_READ_S)  # noqa: ASYNC251 - it runs in a thread of the connection

        while True:
            await database.read(unit)
            await anyio.sleep(9 * _READ_S)

    async def _sample(self, database: Database) -> None:
        every = self._tasks // 200
        while True:
            if self._ended >= every * (len(self.samples) + 1):
                self.samples.append(await self._look(database))
            await anyio.sleep(0.02)

    async def _look(self, database: Database) -> Sample:
        async def unit(tx: Connection) -> tuple[int, int]:
            row = await tx.row("SELECT (SELECT COUNT(*) FROM task) AS kept, freelist_count FROM pragma_freelist_count")
            assert row is not None
            return row["kept"], row["freelist_count"]

        kept, free = await database.read(unit)
        return Sample(
            time.perf_counter() - self._begun_s,
            self._ended,
            kept,
            psutil.Process().memory_info().rss,
            *await anyio.to_thread.run_sync(self._sizes),
            free,
        )

    def _sizes(self) -> tuple[int, int]:
        log = Path(f"{self._path}-wal")
        return self._path.stat().st_size, log.stat().st_size if log.exists() else 0


def run(smoke: bool) -> list[str]:
    tasks = SMOKE_TASKS if smoke else TASKS
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", "--json", str(tasks)], check=True, capture_output=True, text=True
    )
    found = json.loads(done.stdout)
    return report([Sample(**each) for each in found["samples"]], found["window"], judged=not smoke)


def report(samples: list[Sample], window: int, *, judged: bool) -> list[str]:
    """The lines; where the soak is long enough to be `judged`, with what is within its limit."""

    def kept(value: float, limit: float) -> str:
        return f"limit {limit:.0%} {'within' if value <= limit else 'ABOVE'}" if judged else f"limit {limit:.0%}"

    def over(name: str) -> str:
        sizes = [getattr(each, name) for each in half]
        return f"{mb(sizes[0])} at half, {mb(sizes[-1])} at the end, at most {mb(max(sizes))}"

    half = [each for each in samples if each.ended >= samples[-1].ended / 2]
    first = [each for each in samples if each.ended <= samples[-1].ended / 2]
    rss = growth([each.ended for each in half], [each.rss for each in half])
    size = growth([each.ended for each in half], [each.stored for each in half])
    most = max(each.kept for each in samples) / (window + AT_ONCE * RUN_TASKS)
    free = f"free pages {half[0].free_pages} at half, {half[-1].free_pages} at the end"
    lines = [f"{samples[-1].ended} tasks in {samples[-1].at_s:.0f} s, {AGENTS} agents, the newest {window} kept"]
    lines.append(f"rate       {rate(first):.0f} tasks/s in the first half, {rate(half):.0f} in the second")
    lines.append(f"memory     {over('rss')}, second half {rss:+.1%}, {kept(rss, RSS_LIMIT)}")
    lines.append(f"file + log {over('stored')}, second half {size:+.1%}, {kept(size, FILE_LIMIT)}")
    lines.append(f"log alone  {over('log')}; {free}")
    lines.append(f"tasks kept at most {most:.2f} times the window and those under way, {kept(most, KEPT_LIMIT)}")
    return lines


def growth(xs: list[int], ys: list[int]) -> float:
    """By what share of its beginning the least-squares line through the samples grows over them."""
    slope, start = statistics.linear_regression(xs, ys)
    begin = start + slope * xs[0]
    return slope * (xs[-1] - xs[0]) / begin


def rate(samples: list[Sample]) -> float:
    return (samples[-1].ended - samples[0].ended) / (samples[-1].at_s - samples[0].at_s)


def mb(size: float) -> str:
    return f"{size / 2**20:.1f} MB"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("tasks", type=int, nargs="?", default=10_000_000)
    parser.add_argument("--json", action="store_true", help="the samples, not the lines")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder, "swarm.db"), options.tasks)
        anyio.run(soak.run)
    if options.json:
        print(json.dumps({"window": soak.window, "samples": [asdict(each) for each in soak.samples]}))
    else:
        print("\n".join(report(soak.samples, soak.window, judged=True)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Tasks that do nothing through the whole path (submit, claim, call, result, usage, events), beside raw sqlite3 writing
as many rows with the same sync and as many tasks a commit as there are agents."""

import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from swarmtally.core import owner
from swarmtally.core.attempt import Workshop
from swarmtally.core.ports import BackendInfo, Inputs, Prompt, Reply
from swarmtally.core.runs import Runs
from swarmtally.core.scheduler import Scheduler
from swarmtally.core.swarms import Swarms
from swarmtally.core.tracing import UNTRACED, Tracing
from swarmtally.domain.budget import UNLIMITED, Budget
from swarmtally.domain.clock import SystemClock
from swarmtally.domain.ids import id_factory
from swarmtally.domain.retry import RetryPolicy
from swarmtally.domain.run import BackendChoice, NewRun, Run, RunKind
from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.domain.task import Artefact, Expansion, NewTask, Task
from swarmtally.domain.usage import TokenUsage
from swarmtally.store import location
from swarmtally.store.database import Database, open_database

Beside = Callable[[Database, Scheduler], Coroutine[None, None, None]]
"""Something that goes on beside the tasks until it is cancelled."""

CHOICE = BackendChoice("null", "null", None, "benchmark", None)


LIMIT, GOAL = 6_000, 10_000
"""Tasks a second with 1,000 agents on two processors."""

SIZES = {1: 500, 100: 4_000, 1_000: 10_000}
"""Agents → tasks."""


def run(smoke: bool) -> list[str]:
    lines = []
    for agents, tasks in SIZES.items():
        rates, raws, rows = [], [], 0.0
        for _ in range(1 if smoke else 5):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "ours.db")
                count = tasks // 5 if smoke else tasks
                rates.append(1 / anyio.run(through, path, count, agents))
                rows = _rows(path) / count
                raws.append(1 / _raw(Path(folder, "raw.db"), count, round(rows), agents))
        ours, raw = statistics.median(rates), statistics.median(raws)
        verdict = f"; {'reaches' if ours >= LIMIT else 'BELOW'} {LIMIT}, goal {GOAL}" if agents == 1_000 else ""
        lines.append(
            f"{agents:5} agents: {ours:6.0f} tasks/s ({min(rates):.0f} to {max(rates):.0f}), {rows:.1f} rows a task;"
            f" raw sqlite3 {raw:6.0f}/s; ratio {raw / ours:5.2f}{verdict}"
        )
    return lines


def _rows(path: Path) -> int:
    connection = sqlite3.connect(path)
    tables = ("task", "attempt", "usage", "artefact", "event")
    count = sum(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in tables)
    connection.close()
    return int(count)


def _raw(path: Path, tasks: int, rows: int, together: int) -> float:
    """Seconds a task where each leaves so many rows in a plain table, `together` tasks a commit."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE fact (id INTEGER PRIMARY KEY, task TEXT, text TEXT)")
    started = time.perf_counter()
    for first in range(0, tasks, together):
        connection.execute("BEGIN IMMEDIATE")
        given = range(first, min(tasks, first + together))
        facts = [(f"t_{number}", "what happened") for number in given for _ in range(rows)]
        connection.executemany("INSERT INTO fact (task, text) VALUES (?, ?)", facts)
        connection.execute("COMMIT")
    elapsed = time.perf_counter() - started
    connection.close()
    return elapsed / tasks


class NullBackend:
    """Answers at once."""

    def __init__(self, agents: int) -> None:
        self.info = BackendInfo("null", "null", None, agents, True, "latency", 10_000, 100)

    async def execute(self, prompt: Prompt) -> Reply:
        return Reply(prompt.parts[-1], TokenUsage(1, 1, 0, 0, 0))

    async def aclose(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class TextPacker:
    def pack(self, run: Run, task: Task, inputs: Inputs, budget_bytes: int) -> Prompt:
        return Prompt("", (task.text,))

    def parts(self, run: Run, inputs: Inputs, references: Sequence[str], budget_bytes: int) -> str:
        raise AssertionError("nothing was left out")


@dataclass(frozen=True)
class NoPlanner:
    def expand(self, run: Run, task: Task, output: str) -> Expansion:
        return Expansion(())


@dataclass(frozen=True)
class NoShelf:
    async def put(self, run: Run, artefact: Artefact) -> str:
        raise AssertionError("no out_dir")


@asynccontextmanager
async def doing_nothing(
    path: Path,
    agents: int,
    beside: tuple[Beside, ...] = (),
    budget: Budget = UNLIMITED,
    tracing: Tracing = UNTRACED,
) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """A swarm on a database of its own, with whatever is to go on `beside`: has a run of so many tasks done to its
    end."""
    clock, new_id, backend = SystemClock(), id_factory(), NullBackend(agents)

    async def open_backend(choice: BackendChoice) -> NullBackend:
        return backend

    async with open_database(location.prepare(path), clock) as database, anyio.create_task_group() as group:
        shop = Workshop(database, clock, TextPacker(), NoPlanner(), RetryPolicy(), lambda: 0.5, tracing=tracing)
        scheduler = Scheduler(shop, NoShelf(), new_id)
        group.start_soon(scheduler.run)
        swarms = Swarms(database, clock, new_id, "p")
        swarm = (await swarms.init(Topology.STAR, Strategy.BALANCED, agents, None, None)).swarm
        runs = Runs(database, clock, new_id, "p", owner.this_process(), scheduler, open_backend)
        for other in beside:
            group.start_soon(other, database, scheduler)

        async def done(tasks: int) -> None:
            plan = [NewTask(f"k{number}", "work", "coder", "coder", "text") for number in range(tasks)]
            new = NewRun(RunKind.BATCH, "t", (), None, CHOICE, budget=budget)
            await runs.wait(await runs.start(new, plan, swarm, ["coder"]), None)

        yield done
        group.cancel_scope.cancel()


async def through(
    path: Path, tasks: int, agents: int, budget: Budget = UNLIMITED, tracing: Tracing = UNTRACED
) -> float:
    """Seconds a task."""
    async with doing_nothing(path, agents, budget=budget, tracing=tracing) as done:
        started = time.perf_counter()
        await done(tasks)
        return (time.perf_counter() - started) / tasks

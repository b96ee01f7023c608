"""Tasks that do nothing through the whole path (plan, claim, call, result, events), beside raw sqlite3 writing as many
rows in one commit a task."""

import sqlite3
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from swarmtally.core import owner
from swarmtally.core.attempt import Workshop
from swarmtally.core.ports import BackendInfo, Inputs, Prompt, Reply
from swarmtally.core.runs import Runs
from swarmtally.core.scheduler import Scheduler
from swarmtally.core.swarms import Swarms
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


def run(smoke: bool) -> list[str]:
    tasks = 200 if smoke else 3_000
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for agents in (1, 100):
            path = Path(folder, f"ours{agents}.db")
            ours = anyio.run(through, path, tasks, agents)
            rows = _rows(path)
            raw = _raw(Path(folder, f"raw{agents}.db"), tasks, max(1, round(rows / tasks)))
            lines.append(
                f"{agents:4} agents: {1 / ours:7.0f} tasks/s, {rows / tasks:4.1f} rows a task;"
                f" raw {1 / raw:7.0f}/s; ratio {ours / raw:5.2f}"
            )
    return lines


def _rows(path: Path) -> int:
    connection = sqlite3.connect(path)
    tables = ("task", "attempt", "usage", "artefact", "event")
    count = sum(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in tables)
    connection.close()
    return int(count)


def _raw(path: Path, tasks: int, rows: int) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE fact (id INTEGER PRIMARY KEY, task TEXT, text TEXT)")
    started = time.perf_counter()
    for number in range(tasks):
        connection.execute("BEGIN IMMEDIATE")
        facts = [(f"t_{number}", "what happened")] * rows
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


async def through(
    path: Path, tasks: int, agents: int, beside: tuple[Beside, ...] = (), budget: Budget = UNLIMITED
) -> float:
    """Seconds a task, with whatever is to go on `beside`."""
    clock, new_id, backend = SystemClock(), id_factory(), NullBackend(agents)

    async def open_backend(choice: BackendChoice) -> NullBackend:
        return backend

    async with open_database(location.prepare(path), clock) as database, anyio.create_task_group() as group:
        shop = Workshop(database, clock, TextPacker(), NoPlanner(), RetryPolicy(), lambda: 0.5)
        scheduler = Scheduler(shop, NoShelf(), new_id)
        group.start_soon(scheduler.run)
        for other in beside:
            group.start_soon(other, database, scheduler)
        swarms = Swarms(database, clock, new_id, "p")
        swarm = (await swarms.init(Topology.STAR, Strategy.BALANCED, agents, None, None)).swarm
        runs = Runs(database, clock, new_id, "p", owner.this_process(), scheduler, open_backend)
        plan = [NewTask(f"k{number}", "work", "coder", "coder", "text") for number in range(tasks)]
        started = time.perf_counter()
        run_id = await runs.start(NewRun(RunKind.BATCH, "t", (), None, CHOICE, budget=budget), plan, swarm, ["coder"])
        await runs.wait(run_id, None)
        elapsed = time.perf_counter() - started
        group.cancel_scope.cancel()
    return elapsed / tasks

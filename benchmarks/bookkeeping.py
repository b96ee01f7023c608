"""Tasks that do nothing, with the books kept beside them (ended runs measured, rows of a year ago deleted) and without:
keeping them may cost 5 % of the throughput."""

import statistics
import tempfile
import time
from pathlib import Path

import anyio

from benchmarks.durable_tasks import CHOICE, NoPlanner, NoShelf, NullBackend, TextPacker
from swarmtally.core import owner
from swarmtally.core.attempt import Workshop
from swarmtally.core.bookkeeping import DAY_NS, Bookkeeper
from swarmtally.core.runs import Runs
from swarmtally.core.scheduler import Scheduler
from swarmtally.core.swarms import Swarms
from swarmtally.domain.clock import SystemClock
from swarmtally.domain.ids import id_factory
from swarmtally.domain.retention import Retention
from swarmtally.domain.retry import RetryPolicy
from swarmtally.domain.run import NewRun, RunKind
from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.domain.task import NewTask
from swarmtally.store import location
from swarmtally.store.connection import Connection
from swarmtally.store.database import open_database

LIMIT = 0.05

AGENTS = 50

TASKS = 38
"""Of a run."""


def run(smoke: bool) -> list[str]:
    runs, rounds = (3, 1) if smoke else (60, 5)
    found: dict[bool, list[float]] = {True: [], False: []}
    deleted = 0
    for number in range(rounds):
        # Each first in turn: what the machine does besides changes slowly.
        for kept in (True, False) if number % 2 else (False, True):
            with tempfile.TemporaryDirectory() as folder:
                rate, gone = anyio.run(_rate, Path(folder, "swarm.db"), runs, kept)
                found[kept].append(rate)
                deleted += gone
    on, off = (statistics.median(found[kept]) for kept in (True, False))
    cost = 1 - on / off
    told = f"{runs} runs of {TASKS} tasks, {AGENTS} agents: without {off:7.0f} tasks/s, with {on:7.0f} tasks/s"
    return [f"{told} ({deleted} old rows deleted); cost {cost:6.1%}, limit {LIMIT:.0%}"]


async def _rate(path: Path, runs: int, kept: bool) -> tuple[float, int]:
    clock, new_id, backend = SystemClock(), id_factory(), NullBackend(AGENTS)
    deleted = 0

    async def open_backend(choice: object) -> NullBackend:
        return backend

    async with open_database(location.prepare(path), clock) as database, anyio.create_task_group() as group:
        shop = Workshop(database, clock, TextPacker(), NoPlanner(), RetryPolicy(), lambda: 0.5)
        scheduler = Scheduler(shop, NoShelf(), new_id)
        group.start_soon(scheduler.run)
        swarms = Swarms(database, clock, new_id, "p")
        swarm = (await swarms.init(Topology.STAR, Strategy.BALANCED, AGENTS, None, None)).swarm
        await database.write(lambda tx: _old_messages(tx, clock.now_ns() - 400 * DAY_NS, runs * TASKS))
        held = Runs(database, clock, new_id, "p", owner.this_process(), scheduler, open_backend)
        if kept:
            books = Bookkeeper(database, clock, Retention())
            group.start_soon(books.run)
        plan = [NewTask(f"k{number}", "work", "coder", "coder", "text") for number in range(TASKS)]
        started = time.perf_counter()
        for _ in range(runs):
            await held.wait(
                await held.start(NewRun(RunKind.BATCH, "t", (), None, CHOICE), plan, swarm, ["coder"]), None
            )
        elapsed = time.perf_counter() - started
        left = await database.read(lambda tx: tx.row("SELECT COUNT(*) AS n FROM message"))
        deleted = runs * TASKS - (left["n"] if left else 0)
        group.cancel_scope.cancel()
    return runs * TASKS / elapsed, deleted


async def _old_messages(tx: Connection, at_ns: int, count: int) -> None:
    """As many messages as there will be tasks, to be deleted while those run."""
    await tx.many(
        "INSERT INTO message (kind, project, swarm_id, run_id, task_id, about, sender, receiver, hop, hops, sent_ns,"
        " received_ns) VALUES ('data_transfer', 'p', 's', 'r', 't', 't', 'a', 'b', 1, 1, :at, :at)",
        [{"at": at_ns} for _ in range(count)],
    )

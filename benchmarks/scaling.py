"""Tasks that only wait, through the whole path, with more and more agents: ideal time / real time, beside bare asyncio
with a semaphore of as many places."""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import anyio

from benchmarks.durable_tasks import CHOICE, NoPlanner, NoShelf, TextPacker
from swarmtally.core import owner
from swarmtally.core.attempt import Workshop
from swarmtally.core.ports import BackendInfo, Prompt, Reply
from swarmtally.core.runs import Runs
from swarmtally.core.scheduler import Scheduler
from swarmtally.core.swarms import Swarms
from swarmtally.domain.clock import SystemClock
from swarmtally.domain.ids import id_factory
from swarmtally.domain.retry import RetryPolicy
from swarmtally.domain.run import BackendChoice, NewRun, RunKind
from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.domain.task import NewTask
from swarmtally.domain.usage import TokenUsage
from swarmtally.store import location
from swarmtally.store.database import open_database

LIMIT = 0.96
"""Of the efficiency at `AT` agents."""

SEED = 0.942
"""What the seed says."""

AT = 1_000

WAVES = {1: 5, 10: 5, 100: 5, 1_000: 5, 5_000: 2}
"""By agents, how many tasks each of them does. A run holds at most 10,000."""


@dataclass(frozen=True)
class Level:
    """What came of one number of agents, in seconds."""

    agents: int
    waves: int
    task_s: float
    ours: float
    """From before the run is submitted until its end is known."""
    executing: float
    """Of that, from the first claim to the last commit."""
    bare: float

    @property
    def ideal(self) -> float:
        return self.waves * self.task_s


def run(smoke: bool) -> list[str]:
    lines = ["efficiency = ideal time / real time, from submitting the run to its end; agents are in the swarm before"]
    for task_s in (0.1,) if smoke else (1.0, 0.1):
        for agents, waves in list(WAVES.items())[: 2 if smoke else None]:
            lines.append(_told(_level(agents, waves, task_s)))
    return lines


def _told(level: Level) -> str:
    ours, bare = level.ideal / level.ours, level.ideal / level.bare
    verdict = ""
    if level.agents == AT and level.task_s == 1.0:
        verdict = f"; {'within' if ours >= LIMIT else 'BELOW'} {LIMIT:.0%} (the seed says {SEED:.1%})"
    return (
        f"{level.task_s:3.1f} s x {level.agents:5,} agents x {level.waves} tasks each: {level.ours:7.3f} s, {ours:6.1%}"
        f" (without submitting {level.ideal / level.executing:6.1%}); bare asyncio {level.bare:7.3f} s, {bare:6.1%};"
        f" ours / bare {level.ours / level.bare:.3f}{verdict}"
    )


def _level(agents: int, waves: int, task_s: float) -> Level:
    with tempfile.TemporaryDirectory() as folder:
        ours, executing = anyio.run(_ours, Path(folder, "ours.db"), agents, agents * waves, task_s)
    return Level(agents, waves, task_s, ours, executing, asyncio.run(_bare(agents, agents * waves, task_s)))


async def _bare(agents: int, tasks: int, task_s: float) -> float:
    places = asyncio.Semaphore(agents)

    async def one() -> None:
        async with places:
            await asyncio.sleep(task_s)

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(tasks)))
    return time.perf_counter() - started


@dataclass(frozen=True)
class SleepingBackend:
    """Waits, then answers."""

    agents: int
    task_s: float

    @property
    def info(self) -> BackendInfo:
        return BackendInfo("null", "null", None, self.agents, True, "latency", 10_000, 100)

    async def execute(self, prompt: Prompt) -> Reply:
        await anyio.sleep(self.task_s)
        return Reply(prompt.parts[-1], TokenUsage(1, 1, 0, 0, 0))

    async def aclose(self) -> None:
        """Nothing is held."""


async def _ours(path: Path, agents: int, tasks: int, task_s: float) -> tuple[float, float]:
    """What it takes in seconds, whole and without submitting the run."""
    clock, new_id, backend = SystemClock(), id_factory(), SleepingBackend(agents, task_s)

    async def open_backend(choice: BackendChoice) -> SleepingBackend:
        return backend

    async with open_database(location.prepare(path), clock) as database, anyio.create_task_group() as group:
        shop = Workshop(database, clock, TextPacker(), NoPlanner(), RetryPolicy(), lambda: 0.5)
        scheduler = Scheduler(shop, NoShelf(), new_id)
        group.start_soon(scheduler.run)
        swarms = Swarms(database, clock, new_id, "p")
        swarm = (await swarms.init(Topology.STAR, Strategy.BALANCED, agents, None, None)).swarm
        await swarms.spawn("coder", None, (), agents, swarm.swarm_id)
        runs = Runs(database, clock, new_id, "p", owner.this_process(), scheduler, open_backend)
        plan = [NewTask(f"k{number}", "work", "coder", "coder", "text") for number in range(tasks)]
        started = time.perf_counter()
        run_id = await runs.start(NewRun(RunKind.BATCH, "t", (), None, CHOICE), plan, swarm, ["coder"])
        ended = await runs.wait(run_id, None)
        whole = time.perf_counter() - started
        assert ended.status == "succeeded", ended
        (row,) = await database.read(
            lambda tx: tx.rows("SELECT (MAX(committed_ns) - MIN(claimed_ns)) / 1e9 AS took FROM attempt")
        )
        group.cancel_scope.cancel()
    return whole, float(row["took"])

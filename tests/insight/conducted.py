"""The real scheduler, store and assignment in time that a test sets: a call ends when the clock has come to its end."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from swarmtally.core import owner
from swarmtally.core.attempt import Workshop
from swarmtally.core.ports import BackendInfo, Prompt, Reply
from swarmtally.core.runs import Runs
from swarmtally.core.scheduler import Scheduler
from swarmtally.core.swarms import Swarms
from swarmtally.domain.ids import id_factory
from swarmtally.domain.retry import RetryPolicy
from swarmtally.domain.run import NewRun, RunKind
from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.domain.task import NewTask
from swarmtally.domain.topology import Shape
from swarmtally.domain.usage import TokenUsage
from swarmtally.store import location
from swarmtally.store.database import Database, open_database
from tests.core.harness import CHOICE, KeyPacker, ListPlanner, NoShelf
from tests.store.conftest import HandClock


class TickingClock(HandClock):
    """Time as the test sets it; each look at it takes a nanosecond, so that what follows is later."""

    def now_ns(self) -> int:
        self.ns += 1
        return self.ns


@dataclass
class ConductedBackend:
    """Answers a call when the clock has advanced by what `seconds` says of its task's key."""

    clock: HandClock
    seconds: Mapping[str, float]
    max_parallel: int
    due: dict[str, tuple[int, anyio.Event]] = field(default_factory=dict)
    begun: anyio.Event = field(default_factory=anyio.Event)

    @property
    def info(self) -> BackendInfo:
        return BackendInfo("scripted", "scripted", None, self.max_parallel, True, "latency", 10_000, 100)

    async def execute(self, prompt: Prompt) -> Reply:
        key, ended = prompt.parts[-1], anyio.Event()
        self.due[key] = (self.clock.ns + round(self.seconds[key] * 1e9), ended)
        self.begun.set()
        self.begun = anyio.Event()
        await ended.wait()
        return Reply("done", TokenUsage(1, 1, 0, 0, 0))

    async def aclose(self) -> None:
        """Nothing is held."""


@dataclass
class Conducted:
    database: Database
    swarms: Swarms
    runs: Runs
    backend: ConductedBackend
    clock: HandClock

    async def run(self, *plan: NewTask, shape: Shape | None = None) -> dict[str, float]:
        """Run the plan; returns when each task ended, in seconds after the first claim."""
        begun_ns = self.clock.ns
        swarm, _ = await self.swarms.find_or_make(None)
        new = NewRun(RunKind.BATCH, "the work", (), None, CHOICE, shape)
        run_id = await self.runs.start(new, plan, swarm, [task.role for task in plan])
        ended: dict[str, float] = {}
        with anyio.fail_after(20):
            while len(ended) < len(plan):
                await self._all_calls_begun(run_id, len(ended))
                moment = min(due for due, _ in self.backend.due.values())
                self.clock.ns = max(self.clock.ns, moment)
                for key in [key for key, (due, _) in self.backend.due.items() if due == moment]:
                    self.backend.due.pop(key)[1].set()
                    ended[key] = (moment - begun_ns) / 1e9
            await self.runs.wait(run_id, None)
        return ended

    async def _all_calls_begun(self, run_id: str, ended: int) -> None:
        """Wait until every result is recorded and each attempt that was started by that has sent its call."""
        while True:
            change, begun = self.runs._scheduler.next_change(), self.backend.begun
            row = await self.database.read(
                lambda tx: tx.row(
                    "SELECT SUM(task.status = 'succeeded') AS done, SUM(task.status = 'running') AS running"
                    " FROM task WHERE run_id = :run_id",
                    {"run_id": run_id},
                )
            )
            assert row is not None
            if row["done"] == ended and row["running"] == len(self.backend.due) > 0:
                return
            async with anyio.create_task_group() as group:

                async def first(event: anyio.Event) -> None:
                    await event.wait()
                    group.cancel_scope.cancel()

                group.start_soon(first, change)
                group.start_soon(first, begun)


@asynccontextmanager
async def conducted(
    folder: Path, seconds: Mapping[str, float], *, max_parallel: int, max_agents: int, strategy: Strategy
) -> AsyncIterator[Conducted]:
    clock, new_id = TickingClock(), id_factory()
    backend = ConductedBackend(clock, seconds, max_parallel)

    async def open_backend(choice: object) -> ConductedBackend:
        return backend

    path = await anyio.to_thread.run_sync(location.prepare, folder / "swarm.db")
    async with open_database(path, clock) as database, anyio.create_task_group() as group:
        shop = Workshop(database, clock, KeyPacker(), ListPlanner(), RetryPolicy(), lambda: 0.5)
        scheduler = Scheduler(shop, NoShelf(), new_id)
        group.start_soon(scheduler.run)
        swarms = Swarms(database, clock, new_id, "test")
        this_process = await anyio.to_thread.run_sync(owner.this_process)
        runs = Runs(database, clock, new_id, "test", this_process, scheduler, open_backend)
        await swarms.init(Topology.STAR, strategy, max_agents, None, None)
        yield Conducted(database, swarms, runs, backend, clock)
        group.cancel_scope.cancel()

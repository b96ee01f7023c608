"""Host-driven work under test: the real store, packer, planner and shelf, a clock the test sets, and clients that are
several `Packets` over several databases opened on one file."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio.to_thread

from swarmtally.core import control
from swarmtally.core.attempt import Workshop
from swarmtally.core.packets import Packet, Packets, Report, Reported
from swarmtally.core.ports import Packer, Shelf
from swarmtally.core.runs import Runs
from swarmtally.core.scheduler import Scheduler
from swarmtally.core.swarms import Swarms
from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.files import File
from swarmtally.domain.ids import id_factory
from swarmtally.domain.retry import RetryPolicy
from swarmtally.domain.run import HOST, BackendChoice, NewRun, Run, RunKind
from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.domain.task import NewTask
from swarmtally.domain.usage import TokenUsage
from swarmtally.sparc.modes import ModeCatalog
from swarmtally.sparc.packing import ContextPacker
from swarmtally.sparc.plan import SparcPlanner, plan_pipeline
from swarmtally.sparc.shelf import FolderShelf
from swarmtally.store import location
from swarmtally.store.connection import Row
from swarmtally.store.database import Database, open_database
from tests.core.harness import ScriptedBackend

CATALOG = ModeCatalog.load(None, Path("/nowhere"))
CLIENT = BackendChoice(HOST, "the client", None, "chosen by the test", None)


@dataclass
class HandClock:
    ns: int = 1_700_000_000 * NS_PER_S

    def now_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns

    def pass_minutes(self, minutes: float) -> None:
        self.ns += round(minutes * 60 * NS_PER_S)


def made(output: str = "done", *files: tuple[str, str], usage: TokenUsage = TokenUsage()) -> Report:  # noqa: B008
    return Report(output, tuple(File(path, text) for path, text in files), None, usage)


def failed(error: str = "cannot be done") -> Report:
    return Report("", (), error, TokenUsage())


@dataclass
class Hosted:
    """What a test drives and looks at."""

    path: Path
    clock: HandClock
    database: Database
    packets: Packets
    runs: Runs
    swarms: Swarms
    scheduler: Scheduler
    packer: Packer
    shelf: Shelf
    stack: AsyncExitStack
    project: str = "test"
    backend: ScriptedBackend = field(default_factory=ScriptedBackend)

    async def another_client(self, shelf: Shelf | None = None) -> Packets:
        """A client of another server: a database of its own on the same file."""
        database = await self.stack.enter_async_context(open_database(self.path, self.clock))
        return packets_over(database, self.clock, self.packer, shelf or self.shelf, self.project)

    async def init(self, max_agents: int = 8, strategy: Strategy = Strategy.BALANCED) -> str:
        state = await self.swarms.init(Topology.STAR, strategy, max_agents, None, None)
        return state.swarm.swarm_id

    async def start(
        self,
        *plan: NewTask,
        out_dir: Path | None = None,
        context: Sequence[str] = (),
        swarm_id: str | None = None,
        roles: Sequence[str] = (),
    ) -> str:
        swarm, _ = await self.swarms.find_or_make(swarm_id)
        new = NewRun(RunKind.BATCH, "the work", tuple(context), str(out_dir) if out_dir else None, CLIENT)
        return await self.runs.start(new, plan, swarm, roles or [task.role for task in plan])

    async def pipeline(self, task: str, **given: Any) -> str:
        return await self.start(*plan_pipeline(CATALOG, task), **given)

    async def claim(self, limit: int = 1, **given: Any) -> list[Packet]:
        return list((await self.packets.claim(limit, **given)).packets)

    async def claim_one(self, **given: Any) -> Packet:
        (packet,) = await self.claim(1, **given)
        return packet

    async def report(self, packet: Packet, report: Report | None = None) -> Reported:
        return await self.packets.report(packet.task.task_id, packet.lease, report or made())

    async def finish(self, run_id: str) -> Run:
        """Do all that can be done of the run."""
        while packets := await self.claim(10, run_id=run_id):
            for packet in packets:
                await self.report(packet)
        return await self.runs.get(run_id)

    async def cancel(self, run_id: str) -> int:
        return await self.database.write(lambda tx: control.cancel(tx, self.project, run_id, self.clock.ns))

    async def status(self, run_id: str) -> dict[str, str]:
        return {state.task.key: str(state.task.status) for state in (await self.runs.show(run_id)).tasks}

    async def rows(self, sql: str, **given: Any) -> list[Row]:
        return await self.database.read(lambda tx: tx.rows(sql, given))

    async def write(self, sql: str) -> None:
        await self.database.write(lambda tx: tx.rows(sql))

    async def one(self, sql: str, **given: Any) -> Any:
        (row,) = await self.rows(sql, **given)
        return next(iter(dict(row).values()))

    async def contents(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table that work touches: equal before and after what must record nothing."""
        tables = ("run", "task", "attempt", "artefact", "artefact_file", "agent", "usage", "event", "swarm")
        return {table: [tuple(row) for row in await self.rows(f"SELECT * FROM {table}")] for table in tables}


def packets_over(database: Database, clock: HandClock, packer: Packer, shelf: Shelf, project: str = "test") -> Packets:
    return Packets(database, clock, id_factory(), project, packer, SparcPlanner(CATALOG), shelf)


@asynccontextmanager
async def hosted(
    folder: Path, *, packer: Packer | None = None, shelf: Shelf | None = None, project: str = "test"
) -> AsyncIterator[Hosted]:
    """Host-driven work over `folder/swarm.db`. Its scheduler does nothing until a test starts it."""
    clock, new_id = HandClock(), id_factory()
    packer, shelf = packer or ContextPacker(CATALOG), shelf or FolderShelf()
    backend = ScriptedBackend()

    async def open_backend(choice: BackendChoice) -> ScriptedBackend:
        return backend

    path = await anyio.to_thread.run_sync(location.prepare, folder / "swarm.db")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(path, clock))
        shop = Workshop(database, clock, packer, SparcPlanner(CATALOG), RetryPolicy(), lambda: 0.5)
        scheduler = Scheduler(shop, shelf, new_id)
        runs = Runs(database, clock, new_id, project, "elsewhere:1:1", scheduler, open_backend)
        packets = packets_over(database, clock, packer, shelf, project)
        swarms = Swarms(database, clock, new_id, project)
        yield Hosted(path, clock, database, packets, runs, swarms, scheduler, packer, shelf, stack, project, backend)

"""What a process holds in memory for agents that have nothing to do and for tasks that wait: they lie in the file."""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import anyio
import psutil

from benchmarks.durable_tasks import CHOICE, NoPlanner, NoShelf, NullBackend, TextPacker
from swarmtally.core import owner
from swarmtally.core.attempt import Workshop
from swarmtally.core.bookkeeping import Bookkeeper
from swarmtally.core.ports import Prompt, Reply
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
from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.domain.task import MAX_TASKS, NewTask
from swarmtally.store import location
from swarmtally.store.database import Database, open_database

LIMIT_MB = 30.0
"""What 100,000 queued tasks may add to the process that is to execute them."""

TEXT = "Write the part of the order service that this task names, with its tests and its documents. " * 2
"""Of each task: 184 characters."""

_SETTLE_S = 2.0
"""How long a process is left alone before it is looked at: bookkeeping and watching come round meanwhile."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Bytes of resident memory."""

    idle: int
    """Before: a swarm, its agents and tasks of one run done, nothing under way."""
    after: int
    peak: int | None
    """The most since `idle`; None where the system does not tell."""
    file: int
    """Bytes by which what the file holds grew."""


class Waiting(NullBackend):
    """Answers at once until told to answer no more."""

    held = False

    async def execute(self, prompt: Prompt) -> Reply:
        if Waiting.held:
            await anyio.sleep_forever()
        return await NullBackend.execute(self, prompt)


async def look(path: Path, agents: int, tasks: int) -> Seen:
    """What a process holds with `agents` more that are idle and `tasks` more that wait."""
    clock, new_id, backend = SystemClock(), id_factory(), Waiting(8)

    async def open_backend(choice: object) -> NullBackend:
        return backend

    async with open_database(location.prepare(path), clock) as database, anyio.create_task_group() as group:
        shop = Workshop(database, clock, TextPacker(), NoPlanner(), RetryPolicy(), lambda: 0.5)
        scheduler = Scheduler(shop, NoShelf(), new_id)
        group.start_soon(scheduler.run)
        group.start_soon(Bookkeeper(database, clock, Retention()).run)
        probe = await anyio.to_thread.run_sync(ResourceProbe)
        group.start_soon(Sampler(database, clock, scheduler, "p", owner.this_process(), probe).run)
        swarms = Swarms(database, clock, new_id, "p")
        swarm = (await swarms.init(Topology.STAR, Strategy.BALANCED, MAX_TASKS, None, None)).swarm
        runs = Runs(database, clock, new_id, "p", owner.this_process(), scheduler, open_backend)
        new = NewRun(RunKind.BATCH, "t", (), None, CHOICE)
        # What the first use of everything takes is no agent's and no task's.
        await swarms.spawn("coder", None, (), 8, swarm.swarm_id)
        await runs.wait(await runs.start(new, plan(100), swarm, ["coder"]), None)
        await anyio.sleep(_SETTLE_S)
        size = await used(database)
        idle = rss()
        forget_peak()
        if agents:
            await swarms.spawn("coder", None, (), agents, swarm.swarm_id)
        Waiting.held = True
        for begun in range(0, tasks, MAX_TASKS):
            await runs.start(new, plan(min(MAX_TASKS, tasks - begun)), swarm, ["coder"])
        await anyio.sleep(_SETTLE_S)
        seen = Seen(idle, rss(), peak(), await used(database) - size)
        group.cancel_scope.cancel()
    return seen


async def used(database: Database) -> int:
    """Bytes of the file that hold something."""
    row = await database.read(
        lambda tx: tx.row(
            "SELECT (page_count - freelist_count) * page_size AS size"
            " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
        )
    )
    assert row is not None
    return int(row["size"])


def plan(count: int) -> list[NewTask]:
    return [NewTask(f"k{number}", "work", "coder", "coder", f"{TEXT}{number}") for number in range(count)]


def rss() -> int:
    return psutil.Process().memory_info().rss


def forget_peak() -> None:
    """Have the kernel's mark start again from now (Linux)."""
    mark = Path("/proc/self/clear_refs")
    if mark.exists():
        mark.write_text("5")


def peak() -> int | None:
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def run(smoke: bool) -> list[str]:
    lines = []
    nothing = _seen(0, 0)
    lines.append(f"idle process {mb(nothing.idle)}; left alone it adds {mb(nothing.after - nothing.idle)}")
    for agents in (1_000,) if smoke else (1_000, 9_990):
        seen = _seen(agents, 0)
        lines.append(
            f"{agents:7} idle agents  add {told(seen)}: {(seen.after - seen.idle) / agents:6.0f} bytes an agent"
            f" in memory, {seen.file / agents:6.0f} in the file"
        )
    for tasks in (10_000,) if smoke else (10_000, 100_000):
        seen = _seen(0, tasks)
        added = (seen.after - seen.idle) / 2**20
        kept = f"; limit {LIMIT_MB:.0f} MB {'within' if added <= LIMIT_MB else 'ABOVE'}" if tasks == 100_000 else ""
        lines.append(
            f"{tasks:7} queued tasks add {told(seen)}: {(seen.after - seen.idle) / tasks:6.0f} bytes a task"
            f" in memory, {seen.file / tasks:6.0f} in the file{kept}"
        )
    return lines


def told(seen: Seen) -> str:
    most = "unknown" if seen.peak is None else mb(seen.peak - seen.idle)
    return f"{mb(seen.after - seen.idle)} (at most {most} on the way)"


def mb(size: float) -> str:
    return f"{size / 2**20:5.1f} MB"


def _seen(agents: int, tasks: int) -> Seen:
    """`look`, in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.memory_use", str(agents), str(tasks)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return Seen(**json.loads(done.stdout))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory_use", description=__doc__)
    parser.add_argument("agents", type=int)
    parser.add_argument("tasks", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seen = anyio.run(look, Path(folder, "swarm.db"), options.agents, options.tasks)
    print(json.dumps(asdict(seen)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

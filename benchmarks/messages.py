"""Messages between 1,000 agents, 1,000 a second: what one task delivered reaches the agent of the next; limits: the
99th percentile 5 ms from sent to received with the commit between, 0.5 ms from the commit to received."""

import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import anyio
from numpy import percentile

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
from swarmtally.domain.run import NewRun, RunKind
from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.domain.task import NewTask
from swarmtally.domain.topology import Shape
from swarmtally.domain.usage import TokenUsage
from swarmtally.store import location
from swarmtally.store.database import open_database

DURABLE_LIMIT_MS, IN_PROCESS_LIMIT_MS = 5.0, 0.5

TASK_S = 0.75
"""What a task takes on average: with an agent to each chain of tasks, a few more messages a second than agents (where
an agent goes on with what it made itself, there is none)."""


class WaitingBackend:
    """Answers after a time that is a little different for each call, as those of a provider are."""

    def __init__(self, agents: int, task_s: float) -> None:
        self.info = BackendInfo("null", "null", None, agents, True, "latency", 10_000, 100)
        self._task_s = task_s
        self._calls = 0

    async def execute(self, prompt: Prompt) -> Reply:
        self._calls += 1
        # Golden-ratio steps: evenly spread over half to one and a half times the time.
        share = self._calls * 0.618034 % 1
        if self._task_s:
            await anyio.sleep(self._task_s * (0.5 + share))
        return Reply(prompt.parts[-1], TokenUsage(1, 1, 0, 0, 0))

    async def aclose(self) -> None:
        """Nothing is held."""


class TimedScheduler(Scheduler):
    """Notes when it knows that the transaction of a turn was committed."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.committed_ns: dict[str, int] = {}

    def _follow(self, group: Any, turn: Any) -> None:
        now_ns = self._shop.clock.now_ns()
        self.committed_ns.update((claim.task.task_id, now_ns) for claim in turn.claims)
        super()._follow(group, turn)


def run(smoke: bool) -> list[str]:
    agents, length = (100, 6) if smoke else (1_000, 9)
    lines = []
    for task_s, load in ((TASK_S, "a message a second each"), (0.0, "as fast as it goes")):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "messages.db")
            committed = anyio.run(_exchange, path, agents, length, task_s)
            lines += _figures(path, committed, f"{agents} agents, {load}", limits=bool(task_s))
    return lines


async def _exchange(path: Path, agents: int, length: int, task_s: float) -> dict[str, int]:
    """When each task's start was committed."""
    clock, new_id, backend = SystemClock(), id_factory(), WaitingBackend(agents, task_s)

    async def open_backend(choice: object) -> WaitingBackend:
        return backend

    plan = [
        NewTask(f"k{chain}_{step}", "work", "coder", "coder", "text", (f"k{chain}_{step - 1}",) if step else ())
        for step in range(length)
        for chain in range(agents)
    ]
    async with open_database(location.prepare(path), clock) as database, anyio.create_task_group() as group:
        shop = Workshop(database, clock, TextPacker(), NoPlanner(), RetryPolicy(), lambda: 0.5)
        scheduler = TimedScheduler(shop, NoShelf(), new_id)
        group.start_soon(scheduler.run)
        swarm = (
            await Swarms(database, clock, new_id, "p").init(Topology.MESH, Strategy.BALANCED, agents, None, None)
        ).swarm
        runs = Runs(database, clock, new_id, "p", owner.this_process(), scheduler, open_backend)
        new = NewRun(RunKind.BATCH, "t", (), None, CHOICE, shape=Shape.MESH)
        await runs.wait(await runs.start(new, plan, swarm, ["coder"]), None)
        group.cancel_scope.cancel()
    return scheduler.committed_ns


def _figures(path: Path, committed: dict[str, int], what: str, *, limits: bool) -> list[str]:
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT task_id, sent_ns, received_ns FROM message WHERE hop = hops ORDER BY sent_ns"
    ).fetchall()
    connection.close()
    durable = [(received - sent) / 1e6 for _, sent, received in rows]
    in_process = [(received - committed[task_id]) / 1e6 for task_id, _, received in rows]
    first, last = rows[len(rows) // 4][1], rows[len(rows) * 3 // 4][1]
    rate = len(rows) / 2 / max(1, last - first) * 1e9
    lines = [f"{what}: {len(rows)} messages, {rate:.0f} a second in the middle half"]
    for name, found, limit in (
        ("sent to received, committed", durable, DURABLE_LIMIT_MS),
        ("committed to received", in_process, IN_PROCESS_LIMIT_MS),
    ):
        p50, p99 = (float(each) for each in percentile(found, (50, 99)))
        verdict = f", {'within' if p99 <= limit else 'ABOVE'} {limit:g} ms" if limits else ""
        lines.append(f"  {name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms{verdict}, longest {max(found):.1f} ms")
    return lines

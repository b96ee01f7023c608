"""A swarm under test: the real store, scheduler and assignment, with a backend whose answers the test writes."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from swarmtally.core import owner
from swarmtally.core.attempt import Workshop
from swarmtally.core.ports import BackendInfo, Inputs, Packer, Prompt, Reply
from swarmtally.core.runs import Runs
from swarmtally.core.scheduler import Scheduler
from swarmtally.core.swarms import Swarms
from swarmtally.core.tracing import UNTRACED, Tracing
from swarmtally.domain.budget import UNLIMITED, Budget
from swarmtally.domain.clock import Clock, SystemClock
from swarmtally.domain.errors import BackendFailure
from swarmtally.domain.ids import id_factory
from swarmtally.domain.retry import RetryPolicy
from swarmtally.domain.run import BackendChoice, NewRun, Run, RunKind
from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.domain.task import Artefact, Expansion, NewTask, Task
from swarmtally.domain.usage import TokenUsage
from swarmtally.store import location
from swarmtally.store.connection import Row
from swarmtally.store.database import Database, open_database

CHOICE = BackendChoice("scripted", "scripted", None, "chosen by the test", None)

Answer = str | BackendFailure | Exception
Script = Callable[[str, int], Answer]
"""Takes a task's key and how often it was asked before; gives the answer or the failure."""


def task(key: str, *needs: str, **given: Any) -> NewTask:
    """A plan's task with the fields the test cares about."""
    return NewTask(
        **{"key": key, "phase": "work", "mode": "coder", "role": "coder", "text": key, "depends_on": needs, **given}
    )


def forty_tasks() -> list[NewTask]:
    """Eight chains of four tasks, each chain's last needed by one of seven merges, and those by one end."""
    chains = [
        task(f"c{chain}_{step}", *([f"c{chain}_{step - 1}"] if step else [])) for chain in range(8) for step in range(4)
    ]
    merges = [task(f"m{merge}", f"c{merge}_3", f"c{merge + 1}_3") for merge in range(7)]
    return [*chains, *merges, task("end", *(merge.key for merge in merges))]


@dataclass
class ScriptedBackend:
    """Answers from `script`, as soon as `together` calls have been under way at once and the `gate` is open."""

    script: Script = lambda key, asked: f"result of {key}"
    max_parallel: int = 4
    context_tokens: int = 10_000
    asked: Counter[str] = field(default_factory=Counter)
    order: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    together: int = 1
    met: anyio.Event = field(default_factory=anyio.Event)
    gate: anyio.Event | None = None
    usage: TokenUsage = field(default_factory=lambda: TokenUsage(10, 5, 0, 0, 0))

    @property
    def info(self) -> BackendInfo:
        return BackendInfo("scripted", "scripted", None, self.max_parallel, True, "latency", self.context_tokens, 100)

    async def execute(self, prompt: Prompt) -> Reply:
        key = prompt.parts[-1]
        self.order.append(key)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.at_once >= self.together:
                self.met.set()
            await self.met.wait()
            if self.gate is not None:
                await self.gate.wait()
            answer = self.script(key, self.asked[key])
            self.asked[key] += 1
            if isinstance(answer, Exception):
                raise answer
            return Reply(answer, self.usage)
        finally:
            self.at_once -= 1

    async def aclose(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class KeyPacker:
    """Puts what a task may see before its key, so that a test can read both."""

    def pack(self, run: Run, task: Task, inputs: Inputs, budget_bytes: int) -> Prompt:
        seen = tuple(f"saw {artefact.name}" for artefact in (*inputs.needed, *inputs.seen))
        lacks = tuple(f"lacks {key}" for key in inputs.missing)
        return Prompt("system", (*seen, *lacks, task.key))

    def parts(self, run: Run, inputs: Inputs, references: Sequence[str], budget_bytes: int) -> str:
        raise AssertionError("nothing was left out")


@dataclass(frozen=True, slots=True)
class ListPlanner:
    """A result "a,b" makes tasks a and b, which need the task that delivered it."""

    def expand(self, run: Run, task: Task, output: str) -> Expansion:
        return Expansion(tuple(NewTask(key, "more", "coder", "coder", key, (task.key,)) for key in output.split(",")))


@dataclass(frozen=True, slots=True)
class NoShelf:
    async def put(self, run: Run, artefact: Artefact) -> str:
        raise AssertionError("this run has no out_dir")


@dataclass
class Swarmed:
    """What a test drives and looks at."""

    database: Database
    swarms: Swarms
    runs: Runs
    scheduler: Scheduler
    backend: ScriptedBackend

    async def init(self, max_agents: int = 8, strategy: Strategy = Strategy.BALANCED) -> None:
        await self.swarms.init(Topology.STAR, strategy, max_agents, None, None)

    async def start(
        self,
        *plan: NewTask,
        roles: Sequence[str] = (),
        out_dir: str | None = None,
        context: Sequence[str] = (),
        budget: Budget = UNLIMITED,
    ) -> str:
        swarm, _ = await self.swarms.find_or_make(None)
        new = NewRun(RunKind.BATCH, "the work", tuple(context), out_dir, CHOICE, budget=budget)
        return await self.runs.start(new, plan, swarm, roles or [task.role for task in plan])

    async def run(self, *plan: NewTask, roles: Sequence[str] = ()) -> dict[str, Task]:
        """Run the plan to its end and return its tasks by key."""
        run_id = await self.start(*plan, roles=roles)
        with anyio.fail_after(20):
            await self.runs.wait(run_id, None)
        return await self.tasks(run_id)

    async def tasks(self, run_id: str) -> dict[str, Task]:
        return {state.task.key: state.task for state in (await self.runs.show(run_id)).tasks}

    async def rows(self, sql: str) -> list[Row]:
        return await self.database.read(lambda tx: tx.rows(sql))


@asynccontextmanager
async def swarmed(
    folder: Path,
    backend: Any = None,
    shelf: Any = None,
    project: str = "test",
    clock: Clock = SystemClock(),  # noqa: B008 - without state
    retry: RetryPolicy = RetryPolicy(max_attempts=3, base_s=0.001, cap_s=0.002),  # noqa: B008 - frozen
    packer: Packer | None = None,
    tracing: Tracing = UNTRACED,
) -> AsyncIterator[Swarmed]:
    """A swarm over `folder/swarm.db`; closing it lets go of its runs, as closing the program does."""
    backend = backend or ScriptedBackend()
    new_id = id_factory()

    async def open_backend(choice: BackendChoice) -> Any:
        return backend

    path = await anyio.to_thread.run_sync(location.prepare, folder / "swarm.db")
    async with open_database(path, clock) as database, anyio.create_task_group() as group:
        shop = Workshop(database, clock, packer or KeyPacker(), ListPlanner(), retry, lambda: 0.5, tracing=tracing)
        scheduler = Scheduler(shop, shelf or NoShelf(), new_id)
        group.start_soon(scheduler.run)
        swarms = Swarms(database, clock, new_id, project)
        this_process = await anyio.to_thread.run_sync(owner.this_process)
        runs = Runs(database, clock, new_id, project, this_process, scheduler, open_backend)
        yield Swarmed(database, swarms, runs, scheduler, backend)
        group.cancel_scope.cancel()

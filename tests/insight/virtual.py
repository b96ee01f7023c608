"""Runs of known shape: the real scheduler over a clock that only the test moves, with calls that end when it says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from swarmtally.core.ports import BackendInfo, Prompt, Reply
from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.retry import RetryPolicy
from swarmtally.domain.run import NewRun, RunKind
from swarmtally.domain.task import NewTask
from swarmtally.domain.topology import Shape
from swarmtally.domain.usage import TokenUsage
from swarmtally.insight.performance import Report
from tests.core.harness import CHOICE, Swarmed, swarmed
from tests.core.hosted import HandClock
from tests.insight.history import reported

RETRY = RetryPolicy(max_attempts=3, base_s=2.0, cap_s=60.0)
"""With the harness's draw of 0.5 the first retry comes 1.5 s after the failure."""


@dataclass
class HeldBackend:
    """Holds every call until the test lets it go."""

    max_parallel: int = 4
    usage: dict[str, TokenUsage] = field(default_factory=dict)
    """By task; others used 100 and 10 tokens."""
    waiting: dict[str, anyio.Event] = field(default_factory=dict)
    answers: dict[str, Exception] = field(default_factory=dict)
    changed: anyio.Event = field(default_factory=anyio.Event)

    @property
    def info(self) -> BackendInfo:
        return BackendInfo("scripted", "scripted", None, self.max_parallel, True, "latency", 10_000, 100)

    async def execute(self, prompt: Prompt) -> Reply:
        key = prompt.parts[-1]
        self.waiting[key] = released = anyio.Event()
        self._tell()
        try:
            await released.wait()
        finally:
            self.waiting.pop(key)
            self._tell()
        if key in self.answers:
            raise self.answers.pop(key)
        return Reply(f"result of {key}", self.usage.get(key, TokenUsage(100, 10, 0, 0, 0)))

    def _tell(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()

    async def aclose(self) -> None:
        """Nothing is held."""


@dataclass
class Driven:
    """What a test drives, and the clock by which it happens."""

    swarm: Swarmed
    clock: HandClock
    backend: HeldBackend
    begun_ns: int

    async def under_way(self, *keys: str) -> None:
        """Wait until exactly the calls of these tasks are under way."""
        with anyio.fail_after(20):
            while set(self.backend.waiting) != set(keys):
                await self.backend.changed.wait()

    async def at(self, second: float, *keys: str, failing: Exception | None = None) -> None:
        """Move the clock to so many seconds after the beginning, and let the calls of `keys` end one after another."""
        self.clock.ns = self.begun_ns + round(second * NS_PER_S)
        self.swarm.scheduler.look()
        for key in keys:
            if failing is not None:
                self.backend.answers[key] = failing
            ended = await self._ended()
            self.backend.waiting[key].set()
            with anyio.fail_after(20):
                while True:
                    change = self.swarm.scheduler.next_change()
                    if await self._ended() > ended:
                        break
                    await change.wait()

    async def _ended(self) -> int:
        (row,) = await self.swarm.rows("SELECT COUNT(*) AS n FROM attempt WHERE committed_ns IS NOT NULL")
        return int(row["n"])

    async def finished(self, run_id: str) -> str:
        with anyio.fail_after(20):
            return (await self.swarm.runs.wait(run_id, None)).status

    async def start(self, *plan: NewTask, kind: RunKind = RunKind.BATCH, shape: Shape | None = None) -> str:
        swarm, _ = await self.swarm.swarms.find_or_make(None)
        new = NewRun(kind, "the work", (), None, CHOICE, shape, None)
        return await self.swarm.runs.start(new, plan, swarm, [task.role for task in plan])

    async def report(self, **given: Any) -> Report:
        return await reported(self.swarm.database, "test", **given)


@asynccontextmanager
async def driven(
    folder: Path, clock: HandClock | None = None, backend: HeldBackend | None = None, begun_ns: int | None = None
) -> AsyncIterator[Driven]:
    clock, backend = clock or HandClock(), backend or HeldBackend()
    async with swarmed(folder, backend, clock=clock, retry=RETRY) as swarm:
        yield Driven(swarm, clock, backend, clock.ns if begun_ns is None else begun_ns)

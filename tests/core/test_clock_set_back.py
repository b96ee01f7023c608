"""The wall clock is set back while a run is under way: nothing ends before it began, every task is counted, and a pause
before another attempt does not last as long as the clock was set back."""

from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.lowlevel

from swarmtally.core.bookkeeping import Bookkeeper
from swarmtally.core.ports import BackendInfo, Prompt, Reply
from swarmtally.domain.clock import NS_PER_S, SystemClock
from swarmtally.domain.errors import BackendFailure
from swarmtally.domain.retention import Retention
from swarmtally.domain.retry import RetryPolicy
from swarmtally.domain.usage import TokenUsage
from tests.core.harness import swarmed, task


@dataclass
class SetBack(SystemClock):
    """The machine's clocks, the wall clock moved by so much."""

    moved_ns: int = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.moved_ns


@dataclass
class SettingBack:
    """A backend during whose second call somebody sets the clock back by ten minutes."""

    clock: SetBack
    asked: list[str] = field(default_factory=list)

    @property
    def info(self) -> BackendInfo:
        return BackendInfo("scripted", "scripted", None, 1, True, "latency", 10_000, 100)

    async def execute(self, prompt: Prompt) -> Reply:
        self.asked.append(prompt.parts[-1])
        if len(self.asked) == 2:
            self.clock.moved_ns = -600 * NS_PER_S
        return Reply("done", TokenUsage(1, 1, 0, 0, 0))

    async def aclose(self) -> None:
        """Nothing is held."""


async def test_nothing_ends_before_it_began_and_every_task_is_counted(tmp_path: Path) -> None:
    clock = SetBack()
    async with swarmed(tmp_path, SettingBack(clock), clock=clock) as swarm:
        await swarm.init()
        await swarm.run(task("a"), task("b", "a"), task("c", "b"))
        await Bookkeeper(swarm.database, clock, Retention()).measure_ended()
        early = await swarm.rows("SELECT COUNT(*) AS n FROM attempt WHERE committed_ns < claimed_ns")
        assert early[0]["n"] == 0
        (run,) = await swarm.rows("SELECT * FROM run_measure")
        assert run["succeeded"] == run["results"] == 3
        assert run["makespan_ns"] >= run["critical_path_ns"] > 0
        assert run["busy_ns"] >= 0
        (kept,) = await swarm.rows("SELECT finished_ns >= started_ns AS ordered FROM run")
        assert kept["ordered"]


class FailingFirst(SettingBack):
    """Its first call fails."""

    async def execute(self, prompt: Prompt) -> Reply:
        self.asked.append(prompt.parts[-1])
        if len(self.asked) == 1:
            raise BackendFailure("overloaded", transient=True)
        return Reply("done", TokenUsage(1, 1, 0, 0, 0))


async def test_a_task_that_waits_for_its_next_attempt_does_not_wait_for_the_clock(tmp_path: Path) -> None:
    clock = SetBack()
    backend = FailingFirst(clock)
    async with swarmed(tmp_path, backend, clock=clock, retry=RetryPolicy(base_s=0.5)) as swarm:
        run_id = await swarm.start(task("a"))
        with anyio.fail_after(10):
            while not await swarm.rows("SELECT 1 FROM task WHERE not_before_ns > 0"):
                await anyio.lowlevel.checkpoint()
            clock.moved_ns = -3_600 * NS_PER_S
            assert (await swarm.runs.wait(run_id, None)).status == "succeeded"
    assert len(backend.asked) == 2

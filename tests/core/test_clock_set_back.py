"""The wall clock is set back while a run is under way: nothing ends before it began, and every task is counted."""

from dataclasses import dataclass, field
from pathlib import Path

from swarmtally.core.bookkeeping import Bookkeeper
from swarmtally.core.ports import BackendInfo, Prompt, Reply
from swarmtally.domain.clock import NS_PER_S, SystemClock
from swarmtally.domain.retention import Retention
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

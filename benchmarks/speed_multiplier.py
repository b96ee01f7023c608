"""The speed multiplier that is reported, beside a real sequential run of the same work: on calls that wait (latency),
on calls that share a machine (compute), and on the embedded model. Parallelism stands beside it: it is no speed-up."""

import asyncio
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import anyio

import swarmtally
from swarmtally import App, BackendInfo, Prompt, Reply, RunKind, SparcRequest, TokenUsage
from swarmtally.analysis import PerformanceRequest
from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.insight.figures import Figures

MODES = ("architect", "coder", "tester", "documenter")
AT_ONCE = 4


@dataclass
class Waiting:
    """Calls that wait beside each other, as those to a provider do."""

    bound = "latency"
    speed: float = 1.0

    @property
    def info(self) -> BackendInfo:
        return BackendInfo("stub", self.bound, None, AT_ONCE, True, self.bound, 10_000, 100)  # type: ignore[arg-type]

    async def execute(self, prompt: Prompt) -> Reply:
        read, written = len(prompt.text) // 4, 20 + len(prompt.parts[-1]) % 60
        await self.work((0.1 + read * 1e-4 + written * 2.5e-3) * self.speed)
        return Reply("word " * written, TokenUsage(read, written, 0, 0, 0))

    async def work(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    async def aclose(self) -> None:
        """Nothing is held."""


@dataclass
class Sharing(Waiting):
    """Calls that share one processor: k at once take k times as long each (processor sharing)."""

    bound = "compute"
    left: dict[asyncio.Future[None], float] = field(default_factory=dict)
    seen: float = 0.0
    timer: asyncio.TimerHandle | None = None

    async def work(self, seconds: float) -> None:
        done = asyncio.get_running_loop().create_future()
        self._go_on()
        self.left[done] = seconds
        self._plan()
        try:
            await done
        finally:
            self.left.pop(done, None)

    def _go_on(self) -> None:
        now = time.monotonic()
        share = (now - self.seen) / max(1, len(self.left))
        self.seen = now
        for each in list(self.left):
            self.left[each] -= share
            if self.left[each] <= 1e-6 and not each.done():
                each.set_result(None)
                del self.left[each]

    def _plan(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if self.left:
            wait = max(0.0, min(self.left.values())) * len(self.left)
            self.timer = asyncio.get_running_loop().call_later(wait, self._tick)

    def _tick(self) -> None:
        self._go_on()
        self._plan()


def run(smoke: bool) -> list[str]:
    speed = 0.5 if smoke else 2.0
    lines = [
        anyio.run(_compare, "calls that wait", Waiting(speed=speed), 2 if smoke else 8, 9 if smoke else 24),
        anyio.run(_compare, "calls that share", Sharing(speed=speed), 2 if smoke else 8, 9 if smoke else 24),
    ]
    if not smoke:
        lines.append(anyio.run(_compare, "embedded model", None, 3, 16))
    return lines


async def _compare(title: str, backend: Waiting | None, tasks: int, lone: int) -> str:
    model = "stub" if backend else "local"
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder, "swarm.db")
        backends = {"stub": backend} if backend else {}
        async with swarmtally.open(db=str(database), project="p", model=model, backends=backends) as app:
            calibration = await app.calibrate(lone)
            await (await app.runs()).wait(calibration.run_id, None)
            figures = await _take(app, tasks, AT_ONCE)
            one_by_one = await _take(app, tasks, 1)
    reported = figures["speed_multiplier"]
    if reported.value is None or reported.interval is None:
        return f"{title}: none reported: {reported.reason}"
    makespan = figures["makespan_s"].value or 0
    # What the calls took one after another, and what the whole run did, with our own time between them.
    calls, whole = ((one_by_one[name].value or 0) / makespan for name in ("work_s", "makespan_s"))
    low, high = reported.interval
    inside = "inside" if low <= calls <= high else f"off by {abs(reported.value / calls - 1):.1%}"
    parallelism = figures["parallelism"].value or 0
    return (
        f"{title:16}: reported {reported.value:5.2f} ({low:.2f} to {high:.2f}); really {calls:5.2f}"
        f" by the calls: {inside}; {whole:.2f} by the run;"
        f" ratio {reported.value / calls:.2f}; parallelism {parallelism:.2f}"
    )


async def _take(app: App, tasks: int, agents: int) -> Figures:
    """Do the same work with so many agents; the figures of its swarm."""
    swarm = (await app.swarms.init(Topology.STAR, Strategy.BALANCED, agents, None, None)).swarm
    texts = tuple(f"Feature {number}: {'say more ' * (number % 5 * 20)}" for number in range(tasks))
    started = await app.start(SparcRequest(RunKind.BATCH, MODES, texts, swarm_id=swarm.swarm_id))
    progress = await (await app.runs()).wait(started.run_id, None)
    assert progress.status == "succeeded", progress.run.reason
    found = await app.analysis.performance(PerformanceRequest("all", swarm_id=swarm.swarm_id))
    return found.report.figures

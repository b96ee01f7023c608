"""What learning gains on the embedded model: two of it beside each other, each on a processor of its own (one takes one
call at a time, and then no order is shorter than another), short tasks of different length, runs in turn with a trained
model and in a project that has no history."""

import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import anyio
import anyio.to_thread

import swarmtally
from swarmtally import App, Backend, BackendInfo, Prompt, Reply, RunKind, SparcRequest
from swarmtally.analysis import PerformanceRequest
from swarmtally.backends.choice import choose, open_backend
from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.settings import data_dir
from swarmtally.training import DEFAULT_MODEL, TrainRequest

PLACES = 2

MODES = ("coder", "documenter")

TEXTS = 8
"""Of a run; each is done in both modes."""

HISTORY = 24
"""Runs that are learned from."""

WITHIN_S = 900
"""No further pair of runs is begun after so long; there is one at least."""


@dataclass
class Beside:
    """Several backends of one call at a time, as one."""

    free: list[Backend]
    info: BackendInfo

    async def execute(self, prompt: Prompt) -> Reply:
        backend = self.free.pop()
        try:
            return await backend.execute(prompt)
        finally:
            self.free.append(backend)

    async def aclose(self) -> None:
        """Those who opened them close them."""


def embedded() -> list[str]:
    return anyio.run(_compare, WITHIN_S)


async def _compare(within_s: float) -> list[str]:
    begun = time.monotonic()
    pairs: list[tuple[tuple[float, int], tuple[float, int]]] = []
    with tempfile.TemporaryDirectory() as folder:
        async with _beside() as backend:
            for number in range(HISTORY):
                async with _opened(folder, "learned", backend) as app:
                    await _take(app, number)
            async with _opened(folder, "learned", backend) as app:
                trained = await app.training().train(TrainRequest(DEFAULT_MODEL, "prediction"))
            learned = next(each for each in trained.sections if each.source == "own")
            while not pairs or time.monotonic() - begun < within_s:
                number = HISTORY + len(pairs)
                took = {}
                # Who goes first changes: what the machine does besides is nobody's gain.
                order = ("learned", f"bare {number}") if number % 2 else (f"bare {number}", "learned")
                for project in order:
                    async with _opened(folder, project, backend) as app:
                        took[project == "learned"] = await _take(app, number)
                pairs.append((took[True], took[False]))
    ratios = [learned_s / bare_s for (learned_s, _), (bare_s, _) in pairs]
    tokens = [learned_tokens / bare_tokens for (_, learned_tokens), (_, bare_tokens) in pairs]
    skill = getattr(learned.before, "skill", None)
    told = "none" if skill is None else f"{skill.value:.2f} ({skill.low:.2f} to {skill.high:.2f})"
    used = f"tokens {statistics.mean(tokens):.3f}"
    spread = f"{statistics.mean(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    return [
        f"embedded model, {PLACES} calls at once, {learned.rows} tasks learned from, skill {told}",
        f"with learning / without, {len(pairs)} pairs of runs: makespan mean {spread}, {used}",
    ]


@asynccontextmanager
async def _beside() -> AsyncIterator[Beside]:
    folder = await anyio.to_thread.run_sync(data_dir)
    choice = await anyio.to_thread.run_sync(
        lambda: choose(
            "shell", model="local", base_url=None, max_output_tokens=None, environ=os.environ, data_dir=folder
        )
    )
    backends = []
    for place in range(PLACES):
        with _on_processor(place):
            backends.append(await open_backend(choice, environ=os.environ, data_dir=folder))
    try:
        yield Beside(list(backends), replace(backends[0].info, name="two", max_parallel=PLACES))
    finally:
        for backend in backends:
            await backend.aclose()


@contextmanager
def _on_processor(place: int) -> Iterator[None]:
    """Threads that begin in here stay on one processor, where there are several: two models that share all of them take
    as long as one after the other, whatever the order."""
    processors = sorted(os.sched_getaffinity(0))
    threads = [int(entry.name) for entry in Path("/proc/self/task").iterdir()]
    for thread in threads:
        os.sched_setaffinity(thread, {processors[place % len(processors)]})
    try:
        yield
    finally:
        for thread in threads:
            os.sched_setaffinity(thread, processors)


@asynccontextmanager
async def _opened(folder: str, project: str, backend: Beside) -> AsyncIterator[App]:
    path = str(Path(folder, "swarm.db"))
    async with swarmtally.open(db=path, project=project, model="two", backends={"two": backend}) as app:
        yield app


async def _take(app: App, number: int) -> tuple[float, int]:
    """The run of that number: its makespan in seconds, and its tokens."""
    draw = Random(number)
    texts = tuple(
        f"Say what this list is about, run {number}: " + "item " * round(min(350, draw.lognormvariate(3.8, 1.1)))
        for _ in range(TEXTS)
    )
    swarm = (await app.swarms.init(Topology.STAR, Strategy.BALANCED, PLACES, None, None)).swarm
    started = await app.start(SparcRequest(RunKind.BATCH, MODES, texts, swarm_id=swarm.swarm_id))
    progress = await (await app.runs()).wait(started.run_id, None)
    assert progress.status == "succeeded", progress.run.reason
    found = await app.analysis.performance(PerformanceRequest("all", swarm_id=swarm.swarm_id))
    row = await app.database.read(
        lambda tx: tx.row(
            "SELECT SUM(input_tokens + output_tokens) AS tokens FROM usage WHERE run_id = :run_id",
            {"run_id": started.run_id},
        )
    )
    assert row is not None
    return found.report.figures["makespan_s"].value or 0.0, int(row["tokens"] or 0)

"""What learning from history gains: makespans of new runs when nothing is expected of their tasks, what finished ones
took, what the model says, or the truth. `python -m benchmarks.learning --embedded` does it on the embedded model."""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from pathlib import Path
from random import Random

import anyio
import anyio.to_thread

from benchmarks.durable_tasks import CHOICE
from benchmarks.schedule_quality import VIRTUAL_NS, MovedBackend, Stage, listed, plain
from benchmarks.task_graphs import AGENTS, FAMILIES, Instance
from swarmtally.domain import ordering
from swarmtally.domain.run import NewRun, RunKind
from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.domain.task import NewTask
from swarmtally.domain.timeframe import Timeframe
from swarmtally.expectations import Expectations
from swarmtally.learning.predict import Predictor
from swarmtally.learning.sections import learn, to_document
from swarmtally.predicting import Predicting
from swarmtally.store import models
from swarmtally.store.models import StoredModel
from swarmtally.training import DEFAULT_MODEL
from swarmtally.training_rows import training_rows

LIMIT = 1.02
"""Makespan with learning / without, at most: the mean over a world's new runs."""

MODES = {"architect": 1.2, "coder": 1.0, "tester": 0.3, "documenter": -0.4}
"""What a mode adds to the logarithm of the seconds."""

KINDS = ("layered", "fork-join", "independent")

NOTHING, MEDIANS, MODEL, TRUTH = "nothing", "medians", "model", "truth"

EVER = Timeframe(0, 2**62)


@dataclass(frozen=True)
class Work:
    """A task's mode, the words of its text, the number of its run, and how far from the first run (0) to the first one
    that is not history (1) that is."""

    mode: str
    words: int
    run: int
    age: float


Law = Callable[[Work], float]
"""The logarithm of seconds, without noise."""


def by_mode(work: Work) -> float:
    return 2.0 + MODES[work.mode]


def by_text(work: Work) -> float:
    return 2.0 + 0.9 * log(work.words / 40)


def by_both(work: Work) -> float:
    return by_mode(work) + 0.7 * log(work.words / 40)


def meeting(work: Work) -> float:
    """Long texts cost coders and architects only."""
    return by_mode(work) + (1.0 if work.mode in ("coder", "architect") else 0.0) * log(work.words / 40)


def turning(work: Work) -> float:
    """From half of the history on, what took long goes fast and the other way round."""
    return by_both(work) if work.age < 0.5 else 4.0 - 0.7 * log(work.words / 40) - MODES[work.mode]


def turned(work: Work) -> float:
    """The same after the last run that history has."""
    return by_both(work) if work.age < 1 else 4.0 - 0.7 * log(work.words / 40) - MODES[work.mode]


@dataclass(frozen=True)
class World:
    """How long tasks take, how much of that is chance, and how many of them are history."""

    name: str
    law: Law
    noise: float = 0.2
    """Standard deviation of the logarithm."""
    rows: int = 400
    luck: float = 0.0
    """The same of what all tasks of a run share."""
    hangs: float = 0.0
    """The share of tasks that take ten times as long."""
    foreseeable: bool = True
    """False where the future is not like any of the past, so that nobody could know better."""


WORLDS = (
    World("mode and text", by_both),
    World("mode and text, noise of 50 %", by_both, noise=0.5),
    World("text alone", by_text),
    World("mode alone", by_mode),
    World("text matters to some modes", meeting, rows=1_200),
    World("runs share their luck", by_both, luck=0.5),
    World("one in 30 hangs", by_both, hangs=1 / 30),
    World("nothing to be learned", lambda work: 2.0, noise=0.8),
    World("nothing to be learned, 60 rows", lambda work: 2.0, noise=0.8, rows=60),
    World("35 rows", by_both, rows=35),
    World("70 rows", by_both, rows=70),
    World("150 rows", by_both, rows=150),
    World("slower and slower", lambda work: by_both(work) + 1.2 * work.age),
    World("the law turns around halfway", turning),
    World("the law turns around afterwards", turned, foreseeable=False),
)


@dataclass(frozen=True)
class Made:
    """A run: what it is, truly, and as it is asked for."""

    instance: Instance
    plan: list[NewTask]


@dataclass(frozen=True)
class Compared:
    """One new run's makespans, in virtual nanoseconds, by what was expected."""

    agents: int
    makespans: dict[str, int]
    asked: float
    """The share of its tasks of which the model said something."""

    def ratio(self, expecting: str) -> float:
        return self.makespans[expecting] / self.makespans[NOTHING]


@dataclass(frozen=True)
class Found:
    """A world's new runs, and how many rows its model was trained on, by which kind of model."""

    world: World
    runs: list[Compared]
    rows: int
    kind: str
    executed: int
    """Makespans of the real scheduler that were compared with what the rule comes to."""


def run(smoke: bool) -> list[str]:
    worlds = [replace(WORLDS[at], rows=100) for at in (0, 7)] if smoke else list(WORLDS)
    lines = ["makespan / that with nothing expected: mean ± standard error (worst); of how many tasks the model spoke"]
    found = []
    for world in worlds:
        with tempfile.TemporaryDirectory() as folder:
            found.append(anyio.run(_world, Path(folder, "w.db"), world, 6 if smoke else 60, 1 if smoke else 3))
        lines.append(_told(found[-1]))
    held = [one for one in found if one.world.foreseeable]
    worst = max(held, key=lambda one: _mean(one.runs, MODEL))
    above = sum(_mean(one.runs, MODEL) > LIMIT for one in held)
    lines.append(
        f"limit: mean with the model at most {LIMIT}: {'within' if not above else f'ABOVE in {above} worlds'}; highest "
        f"{_mean(worst.runs, MODEL):.3f} ({worst.world.name}); n = {sum(len(one.runs) for one in held)} runs"
    )
    lines.append(f"{sum(one.executed for one in found)} makespans of the scheduler were what its rule comes to")
    return lines


def _told(found: Found) -> str:
    def spread(expecting: str) -> str:
        ratios = [one.ratio(expecting) for one in found.runs]
        error = statistics.stdev(ratios) / len(ratios) ** 0.5
        return f"{expecting} {statistics.mean(ratios):.3f} ± {error:.3f} ({max(ratios):.2f})"

    asked = statistics.mean(one.asked for one in found.runs)
    verdict = "" if found.world.foreseeable else "; not held to the limit"
    if found.world.foreseeable and _mean(found.runs, MODEL) > LIMIT:
        verdict = f"; ABOVE {LIMIT}"
    told = ", ".join(spread(expecting) for expecting in (MEDIANS, MODEL, TRUTH))
    return f"{found.world.name:32} {found.rows:5} rows: {told}; {found.kind} of {asked:.0%}{verdict}"


def _mean(runs: Sequence[Compared], expecting: str) -> float:
    return statistics.mean(one.ratio(expecting) for one in runs)


async def _world(path: Path, world: World, count: int, executed: int) -> Found:
    draw = Random(world.name)
    async with Stage.opened(path) as stage:
        rows, past = 0, 0
        while rows < world.rows:
            past += 1
            rows += len(_made(Random(f"{world.name} {past}"), world, past, 0.0).plan)
        for number in range(1, past + 1):
            one = _made(Random(f"{world.name} {number}"), world, number, (number - 1) / past)
            await stage.makespan(one.instance, one.plan)
            await _true_durations(stage, one.instance)
        learned, kind = await _trained(stage)
        new = [_made(draw, world, past + number, 1.0) for number in range(1, count + 1)]
        plans = [await _expected(stage, one) for one in new]
        runs = [_compared(one, by) for one, by in zip(new, plans, strict=True)]
        for one, by, told in list(zip(new, plans, runs, strict=True))[:executed]:
            for expecting, plan in by.items():
                took = await stage.makespan(one.instance, plan)
                promised = told.makespans[expecting]
                assert took == promised, f"{world.name}, {expecting}: took {took} ns, the rule comes to {promised}"
    return Found(world, runs, learned, kind, executed * len(plans[0]))


def _made(draw: Random, world: World, run_number: int, age: float) -> Made:
    family = draw.choice(KINDS)
    before: list[list[int]] = [[] for _ in range(draw.randint(20, 60))]
    if family != "independent":
        before = FAMILIES[family](draw)
    luck = Random(f"{world.name} luck {run_number}").gauss(0, world.luck)
    duration, plan = [], []
    for task, needed in enumerate(before):
        work = Work(draw.choice(list(MODES)), round(exp(draw.gauss(3.7, 0.8))) + 1, run_number, age)
        seconds = exp(world.law(work) + luck + draw.gauss(0, world.noise))
        seconds *= 10 if draw.random() < world.hangs else 1
        duration.append(max(1, round(1_000 * seconds)))
        key = f"t{task}"
        text = f"{key} {'word ' * work.words}"
        plan.append(NewTask(key, "work", work.mode, "coder", text, tuple(f"t{other}" for other in needed)))
    instance = Instance(f"{family} {run_number}", duration, before, draw.choice(AGENTS))
    return Made(instance, plan)


async def _true_durations(stage: Stage, done: Instance) -> None:
    """Have the newest run's tasks recorded as having taken what they took: where the clock jumps over the end of one
    call to that of the next, it tells the first one late."""
    took = [{"key": f"t{task}", "ns": duration * VIRTUAL_NS} for task, duration in enumerate(done.duration)]
    sql = (
        "UPDATE attempt SET exec_ns = :ns WHERE task_id = (SELECT task_id FROM task WHERE key = :key"
        " AND run_id = (SELECT run_id FROM run ORDER BY created_ns DESC LIMIT 1))"
    )
    await stage.database.write(lambda tx: tx.many(sql, took))


async def _trained(stage: Stage) -> tuple[int, str]:
    """Train and keep the default model on what was done; returns its rows, and what it is."""
    rows = await training_rows(stage.database, "p", EVER)
    sections = await anyio.to_thread.run_sync(learn, rows, "prediction", 0, lambda section: None)
    model = StoredModel(DEFAULT_MODEL, 0, 1, "prediction", 0, "", json.dumps(to_document(sections)))
    await stage.database.write(lambda tx: models.keep(tx, "p", model))
    (own,) = [section for section in sections if section.source == "own"]
    learned = own.before or own.targets["duration_s"]
    return own.rows, learned.kind if isinstance(learned, Predictor) else "no model"


class _Untaught(Predicting):
    """Has no model."""

    async def model(self) -> tuple[()]:
        return ()


async def _nothing_to_close() -> None:
    """Runs need not be measured for tasks to be known."""


async def _expected(stage: Stage, made: Made) -> dict[str, list[NewTask]]:
    """The run's plan by what is expected of its tasks, before any of them starts."""
    assert isinstance(stage.backend, MovedBackend)
    stage.backend.prepare(made.instance)
    swarm = (await stage.swarms.init(Topology.MESH, Strategy.BALANCED, made.instance.agents, None, None)).swarm
    new = NewRun(RunKind.BATCH, "t", (), None, CHOICE)
    clock = stage.database.clock
    found = {NOTHING: made.plan}
    for name, kind in ((MEDIANS, _Untaught), (MODEL, Predicting)):
        expectations = Expectations(stage.database, clock, "p", kind(stage.database, clock, "p", _nothing_to_close))
        found[name] = list(await expectations.of_run(made.plan, new, swarm, stage.backend.info))
    true = zip(made.plan, made.instance.duration, strict=True)
    found[TRUTH] = [replace(task, expected_ns=duration * VIRTUAL_NS) for task, duration in true]
    return found


def _compared(made: Made, by: dict[str, list[NewTask]]) -> Compared:
    makespans = {expecting: _makespan(made.instance, plan) for expecting, plan in by.items()}
    pairs = zip(by[MEDIANS], by[MODEL], strict=True)
    asked = sum(one.expected_ns != other.expected_ns for one, other in pairs) / len(made.plan)
    return Compared(made.instance.agents, makespans, asked)


def _makespan(given: Instance, plan: Sequence[NewTask]) -> int:
    """As the scheduler does it in that order, with the true durations."""
    placed = ordering.ordered(plan, given.agents)
    if not any(task.place for task in placed):
        return plain(given)
    return listed(given, sorted(range(len(placed)), key=lambda task: placed[task].place))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("--embedded", action="store_true")
    options = parser.parse_args()
    if options.embedded:
        from benchmarks.learning_embedded import embedded

        print("\n".join(embedded()))
    else:
        print("\n".join(run(False)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

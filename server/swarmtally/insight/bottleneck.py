"""What limited the runs of a timeframe: each cause is taken away in a replay, and ranked by what that gains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psutil

from swarmtally.core.worker import Step, in_thread
from swarmtally.domain.timeframe import Timeframe
from swarmtally.insight import causes, sampled
from swarmtally.insight.commands import Place
from swarmtally.insight.recording import Scene, Unreplayable, scenes
from swarmtally.insight.replay import replay
from swarmtally.insight.sampled import Figure, Metric
from swarmtally.insight.study import Cause, Component, Heed, Study
from swarmtally.insight.waits import with_waits
from swarmtally.store import history
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from swarmtally.store.history import History, Sample

MOST_RUNS = 20
"""The most runs one analysis replays."""

MOST_TASKS = 2_000
"""The most tasks of several runs it replays; a single run may have more."""

UNRELIABLE = 0.15
"""From this replay error on, what-ifs are not to be relied on."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an analysis is about."""

    project: str
    timeframe: Timeframe
    swarm_id: str | None = None
    component: Component | None = None
    """None: all."""
    metrics: tuple[Metric, ...] = ()


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found; times in ns. `causes` are ranked by what they cost, those of unknown cost left out."""

    runs: tuple[str, ...]
    total_runs: int
    left_out: tuple[Unreplayable, ...]
    tasks: int
    makespan_ns: int | None = None
    replayed_ns: int | None = None
    replay_error: float | None = None
    causes: tuple[Cause, ...] = ()
    ruled_out: tuple[str, ...] = ()
    """Causes that cost less than is worth naming."""
    figures: Mapping[Metric, Figure] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why something is unknown."""


async def analyze(database: Database, asked: Asked) -> Analysis:
    """Find what limited the runs."""

    async def unit(tx: Connection) -> tuple[History, list[Sample]]:
        found = await history.of_runs(tx, asked.project, asked.swarm_id, asked.timeframe, MOST_RUNS, MOST_TASKS)
        # Runs that ended in the timeframe may have begun before it.
        begun_ns = [recorded.run.started_ns or asked.timeframe.since_ns for recorded in found.runs]
        reach = asked.timeframe._replace(since_ns=min([asked.timeframe.since_ns, *begun_ns]))
        return found, await history.samples(tx, asked.project, reach)

    found, samples = await database.read(unit)
    # Hundreds of replays: not on the event loop.
    machine_bytes = psutil.virtual_memory().total
    return await in_thread(
        lambda step: examine(found, samples, asked, machine_bytes, database.path, _replays_told(step))
    )


def _replays_told(step: Step) -> Heed:
    replays = count()

    def heed() -> None:
        done = next(replays)
        step(done, None, f"{done} replays done")

    return heed


def examine(
    found: History,
    samples: Sequence[Sample],
    asked: Asked,
    machine_bytes: int | None,
    path: Path,
    heed: Heed,
) -> Analysis:
    """The analysis of what was recorded; `machine_bytes` is the memory that the processes' is held against, `path` the
    database that commands name, `heed` what is called before each replay."""
    figures = sampled.figures([each for each in samples if each.at_ns >= asked.timeframe.since_ns], asked.metrics)
    made, refused = scenes(found, asked.timeframe.until_ns)
    reasons = {metric.value: figure.reason for metric, figure in figures.items() if figure.reason}
    if not made:
        why = "no run of the timeframe had begun" if not found.total else "no run of the timeframe can be replayed"
        reasons["causes"] = f"{why}; see left_out" if refused else why
        return Analysis((), found.total, tuple(refused), 0, figures=figures, reasons=reasons)
    during = [_during(scene, samples) for scene in made]
    made = [with_waits(scene, each) for scene, each in zip(made, during, strict=True)]
    study = Study(
        tuple(made),
        tuple(replay(scene.recording) for scene in made),
        # One may have been taken while several scenes lasted.
        tuple(dict.fromkeys(sample for each in during for sample in each)),
        found.memberships,
        machine_bytes,
        Place(asked.project, path),
        heed,
    )
    verdict = causes.find(study, asked.component)
    error = _replay_error(study)
    if error >= UNRELIABLE:
        reasons["what_if"] = (
            f"the replay of what was recorded is {error:.0%} off, so what-ifs are unreliable (limit {UNRELIABLE:.0%})"
        )
    return Analysis(
        runs=tuple(recorded.run.run_id for scene in made for recorded in scene.runs),
        total_runs=found.total,
        left_out=tuple(refused),
        tasks=sum(len(scene.recording.jobs) for scene in made),
        makespan_ns=sum(scene.makespan_ns for scene in made),
        replayed_ns=study.base_ns,
        replay_error=error,
        causes=verdict.causes,
        ruled_out=verdict.ruled_out,
        figures=figures,
        reasons={**reasons, **verdict.reasons},
    )


def _during(scene: Scene, samples: Sequence[Sample]) -> list[Sample]:
    """The samples of the processes that executed something while the scene lasted."""
    end_ns = scene.begun_ns + scene.makespan_ns
    return [each for each in samples if each.at_ns >= scene.begun_ns and each.at_ns - each.interval_ns <= end_ns]


def _replay_error(study: Study) -> float:
    """How far the unchanged replays are from what was recorded, as a share of that."""
    recorded = sum(scene.makespan_ns for scene in study.scenes)
    off = sum(abs(base.makespan_ns - scene.makespan_ns) for base, scene in zip(study.bases, study.scenes, strict=True))
    return off / max(recorded, 1)

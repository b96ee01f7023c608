"""The replay does what the real scheduler does: the same rows, and the same prediction for another configuration."""

import random
from pathlib import Path

import pytest

from swarmtally.core import scheduler
from swarmtally.domain.swarm import Strategy
from swarmtally.domain.task import NewTask
from swarmtally.domain.timeframe import Timeframe
from swarmtally.domain.topology import Shape
from swarmtally.insight.bottleneck import Asked, analyze
from swarmtally.insight.recording import Scene, scenes
from swarmtally.insight.relaxing import with_agents_of, with_max_agents, with_slots
from swarmtally.insight.replay import replay
from swarmtally.store import history
from tests.core.harness import task
from tests.insight.conducted import Conducted, conducted

ROLES = ("coder", "tester", "reviewer")


def random_plan(draw: random.Random) -> tuple[list[NewTask], dict[str, float]]:
    """Tasks that need some made before them. Durations are powers of two apart, so that no two sums are alike."""
    plan: list[NewTask] = []
    for number in range(12):
        needs = draw.sample([made.key for made in plan], min(len(plan), draw.choice([0, 0, 1, 2])))
        hub = draw.random() < 0.1
        plan.append(task(f"t{number}", *needs, role=draw.choice(ROLES), priority=draw.choice([0, 0, 1]), hub=hub))
    sizes = [1 + 2.0**-number for number in range(len(plan))]
    draw.shuffle(sizes)
    return plan, {made.key: size for made, size in zip(plan, sizes, strict=True)}


async def recorded(swarm: Conducted) -> Scene:
    frame = Timeframe(0, swarm.clock.ns)
    found = await swarm.database.read(lambda tx: history.of_runs(tx, "test", None, frame, 20, 1_000))
    (scene,), refused = scenes(found, swarm.clock.ns)
    assert refused == []
    return scene


def ends(scene: Scene, ended_ns: dict[str, int]) -> dict[str, float]:
    return {job.task.key: ended_ns[job.task.task_id] / 1e9 for job in scene.recording.jobs}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else writes: without looks for others' writes every turn of the scheduler follows from what happened."""
    monkeypatch.setattr(scheduler, "WATCH_S", 3_600)


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 5, 20, 34])
async def test_replay_ends_each_task_when_the_scheduler_did_and_would(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    plan, seconds = random_plan(draw)
    strategy = draw.choice([Strategy.BALANCED, Strategy.SPECIALIZED, Strategy.ADAPTIVE])
    shape = draw.choice([None, None, Shape.SOLO])
    few = {"max_parallel": draw.choice([1, 2, 3, 8]), "max_agents": draw.choice([3, 4, 8])}
    many = {"max_parallel": draw.choice([1, 2, 4, 6]), "max_agents": draw.choice([3, 5, 12])}
    (tmp_path / "few").mkdir()
    (tmp_path / "many").mkdir()
    async with conducted(tmp_path / "few", seconds, strategy=strategy, **few) as swarm:
        first = await swarm.run(*plan, shape=shape)
        scene = await recorded(swarm)
    assert ends(scene, dict(replay(scene.recording).ended_ns)) == pytest.approx(first)
    changed = with_max_agents(with_slots(scene.recording, {0}, many["max_parallel"]), many["max_agents"])
    async with conducted(tmp_path / "many", seconds, strategy=strategy, **many) as swarm:
        second = await swarm.run(*plan, shape=shape)
    assert ends(scene, dict(replay(changed).ended_ns)) == pytest.approx(second)


async def test_the_suggested_role_gives_the_predicted_makespan(tmp_path: Path) -> None:
    plan = [task("code"), *(task(f"test{number}", role="tester") for number in range(6))]
    seconds = {made.key: 2.0 for made in plan}
    for folder in ("before", "after"):
        (tmp_path / folder).mkdir()
    limits = {"max_parallel": 8, "strategy": Strategy.SPECIALIZED}
    async with conducted(tmp_path / "before", seconds, max_agents=2, **limits) as swarm:
        await swarm.run(*plan)
        found = await analyze(swarm.database, Asked("test", Timeframe(0, swarm.clock.ns)))
        scene = await recorded(swarm)
    assert (found.makespan_ns, found.replay_error) == (found.replayed_ns, 0.0)
    cause = found.causes[0]
    assert cause.name == "role_shortage"
    assert cause.what_if is not None
    assert [found.makespan_ns, cause.lost_ns, cause.what_if.makespan_ns] == pytest.approx([12e9, 10e9, 2e9])
    assert cause.what_if.command == (
        f"swarmtally mcp swarm_scale --target-size 7 --type tester --swarm-id {scene.swarm.swarm_id}"
        f" --project test --db {swarm.database.path}"
    )
    assert replay(with_agents_of(scene.recording, "tester", 1)).makespan_ns == pytest.approx(6e9)
    async with conducted(tmp_path / "after", seconds, max_agents=2, **limits) as swarm:
        await swarm.swarms.spawn("coder", None, (), 1, None)
        await swarm.swarms.spawn("tester", None, (), 1, None)
        await swarm.swarms.scale(7, "tester", None)
        assert max((await swarm.run(*plan)).values()) == pytest.approx(2.0)

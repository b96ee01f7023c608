"""neural_patterns as its callers get it: over runs that were recorded and rows that were given."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import sqrt
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from swarmtally.app import App, open_app
from swarmtally.domain.clock import NS_PER_S, iso
from swarmtally.domain.errors import InvalidInput
from swarmtally.settings import Settings
from swarmtally.store import models
from swarmtally.store.connection import Connection
from swarmtally.store.models import GivenRow
from swarmtally_tools.patterns import LISTED, CurveView, PatternsView, neural_patterns
from tests.core.hosted import HandClock
from tests.insight.history import NOW_NS, History
from tests.learning.test_scalability import law

SIGMA, KAPPA = 0.05, 0.02


def recorded(sizes: tuple[int, ...] = (1, 2, 4, 8, 16), each: int = 7) -> History:
    """Runs of 16 tasks, by swarms of each size, whose makespan follows the law. Each has its tasks one after another:
    it does not matter here when which was done."""
    history = History()
    history.project("p")
    at_ns = NOW_NS - 7_200 * NS_PER_S
    for size in sizes:
        history.swarm(f"s_{size}", "p")
        for agent in range(size):
            history.agent(f"a_{size}_{agent}", f"s_{size}", 1, None)
    for number in range(each):
        for size in sizes:
            run_id = f"r_{size}_{number}"
            step_ns = round(NS_PER_S / law(size, SIGMA, KAPPA) * (1 + 0.01 * (number % 3 - 1)))
            history.run(run_id, "p", f"s_{size}", at_ns)
            for task in range(16):
                task_id, claimed_ns = f"t_{size}_{number}_{task}", at_ns + task * step_ns
                history.task(task_id, run_id, "succeeded")
                times = {"committed_ns": claimed_ns + step_ns, "exec_ns": step_ns, "final": 1}
                history.attempt(task_id, 1, "succeeded", claimed_ns, **times)
            history.ended[run_id] = ("succeeded", at_ns + 16 * step_ns)
            at_ns += 20 * NS_PER_S
    return history


@asynccontextmanager
async def app_over(folder: Path, past: History | None = None) -> AsyncIterator[App]:
    """An app on a database with this past, at the moment it ended."""
    path = folder / "swarm.db"
    settings = await anyio.to_thread.run_sync(
        lambda: Settings.gather("mcp", db=str(path), project="p", environ={}, cwd=folder)
    )
    async with open_app(settings, HandClock(NOW_NS)) as app:
        if past is not None:
            await anyio.to_thread.run_sync(past.write, path)
        yield app


async def found(app: App, **given: Any) -> PatternsView:
    view = await neural_patterns.call(app, given)
    assert isinstance(view, PatternsView)
    return view


def given_row(line: int, duration_s: float, agents: int, **more: Any) -> GivenRow:
    known: dict[str, Any] = dict.fromkeys(GivenRow._fields)
    return GivenRow(
        **{**known, "line": line, "level": "task", "text": "", "duration_s": duration_s, "agents": agents, **more}
    )


async def give(app: App, rows: list[GivenRow], model_id: str = "m", batch: str = "b") -> None:
    async def unit(tx: Connection) -> bool:
        return await models.give(tx, "p", model_id, batch, rows, NOW_NS - 1)

    assert await app.database.write(unit)


def of(view: PatternsView, name: str) -> CurveView:
    (curve,) = (curve for curve in view.curves if curve.of == name)
    return curve


async def test_a_fresh_database_gets_the_runs_to_make(tmp_path: Path) -> None:
    async with app_over(tmp_path) as app:
        view = await found(app)
        assert (view.status, view.effects, view.warning) == ("insufficient_data", [], None)
        assert of(view, "runs").runs_to_make[0] == "make at least 8 runs with 1 agent"
        assert {(gap.operation, gap.factor, tuple(gap.targets)) for gap in view.gaps} == {
            (operation, "all", ("duration_s", "tokens", "success")) for operation in ("task_execution", "run_execution")
        }
        assert all(gap.runs_to_make == ["make at least 30 more runs"] for gap in view.gaps)


async def test_recorded_runs_give_the_curve_they_followed(tmp_path: Path) -> None:
    async with app_over(tmp_path, recorded()) as app:
        view = await found(app, operation="parallel_execution", timeframe="24h")
        assert (view.status, view.gaps, view.effects) == ("ok", [], [])
        curve = of(view, "runs")
        assert curve.sigma is not None
        assert curve.kappa is not None
        assert curve.best_agents is not None
        assert curve.sigma.low <= SIGMA <= curve.sigma.high
        assert curve.kappa.low <= KAPPA <= curve.kappa.high
        assert curve.best_agents.low <= sqrt((1 - SIGMA) / KAPPA) <= curve.best_agents.high
        assert [(size.agents, size.runs) for size in curve.sizes] == [(1, 7), (2, 7), (4, 7), (8, 7), (16, 7)]
        assert curve.throughput_alone == pytest.approx(1, rel=0.05)
        assert view.warning is not None
        # What ended before is another timeframe, and what had not ended then did not count then.
        assert (await found(app, timeframe="60s")).status == "insufficient_data"
        early = await found(app, operation="parallel_execution", as_of=iso(NOW_NS - 7_000 * NS_PER_S))
        assert early.curves[0].rows < 35
        await give(app, [given_row(1, 5.0, 4)])
        assert (await found(app, operation="parallel_execution", timeframe="24h", as_of=view.as_of)).curves[0] == curve


async def test_a_swarm_that_only_ran_1_2_and_4_agents_is_told_to_try_8(tmp_path: Path) -> None:
    async with app_over(tmp_path, recorded((1, 2, 4), 10)) as app:
        view = await found(app, operation="parallel_execution")
        curve = of(view, "runs")
        assert (view.status, curve.best_agents, curve.sigma) == ("insufficient_data", None, None)
        assert curve.reason is not None
        assert curve.reason.startswith("at least 4; try 8: ")
        assert curve.runs_to_make == ["make at least 2 runs with 8 agents"]


async def test_effects_of_own_runs_and_tasks_are_told(tmp_path: Path) -> None:
    async with app_over(tmp_path, recorded()) as app:
        view = await found(app, operation="run_execution")
        (effect,) = (each for each in view.effects if each.factor == "agents")
        assert (effect.target, effect.source, effect.level, effect.against) == (
            "duration_s",
            "own",
            "doubled",
            "1 to 16",
        )
        assert effect.effect.high < 1, "more agents, shorter runs"
        assert {operation.operation: (operation.own, operation.ready) for operation in view.operations} == {
            "task_execution": (560, True),
            "run_execution": (35, True),
            "parallel_execution": (35, True),
        }
        topology = next(gap for gap in view.gaps if gap.factor == "topology")
        assert topology.runs_to_make == ["make at least 2 runs with topology hierarchical"]
        assert topology.targets == ["duration_s"]


async def test_given_rows_are_apart_and_count_once(tmp_path: Path) -> None:
    rows = [given_row(n, 10 / law(size, 0.3, 0.01), size) for n, size in enumerate([1, 2, 4, 8, 16, 32] * 6, 1)]
    async with app_over(tmp_path) as app:
        await give(app, rows)
        view = await found(app)
        before = await found(app, action="list", as_of=iso(NOW_NS - 2 * NS_PER_S))
        assert before.operations[0].given == 0, "they had not been given then"
        await give(app, rows, model_id="other")
        assert await found(app) == view, "the same rows given to another model say nothing more"
        curve = of(view, "given")
        assert curve.sigma is not None
        assert curve.sigma.value == pytest.approx(0.3, abs=0.01)
        assert (curve.rows, of(view, "runs").rows) == (36, 0)
        assert {effect.source for effect in view.effects} == {"given"}
        assert [(each.own, each.given) for each in view.operations] == [(0, 36), (0, 0), (0, 36)]


async def test_rows_that_say_when_they_ended_count_in_their_time(tmp_path: Path) -> None:
    async with app_over(tmp_path) as app:
        day_ns = 86_400 * NS_PER_S
        await give(app, [given_row(n, 1.0, 1 + n % 4, at_ns=NOW_NS - n * day_ns) for n in range(1, 41)])
        assert (await found(app, action="list", timeframe="10d")).operations[0].given == 10
        assert (await found(app, action="list", timeframe="all")).operations[0].given == 40


async def test_a_list_counts_rows_only(tmp_path: Path) -> None:
    async with app_over(tmp_path, recorded()) as app:
        view = await found(app, action="list")
        assert (view.status, view.effects, view.curves, view.gaps) == ("ok", [], [], [])
        assert view.operations[0].own == 560
        assert set(view.reasons) == {"effects", "curves"}


async def test_an_answer_is_bounded(tmp_path: Path) -> None:
    async with app_over(tmp_path) as app:
        modes = [f"mode-{n % 30}-{'x' * 150}" for n in range(600)]
        rows = [
            given_row(
                n, 1 + n % 7, 1 + n % 5, mode=mode, topology=mode, model=f"{n % 40}{mode}", success=n % 3 > 0, tokens=n
            )
            for n, mode in enumerate(modes, 1)
        ]
        await give(app, rows)
        view = await found(app)
        assert len(view.effects) <= LISTED
        assert len(view.gaps) == LISTED
        assert view.reasons["gaps"].endswith("more are not shown; ask about one operation")
        assert len(json.dumps(view.model_dump())) < 80_000


async def test_what_means_nothing_is_refused(tmp_path: Path) -> None:
    async with app_over(tmp_path) as app:
        for given, line in (
            ({"timeframe": "soon"}, "timeframe 'soon' is none"),
            ({"as_of": "2199-01-01"}, "lies in the future"),
            ({"operation": "thinking"}, "operation must be one of"),
            ({"action": "train"}, "action must be one of"),
        ):
            with pytest.raises(InvalidInput, match=line):
                await found(app, **given)

"""How many agents a swarm is made for and scaled to, by what the project's own runs taught."""

import json
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import anyio.to_thread

from swarmtally.app import App, open_app
from swarmtally.learning.rows import TrainingRow
from swarmtally.learning.sections import learn, to_document
from swarmtally.settings import Settings
from swarmtally.store import models
from swarmtally.store.models import StoredModel
from swarmtally.training import DEFAULT_MODEL
from swarmtally_tools.scaling import ScaledView, swarm_scale
from swarmtally_tools.swarm import SwarmView, swarm_init


@cache
def taught(kappa: float, most: int) -> str:
    """The model of 48 own runs with up to `most` agents, which are in each other's way by sigma 0.1 and kappa."""
    draw = random.Random(5)
    sizes = [n for n in (1, 2, 4, 8, 16) if n <= most]
    rows = []
    for number in range(48):
        n = sizes[number % len(sizes)]
        took = 600 * (1 + 0.1 * (n - 1) + kappa * n * (n - 1)) / n * math.exp(draw.gauss(0, 0.05))
        rows.append(TrainingRow(number + 1, "own", "run", took, success=True, mode="batch", agents=n, tasks=40))
    return json.dumps(to_document(learn(rows, "coordination", 0, lambda section: None)))


@asynccontextmanager
async def app_with(folder: Path, document: str | None) -> AsyncIterator[App]:
    settings = await anyio.to_thread.run_sync(
        lambda: Settings.gather("mcp", db=str(folder / "swarm.db"), project="p", environ={}, cwd=folder)
    )
    async with open_app(settings) as app:
        if document is not None:
            model = StoredModel(DEFAULT_MODEL, 0, 1, "coordination", 0, "sha", document)
            await app.database.write(lambda tx: models.keep(tx, "p", model))
        yield app


async def made(app: App, **given: Any) -> SwarmView:
    view = await swarm_init.call(app, given)
    assert isinstance(view, SwarmView)
    return view


async def scaled(app: App, target: int) -> ScaledView:
    view = await swarm_scale.call(app, {"target_size": target, "strategy": "adaptive"})
    assert isinstance(view, ScaledView)
    return view


async def test_an_adaptive_swarm_is_as_large_as_pays_by_the_project_s_own_runs(tmp_path: Path) -> None:
    document = await anyio.to_thread.run_sync(taught, 0.06, 16)
    async with app_with(tmp_path, document) as app:
        view = await made(app, strategy="adaptive")
        assert view.max_agents < 8
        assert view.n == {"max_agents": 48}
        assert view.reasons["max_agents"].startswith("by 48 own runs the next agent adds less than a tenth")
        assert view.topology == "star", "topology stays as asked"
        # What is asked for is what it gets, and only an adaptive swarm asks history.
        asked = await made(app, strategy="adaptive", max_agents=12)
        assert (asked.max_agents, asked.n, "max_agents" in asked.reasons) == (12, {}, False)
        plain = await made(app)
        assert (plain.max_agents, plain.n, "max_agents" in plain.reasons) == (8, {}, False)


async def test_where_history_does_not_tell_it_is_eight_and_says_which_runs_would(tmp_path: Path) -> None:
    async with app_with(tmp_path, None) as app:
        view = await made(app, strategy="adaptive")
        assert (view.max_agents, view.n) == (8, {})
        assert view.reasons["max_agents"].startswith("the default, since history does not tell how many agents pay: no")
        assert view.reasons["max_agents"].endswith(
            "make at least 8 runs each with 1, 2, 4 and 8 agents; then neural_train"
        )
    document = await anyio.to_thread.run_sync(taught, 0.0, 4)
    (tmp_path / "other").mkdir()
    async with app_with(tmp_path / "other", document) as app:
        view = await made(app, strategy="adaptive")
        assert (view.max_agents, view.n) == (8, {})
        assert view.reasons["max_agents"].endswith(
            "at least 4; try 8: 48 runs with 1, 2, 4 at once are 3 sizes, and a curve needs 4; make at least 2 runs"
            " with 8 agents"
        )


async def test_a_swarm_without_load_is_scaled_to_what_pays_and_says_by_which_runs(tmp_path: Path) -> None:
    document = await anyio.to_thread.run_sync(taught, 0.06, 16)
    async with app_with(tmp_path, document) as app:
        await made(app, max_agents=12)
        view = await scaled(app, 12)
        assert 1 < view.size < 8
        assert (view.needed, view.needs[0].pays, view.n) == (None, view.size, {"best": 48})
        assert view.best == 4
        assert view.reasons["size"] == "what pays by history, as there is no load yet"
        assert "by 48 own runs" in str(view.needs[0].reason)
        assert (await scaled(app, 2)).size == 2


async def test_a_swarm_without_load_and_history_keeps_its_size_and_says_both(tmp_path: Path) -> None:
    async with app_with(tmp_path, None) as app:
        await made(app)
        view = await scaled(app, 12)
        assert (view.size, view.best, view.n) == (0, None, {})
        assert "history does not tell" in view.reasons["best"]
        assert str(view.needs[0].reason).startswith("no load yet")
        assert "then neural_train" in str(view.needs[0].reason)

"""Budgets and dry runs as callers see them, with a model server on the wire and with a program's own backend."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from swarmtally.app import App, open_app
from swarmtally.core import progress
from swarmtally.core.ports import BackendInfo
from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.run import RunKind
from swarmtally.requests import SparcRequest
from swarmtally.settings import Settings
from swarmtally_tools.dry_run_views import DryRunView
from swarmtally_tools.run_views import RunView
from swarmtally_tools.runs import run_control, run_status
from swarmtally_tools.sparc import sparc_batch, sparc_pipeline, sparc_run
from tests.backends.wire import OpenAIWire, answer, tokens
from tests.core.test_budgets import PricedBackend

BATCH = {"modes": ["coder"], "tasks": ["Login", "Logout"]}


@asynccontextmanager
async def app_on(
    folder: Path, wire: OpenAIWire | None, backends: Mapping[str, Any] | None = None, **more: Any
) -> AsyncIterator[App]:
    named = {"model": "openai:m1", "base_url": wire.base_url} if wire else {}
    gather = partial(
        Settings.gather, "mcp", db=str(folder / "swarm.db"), project="p", environ={}, cwd=folder, **named, **more
    )
    async with open_app(replace(await anyio.to_thread.run_sync(gather), backends=backends or {})) as app:
        yield app


async def called(app: App, tool: Any, **arguments: Any) -> Any:
    return await tool.call(app, arguments)


async def test_a_run_pauses_for_its_budget_and_goes_on_with_a_higher_one(tmp_path: Path, wire: OpenAIWire) -> None:
    wire.script(answer("done", tokens(500, 100)), answer("done", tokens(500, 100)))
    async with app_on(tmp_path, wire, max_parallel=1, max_output_tokens=1_000) as app:
        first: RunView = await called(app, sparc_batch, **BATCH, budget_tokens=2_000)
        assert first.status == "paused"
        assert first.budget is not None
        assert (first.budget.tokens, first.budget.spent_tokens, first.budget.reserved_tokens) == (2_000, 600, 0)
        assert (first.budget.over_tokens, first.budget.calls_over, first.budget.usd) == (0, 0, None)
        assert len(wire.requests) == 1
        assert first.reason is not None
        assert first.reason.startswith("budget: 600 of 2000 tokens are spent or held, and the next call may take ")
        least = int(first.reason.rpartition(" ")[2])
        assert f"Its next call needs a budget of at least budget_tokens (--budget-tokens) {least}" in first.next_step

        with pytest.raises(InvalidInput, match=f"would pause again.*budget_tokens {least}"):
            await called(app, run_control, run_id=first.run_id, action="resume")
        with pytest.raises(InvalidInput, match="goes with action resume, not with cancel"):
            await called(app, run_control, run_id=first.run_id, action="cancel", budget_tokens=9_999)
        await called(app, run_control, run_id=first.run_id, action="resume", budget_tokens=least)
        last = (await called(app, run_status, run_id=first.run_id, wait_s=20)).run
        assert (last.status, last.budget.spent_tokens, last.budget.tokens) == ("succeeded", 1_200, least)


async def test_a_call_that_took_more_than_was_held_for_it_is_shown(tmp_path: Path, wire: OpenAIWire) -> None:
    wire.script(answer("done", tokens(500, 9_000)))
    async with app_on(tmp_path, wire, max_output_tokens=1_000) as app:
        view = await called(app, sparc_run, mode="coder", task="x", budget_tokens=3_000)
        assert view.status == "succeeded"
        assert (view.budget.over_tokens, view.budget.calls_over) == (6_500, 1)
        assert view.budget.reasons["calls_over"].startswith("1 call passed the output limit")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"budget_tokens": 0}, "budget_tokens is 0; it must be 1 to"),
        ({"budget_tokens": -5}, "budget_tokens is -5"),
        ({"budget_usd": 0}, "budget_usd is 0.0; it must be more than 0"),
        ({"budget_usd": -0.5}, "budget_usd is -0.5"),
        ({"budget_tokens": True}, "must be a whole number"),
        ({"budget_usd": 1.5}, "no price of openai:m1 is known, so budget_usd cannot be kept: give budget_tokens"),
        ({"budget_tokens": 9_000, "model": "host"}, "here the client does: name a model, or give none"),
    ],
)
async def test_a_budget_that_cannot_be_kept_is_refused_and_nothing_is_started(
    tmp_path: Path, wire: OpenAIWire, given: Mapping[str, Any], why: str
) -> None:
    async with app_on(tmp_path, wire) as app:
        for more in ({}, {"dry_run": True}):
            with pytest.raises(InvalidInput, match=why):
                await called(app, sparc_run, mode="coder", task="x", **given, **more)
        shown = await called(app, run_status)
        assert (shown.runs, shown.swarms, wire.requests) == ([], [], [])


async def test_a_dry_run_estimates_what_is_known_and_starts_nothing(tmp_path: Path, wire: OpenAIWire) -> None:
    async with app_on(tmp_path, wire, max_output_tokens=1_000) as app:
        view: DryRunView = await called(app, sparc_batch, **BATCH, dry_run=True)
        assert (view.status, view.swarm_id, view.backend.model) == ("planned", None, "openai:m1")
        sizes = [item.prompt_bytes for item in view.planned]
        assert [item.estimated_input_tokens for item in view.planned] == [-(-(size or 0) // 2) for size in sizes]
        estimate = view.estimate
        assert estimate.input_tokens == sum(item.estimated_input_tokens or 0 for item in view.planned)
        assert (estimate.tasks, estimate.unknown_tasks, estimate.n, estimate.error) == (2, 0, 0, None)
        assert estimate.reasons["error"] == "0 calls of this model reported tokens; an error needs at least 5"
        assert estimate.reasons["input_usd"] == "no price of openai:m1 is known"
        shown = await called(app, run_status)
        assert (shown.runs, shown.swarms, wire.requests) == ([], [], [])

        # What it says would be held is what a budget of just that lets through, all at once.
        run = await called(app, sparc_batch, **BATCH, budget_tokens=estimate.reserved_tokens)
        assert run.status == "succeeded"
        sent = await app.database.read(lambda tx: tx.rows("SELECT prompt_bytes, reserved_tokens FROM usage"))
        assert sorted(row["prompt_bytes"] for row in sent) == sorted(size or 0 for size in sizes)
        assert sum(row["reserved_tokens"] for row in sent) == estimate.reserved_tokens


async def test_a_dry_run_of_many_tasks_tells_how_far_it_is(
    tmp_path: Path, wire: OpenAIWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "TOLD_EVERY_S", 0.0)
    told = []

    async def hear(done: float, total: float | None, message: str) -> None:
        told.append((done, total, message))

    async with app_on(tmp_path, wire) as app:
        with progress.listening(hear):
            await called(app, sparc_batch, modes=["coder", "tester"], tasks=["A", "B"], dry_run=True)
    assert told == [(done, 4, f"{done} of 4 prompts packed") for done in range(4)]


def test_one_schema_describes_a_run_and_a_dry_run() -> None:
    schema = sparc_run.output_schema
    assert schema["type"] == "object"
    for view in (RunView, DryRunView):
        assert set(schema["required"]) <= set(view.model_fields) <= set(schema["properties"])
    assert {"status", "backend", "next_step"} <= set(schema["required"])


async def test_a_dry_run_learns_from_what_was_reported(tmp_path: Path, wire: OpenAIWire) -> None:
    async with app_on(tmp_path, wire) as app:
        wire.script(*[answer("done", tokens(300, 10)) for _ in range(6)])
        for _ in range(6):
            await called(app, sparc_run, mode="coder", task="Login")
        view: DryRunView = await called(app, sparc_run, mode="coder", task="Login", dry_run=True)
        assert (view.estimate.input_tokens, view.estimate.n, view.estimate.error) == (300, 6, 0.0)


async def test_a_dry_run_of_a_pipeline_says_what_depends_on_later_results(tmp_path: Path, wire: OpenAIWire) -> None:
    async with app_on(tmp_path, wire) as app:
        view: DryRunView = await called(app, sparc_pipeline, task="A shop with cart, checkout", dry_run=True)
        known, later = view.planned
        assert known.estimated_input_tokens == view.estimate.input_tokens
        assert (later.key, later.estimated_input_tokens) == ("arch", None)
        assert later.reason == "its prompt depends on results that are not there yet"
        assert view.estimate.reasons["input_tokens"] == (
            "without 1 task whose prompts are not known now, and without the tasks that its architecture will make"
        )


async def test_a_dry_run_of_host_driven_work_says_that_the_client_spends(tmp_path: Path) -> None:
    async with app_on(tmp_path, None) as app:
        view: DryRunView = await called(app, sparc_run, mode="coder", task="Login", model="host", dry_run=True)
        assert view.estimate.input_tokens is not None
        assert view.estimate.reserved_tokens is None
        assert "clients do the work" in view.estimate.reasons["reserved_tokens"]


class BigBackend(PricedBackend):
    @property
    def info(self) -> BackendInfo:
        return replace(super().info, max_parallel=1)


async def test_a_known_price_shows_what_calls_would_cost_and_bounds_what_they_may(tmp_path: Path) -> None:
    async with app_on(tmp_path, None, backends={"priced": BigBackend()}) as app:
        dry: DryRunView = await called(app, sparc_batch, **BATCH, model="priced", dry_run=True)
        assert dry.estimate.input_usd == dry.estimate.input_tokens
        assert dry.estimate.reserved_usd == dry.estimate.reserved_tokens
        request = SparcRequest(
            RunKind.BATCH, ("coder",), ("Login", "Logout"), model="priced", budget_usd=dry.estimate.reserved_usd
        )
        started = await app.start(request)
        runs = await app.runs()
        await runs.wait(started.run_id, 20)
        view = (await called(app, run_status, run_id=started.run_id)).run
        assert view.status == "succeeded"
        assert view.budget.usd == dry.estimate.reserved_usd
        assert view.budget.spent_usd + view.budget.reserved_usd <= view.budget.usd

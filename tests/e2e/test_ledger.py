"""The ledger of a run equals, token for token, what the model's server itself reported."""

from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from swarmtally.app import open_app
from swarmtally.backends.prices import pricing_of
from swarmtally.domain.usage import TokenUsage
from swarmtally.settings import Settings
from swarmtally_tools.run_views import RunView
from swarmtally_tools.sparc import sparc_pipeline
from swarmtally_tools.tokens import TokensView, token_usage
from tests.backends import wire as w
from tests.backends.wire import OpenAIWire
from tests.e2e.conftest import OpenTestApp
from tests.e2e.processes import Processes

ARCHITECTURE = "# Shop\n## Components\n- catalog\n- cart\n"

FIGURES = ("prompt_tokens", "completion_tokens", "cached", "reasoning")


class Book:
    """What the server reported, call by call."""

    def __init__(self, wire: OpenAIWire) -> None:
        self.wire = wire
        self.reported: list[dict[str, int | None]] = []

    def answers(self, *texts: str) -> None:
        """Script answers, each with figures that no other has; every third says nothing of a cache."""
        for text in texts:
            number = len(self.reported)
            prompt, output = 1_000 + 7 * number, 50 + number
            cached = None if number % 3 == 2 else 50 * number
            self.wire.script(w.answer(text, w.tokens(prompt, output, cached=cached, reasoning=number)))
            self.reported.append(
                {"prompt_tokens": prompt, "completion_tokens": output, "cached": cached, "reasoning": number}
            )

    @property
    def rows(self) -> list[tuple[int | None, ...]]:
        return sorted(tuple(call[name] for name in FIGURES) for call in self.reported)

    @property
    def raw(self) -> int:
        return sum((call["prompt_tokens"] or 0) + (call["completion_tokens"] or 0) for call in self.reported)


async def test_of_a_pipeline_with_retries_and_empty_answers(open_test_app: OpenTestApp, wire: OpenAIWire) -> None:
    book = Book(wire)
    book.answers("the specification")
    wire.script(w.failure(503))
    # An answer without text was paid for, and is asked for again.
    book.answers("", ARCHITECTURE, *(f"deliverable {number}" for number in range(12)))
    async with open_test_app() as app:
        run = await sparc_pipeline.call(app, {"task": "A shop"})
        assert isinstance(run, RunView)
        assert run.status == "succeeded"
        rows = await app.database.read(
            lambda tx: tx.rows(
                "SELECT input_tokens, output_tokens, cache_read_tokens, reasoning_tokens FROM usage"
                " WHERE status = 'reported' ORDER BY input_tokens"
            )
        )
        assert [tuple(row) for row in rows] == book.rows
        view = await token_usage.call(app, {"operation": "pipeline", "group_by": "run"})
        assert isinstance(view, TokensView)
        assert (view.calls, view.raw_tokens, view.n["raw_tokens"]) == (16, book.raw, 15)
        assert [(group.key, group.raw_tokens) for group in view.groups] == [(run.run_id, book.raw)]
        assert view.reasons["raw_tokens"].startswith("without 1 call whose tokens are unknown")
        assert run.usage is not None
        assert run.usage.raw_tokens == book.raw
        # Nobody's price list knows a server of one's own.
        assert (view.billed_tokens, view.cost_usd) == (None, None)
        assert view.reasons["cost_usd"]


async def test_of_a_model_with_list_prices_is_in_dollars_too(
    tmp_path: Path, wire: OpenAIWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider's own client, only that its address leads to the wire; the prices are those of its real address."""
    prices = pricing_of("gpt-5-mini", "https://api.openai.com/v1/")
    assert prices is not None
    monkeypatch.setenv("OPENAI_BASE_URL", wire.base_url)
    monkeypatch.setattr("swarmtally.backends.model.pricing_of", lambda model, address: prices)
    settings = await anyio.to_thread.run_sync(
        lambda: Settings.gather(
            "shell",
            db=str(tmp_path / "swarm.db"),
            model="openai-chat:gpt-5-mini",
            project="test",
            environ={"OPENAI_API_KEY": "key"},
            cwd=tmp_path,
        )
    )
    book = Book(wire)
    book.answers("the specification", ARCHITECTURE, *(f"deliverable {number}" for number in range(12)))
    async with open_app(settings) as app:
        run = await sparc_pipeline.call(app, {"task": "A shop", "context": ["What all tasks share. " * 500]})
        assert isinstance(run, RunView)
        view = await token_usage.call(app, {"group_by": "mode"})
    assert isinstance(view, TokensView)
    used = [TokenUsage(row[0], row[1], row[2], None, row[3]) for row in book.rows]
    dollars = sum(prices.cost_nanousd(call) or 0 for call in used) / 1e9
    fresh = sum((call.input_tokens or 0) - 0.9 * (call.cache_read_tokens or 0) for call in used)
    output = prices.output_weight * sum(call.output_tokens or 0 for call in used)
    assert (view.calls, view.cost_usd, view.billed_tokens) == (14, pytest.approx(dollars), round(fresh + output, 1))
    assert run.usage is not None
    assert run.usage.cost_usd == pytest.approx(dollars)
    assert sum(group.cost_usd or 0 for group in view.groups) == pytest.approx(dollars)
    assert view.basis["cost_usd"] == f"list prices of {prices.date}"
    assert {view.n["saved.a.billed"], view.n["saved.b.billed"]} == {1}
    assert None not in (*view.saved["a"].model_dump().values(), *view.saved["b"].model_dump().values())


@pytest.fixture
def processes(tmp_path: Path, wire: OpenAIWire) -> Any:
    started = Processes(tmp_path, wire)
    yield started
    started.clean_up()


def test_of_a_shells_batch_the_seeds_command_says_so(processes: Processes, wire: OpenAIWire) -> None:
    book = Book(wire)
    book.answers(*(f"deliverable {number}" for number in range(4)))
    processes.shell("sparc", "batch", "coder,tester", "Login,Logout")
    view = processes.shell("mcp", "token_usage", "--operation", "batch", "--timeframe", "7d")
    assert (view["calls"], view["raw_tokens"]) == (4, book.raw)
    assert [group["key"] for group in view["groups"]] == ["batch"]
    none = processes.shell("mcp", "token_usage", "--operation", "pipeline", "--timeframe", "7d")
    assert (none["calls"], none["raw_tokens"]) == (0, None)
    # Without a shared context or anything upstream a task's prompt is a separate request.
    assert (view["saved"]["a"]["raw"], view["saved"]["a"]["tokens"], view["n"]["saved.a.raw"]) == (0.0, 0, 1)

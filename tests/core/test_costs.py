"""What is written down of a call's cost, and which call delivered."""

from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import pytest

from swarmtally.core.ledger import priced
from swarmtally.core.ports import BackendInfo
from swarmtally.domain.errors import BackendFailure, ContextExceeded
from swarmtally.domain.usage import TokenUsage
from swarmtally_tools.usage_views import usage_view
from tests.core.harness import Answer, ScriptedBackend, Swarmed, swarmed, task
from tests.core.hosted import failed, hosted, made


@dataclass(frozen=True)
class TestPricing:
    """1,000 nano-dollars a token in, 4,000 out."""

    __test__ = False

    date: str = "2026-11-09"
    output_weight: float = 4.0
    cache_read_weight: float | None = 0.25

    def cost_nanousd(self, usage: TokenUsage) -> int | None:
        return 1_000 * (usage.input_tokens or 0) + 4_000 * (usage.output_tokens or 0)


class PricedBackend(ScriptedBackend):
    @property
    def info(self) -> BackendInfo:
        return replace(super().info, pricing=TestPricing())


COST = 10 * 1_000 + 5 * 4_000

PRICED = (COST, 4.0, 0.25, "2026-11-09")
NO_PRICE = (None, None, None, None)


async def costs(swarm: Swarmed) -> list[tuple[object, ...]]:
    """By call in its order: delivered, cost and weights."""
    rows = await swarm.rows(
        "SELECT delivered, cost_nanousd, output_weight, cache_read_weight, price_date FROM usage ORDER BY usage_id"
    )
    return [tuple(row) for row in rows]


async def test_each_call_has_its_cost_by_the_prices_of_its_model(tmp_path: Path) -> None:
    async with swarmed(tmp_path, PricedBackend()) as swarm:
        await swarm.run(task("a"), task("b", "a"))
        assert await costs(swarm) == [(1, *PRICED)] * 2


async def test_without_prices_a_cost_is_unknown_and_never_zero(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.run(task("a"))
        assert await costs(swarm) == [(1, *NO_PRICE)]


async def test_without_tokens_a_cost_is_unknown_and_never_zero(tmp_path: Path) -> None:
    for usage in (TokenUsage(10, None), TokenUsage(10, 5, 11, 0)):
        (tmp_path / str(usage.output_tokens)).mkdir()
        async with swarmed(tmp_path / str(usage.output_tokens), PricedBackend(usage=usage)) as swarm:
            await swarm.run(task("a"))
            assert await costs(swarm) == [(1, *NO_PRICE)]


async def test_a_failed_call_costs_too_when_its_tokens_are_known(tmp_path: Path) -> None:
    def script(key: str, asked: int) -> Answer:
        used = TokenUsage(10, 5)
        failures = [
            BackendFailure("empty", transient=True, usage=used),
            BackendFailure("gone", transient=True),
            BackendFailure("no", transient=False, usage=used),
        ]
        return failures[asked]

    async with swarmed(tmp_path, PricedBackend(script)) as swarm:
        run_id = await swarm.start(task("a"))
        with anyio.fail_after(20):
            await swarm.runs.wait(run_id, None)
        assert await costs(swarm) == [(0, *PRICED), (0, *NO_PRICE), (0, *PRICED)]
        view = usage_view((await swarm.runs.show(run_id)).usage)
        assert (view.cost_usd, view.reasons["cost_usd"]) == (
            2 * COST / 1e9,
            "without 1 call whose tokens or price are unknown",
        )


async def test_of_several_calls_of_an_attempt_the_last_delivered(tmp_path: Path) -> None:
    def script(key: str, asked: int) -> Answer:
        return "done" if asked else ContextExceeded("too long")

    async with swarmed(tmp_path, PricedBackend(script)) as swarm:
        await swarm.run(task("a"))
        assert await costs(swarm) == [(0, *NO_PRICE), (1, *PRICED)]


async def test_a_clients_report_has_no_price_and_delivers_when_it_is_no_failure(tmp_path: Path) -> None:
    async with hosted(tmp_path) as host:
        await host.init()
        await host.start(task("a"), task("b"))
        await host.report(await host.claim_one(), made(usage=TokenUsage(10, 5, source="client")))
        await host.report(await host.claim_one(), failed())
        rows = await host.rows("SELECT delivered, input_tokens, cost_nanousd FROM usage ORDER BY usage_id")
        assert [tuple(row) for row in rows] == [(1, 10, None), (0, None, None)]


@pytest.mark.parametrize("claimed", [None, priced(TokenUsage(1, 1), TestPricing()).price])
def test_only_the_prices_of_the_backend_count(claimed: object) -> None:
    used = replace(TokenUsage(10, 5), price=claimed)  # type: ignore[arg-type]
    assert priced(used, None).price is None
    found = priced(used, TestPricing()).price
    assert found is not None
    assert found.cost_nanousd == COST

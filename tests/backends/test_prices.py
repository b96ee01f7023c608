"""What a model's tokens cost, by a list of prices."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
)

from swarmtally.backends.model import ModelBackend
from swarmtally.backends.prices import ListedPrices, pricing_of
from swarmtally.domain.usage import TokenUsage
from tests.backends.wire import OpenAIWire

OPENAI = "https://api.openai.com/v1/"

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)

DAYS = [date(2026, 1, 1), date(2026, 5, 31), date(2026, 6, 2)]


def listed(*prices: ConditionalPrice, now: datetime = NOON) -> ListedPrices:
    model = ModelInfo(id="m", match=ClauseEquals("m"), prices=list(prices))
    return ListedPrices(Provider(id="x", name="X", api_pattern="x", models=[model]), model, DAYS, lambda: now)


def per_million(**given: str) -> ModelPrice:
    return ModelPrice(**{f"{name}_mtok": Decimal(price) for name, price in given.items()})


HAIKU = per_million(input="1", output="5", cache_read="0.1", cache_write="1.25")


def test_each_token_costs_what_its_kind_does() -> None:
    prices = listed(ConditionalPrice(prices=HAIKU))
    # 100 uncached at 1,000 nano-dollars each, 800 read at 100, 100 written at 1,250, 100 out at 5,000.
    assert prices.cost_nanousd(TokenUsage(1_000, 100, 800, 100, 40)) == 100_000 + 80_000 + 125_000 + 500_000
    assert (prices.output_weight, prices.cache_read_weight) == (5.0, 0.1)


def test_what_was_not_reported_as_cached_costs_as_uncached() -> None:
    assert listed(ConditionalPrice(prices=HAIKU)).cost_nanousd(TokenUsage(1_000, 0)) == 1_000_000


def test_a_cost_is_exact_to_the_nano_dollar_and_rounded_once() -> None:
    prices = listed(ConditionalPrice(prices=per_million(input="0.0028", output="0.0001")))
    assert prices.cost_nanousd(TokenUsage(3, 1)) == 8  # 8.4 + 0.1
    assert prices.cost_nanousd(TokenUsage(10**12, 0)) == 2_800_000_000_000


def test_unknown_tokens_cost_an_unknown_amount() -> None:
    assert listed(ConditionalPrice(prices=HAIKU)).cost_nanousd(TokenUsage(None, 5)) is None


def test_figures_that_do_not_add_up_have_no_price() -> None:
    assert listed(ConditionalPrice(prices=HAIKU)).cost_nanousd(TokenUsage(10, 5, 9, 9)) is None


def test_beyond_a_threshold_all_of_a_call_costs_its_tier() -> None:
    tiered = ModelPrice(
        input_mtok=TieredPrices(Decimal(1), [Tier(200, Decimal(2))]),
        output_mtok=TieredPrices(Decimal(4), [Tier(200, Decimal(6))]),
    )
    prices = listed(ConditionalPrice(prices=tiered))
    assert prices.cost_nanousd(TokenUsage(200, 10)) == 200_000 + 40_000
    assert prices.cost_nanousd(TokenUsage(201, 10)) == 402_000 + 60_000
    assert (prices.output_weight, prices.cache_read_weight) == (4.0, None)


@pytest.mark.parametrize(("day", "cost", "shown"), [(1, 1_000, "2026-05-31"), (2, 2_000, "2026-06-02")])
def test_a_price_applies_from_its_first_day_on(day: int, cost: int, shown: str) -> None:
    raised = ConditionalPrice(StartDateConstraint(date(2026, 6, 2)), prices=per_million(input="2", output="2"))
    before = ConditionalPrice(prices=per_million(input="1", output="1"))
    prices = listed(before, raised, now=NOON.replace(day=day))
    assert (prices.cost_nanousd(TokenUsage(1, 0)), prices.date) == (cost, shown)


def test_the_packages_list_knows_the_models_used_unasked_where_their_makers_serve_them() -> None:
    for model, address in (
        ("claude-haiku-4-5", "https://api.anthropic.com"),
        ("gpt-5-mini", OPENAI),
        ("gemini-3.5-flash-lite", "https://generativelanguage.googleapis.com"),
    ):
        prices = pricing_of(model, address)
        assert prices is not None
        assert prices.output_weight > 1 > (prices.cache_read_weight or 1)
        assert "2026-" <= prices.date <= datetime.now(UTC).date().isoformat()


@pytest.mark.parametrize(
    ("model", "address"),
    [
        ("gpt-5-mini", "http://127.0.0.1:8080/v1"),
        ("gpt-5-mini", None),
        ("no-such-model", OPENAI),
        ("text-embedding-3-small", OPENAI),
    ],
)
def test_what_the_list_does_not_know_has_no_prices(model: str, address: str | None) -> None:
    assert pricing_of(model, address) is None


async def test_a_providers_model_has_prices_and_a_server_of_ones_own_none(wire: OpenAIWire) -> None:
    async def info(base_url: str | None, **environ: str) -> object:
        given = {"SWARMTALLY_API_KEY": "key", **environ}
        backend = await ModelBackend.open("openai:gpt-5-mini", environ=given, base_url=base_url)
        await backend.aclose()
        return backend.info.pricing

    assert isinstance(await info(None), ListedPrices)
    assert await info(wire.base_url) is None


async def test_a_provider_whose_address_was_changed_has_no_prices(
    wire: OpenAIWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", wire.base_url)
    backend = await ModelBackend.open("openai:gpt-5-mini", environ={"SWARMTALLY_API_KEY": "key"})
    await backend.aclose()
    assert backend.info.pricing is None

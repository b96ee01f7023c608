"""What a provider's tokens cost, by the list of prices that comes with genai-prices. Nothing is fetched."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

from swarmtally.domain.usage import TokenUsage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider, TieredPrices

    Amount = Decimal | TieredPrices | None

NANO = Decimal(10) ** 9

Now = Callable[[], datetime]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ListedPrices:
    """The prices of one model as they are when they are asked for: lists know when prices change."""

    def __init__(self, provider: "Provider", model: "ModelInfo", days: Sequence[date], now: Now) -> None:
        self._provider = provider
        self._model = model
        self._days = days
        self._now = now

    @property
    def date(self) -> str:
        """The newest day, up to now, from which a price of the list applies. The list bears no date of its own."""
        return self._days[max(1, bisect_right(self._days, self._now().date())) - 1].isoformat()

    @property
    def output_weight(self) -> float:
        """Of the prices for short prompts, where long ones cost more."""
        weight = self._weight("output_mtok")
        assert weight is not None, "pricing_of looked"
        return weight

    @property
    def cache_read_weight(self) -> float | None:
        return self._weight("cache_read_mtok")

    def cost_nanousd(self, usage: TokenUsage) -> int | None:
        """As the library has it: all of a call whose prompt is beyond a threshold at that tier's prices. Tokens that
        were not reported as cached cost as uncached ones."""
        from genai_prices import Usage

        if not usage.known:
            return None
        given = Usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            output_reasoning_tokens=usage.reasoning_tokens,
        )
        try:
            price = self._model.calc_price(given, self._provider, genai_request_timestamp=self._now())
        except ValueError:
            # Figures that the list cannot add up have no price; the answer is as good as any.
            return None
        return int((price.total_price * NANO).to_integral_value(ROUND_HALF_EVEN))

    def complete(self) -> bool:
        """Whether all is there that a call with a prompt and an answer needs."""
        return bool(self._amount("input_mtok")) and self._amount("output_mtok") is not None

    def _weight(self, key: str) -> float | None:
        amount, whole = self._amount(key), self._amount("input_mtok")
        return float(amount / whole) if amount is not None and whole else None

    def _amount(self, key: str) -> Decimal | None:
        amount: Amount = getattr(self._model.get_prices(self._now()), key)
        return amount if amount is None or isinstance(amount, Decimal) else amount.base


def pricing_of(model: str, address: str | None, now: Now = _utc_now) -> ListedPrices | None:
    """The prices of `model` where calls go to `address`; None when the list does not know one of them, or not all that
    a call needs. Blocking: imports the list (15 ms once pydantic-ai is imported, half a second before).

    The address tells, not the provider's name: that can be pointed at any server.
    """
    from genai_prices.data_snapshot import get_snapshot

    if not address:
        return None
    snapshot = get_snapshot()
    try:
        provider, info = snapshot.find_provider_model(model, None, None, address)
    except LookupError:
        return None
    days = sorted({day for each in snapshot.providers for listed in each.models for day in _first_days(listed)})
    found = ListedPrices(provider, info, days, now)
    return found if days and found.complete() else None


def _first_days(model: "ModelInfo") -> Iterator[date]:
    from genai_prices.types import StartDateConstraint

    prices = model.prices if isinstance(model.prices, list) else []
    for each in (*prices, *(model.price_variants or ())):
        if isinstance(each.constraint, StartDateConstraint):
            yield each.constraint.start_date

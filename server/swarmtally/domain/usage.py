"""What a model call used, as its provider reported it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

FIGURE_LIMIT = 2**40
"""The most tokens one call can have used; sums of more calls than anyone makes still fit a database integer."""


SOURCES = ("reported", "client")
"""Who can have given figures; see `TokenUsage.source`."""


INCREDIBLE = "the provider reported a figure that cannot be"


class UsageStatus(StrEnum):
    OPEN = "open"
    """The call was sent and has not been answered yet."""
    REPORTED = "reported"
    UNKNOWN = "unknown"
    """Answered, failed or lost without token figures; `reason` says which."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a call cost by a list of prices, and how its tokens weigh against each other by the same list."""

    cost_nanousd: int
    """1e-9 US dollars."""
    output_weight: float
    """The price of an output token / the price of an uncached input token."""
    cache_read_weight: float | None
    """The price of a token read from the provider's cache / the same; None: the list has none."""
    date: str
    """Of the list, in ISO 8601."""


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one call. `input_tokens` includes cached reads and writes; `output_tokens` includes reasoning.

    Token fields are None when the provider did not say, and `reason` then says why.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    reason: str | None = None
    source: str = "reported"
    """Who gave the figures: `reported` by the provider, or the `client` that did the work."""
    price: Price | None = None
    """None: its tokens are unknown, or nobody's price list knows its model."""

    @property
    def known(self) -> bool:
        return self.input_tokens is not None and self.output_tokens is not None

    def credible(self) -> "TokenUsage":
        """This usage, or an unknown one when a figure is below 0, beyond `FIGURE_LIMIT` or more than it is part of."""
        read, written, reasoning = self.cache_read_tokens, self.cache_write_tokens, self.reasoning_tokens
        for figure in (self.input_tokens, self.output_tokens, read, written, reasoning):
            if figure is not None and not 0 <= figure <= FIGURE_LIMIT:
                return TokenUsage(reason=INCREDIBLE)
        for part, whole in (((read or 0) + (written or 0), self.input_tokens), (reasoning or 0, self.output_tokens)):
            if whole is not None and part > whole:
                return TokenUsage(reason=INCREDIBLE)
        return self


@dataclass(frozen=True, slots=True)
class UsageTotals:
    """Sums over the calls that reported their tokens: neither `open` nor `unknown` ones are in them.

    A sum is None when no call reported its tokens, and when one of those that did left that figure out.
    """

    calls: int
    """All of them, `open` and `unknown` ones too."""
    open: int
    unknown: int
    """Ended without input or output tokens; what else they gave is not in the sums."""
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    cache_read_calls: int
    """How many of `reported` calls gave this figure."""
    cache_write_calls: int
    reasoning_calls: int
    priced_calls: int
    """How many of them have a price."""
    cost_nanousd: int | None
    """What those cost; None when none has."""

    @property
    def reported(self) -> int:
        """How many calls the sums are over."""
        return self.calls - self.open - self.unknown

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "UsageTotals":
        return cls(**{name: row[name] for name in cls.__slots__})

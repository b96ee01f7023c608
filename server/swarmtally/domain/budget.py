"""What a run may spend, what its calls have spent, and what is held for those whose spending is not known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swarmtally.domain.errors import InvalidInput

NANO = 10**9
"""Money is counted in 1e-9 US dollars."""

TOKENS_LIMIT = 10**15
"""The highest budget in tokens; with reservations on top, sums still fit a database integer."""

USD_LIMIT = 10**6
"""The highest budget in dollars."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The most a run may spend; None: no limit of that kind."""

    tokens: int | None = None
    """Raw: input, cached or not, and output."""
    nanousd: int | None = None

    def __bool__(self) -> bool:
        return self.tokens is not None or self.nanousd is not None

    @classmethod
    def asked(cls, tokens: int | None, usd: float | None) -> "Budget":
        """A budget as a caller gives it.

        Raises:
            InvalidInput: it is 0, negative, or higher than anybody's.
        """
        if tokens is not None and not 1 <= tokens <= TOKENS_LIMIT:
            raise InvalidInput(f"budget_tokens is {tokens}; it must be 1 to {TOKENS_LIMIT}, or left out for no limit")
        # Looked at before it is multiplied: the largest numbers would be infinite then.
        if usd is not None and not (0 < usd <= USD_LIMIT and round(usd * NANO)):
            raise InvalidInput(
                f"budget_usd is {usd}; it must be more than 0 and at most {USD_LIMIT}, or left out for no limit"
            )
        return cls(tokens, None if usd is None else round(usd * NANO))

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Budget":
        return cls(row["budget_tokens"], row["budget_nanousd"])


UNLIMITED = Budget()


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is held of a budget for one call until what it used is known."""

    tokens: int
    nanousd: int | None
    """None: the price of its model is not known."""


@dataclass(frozen=True, slots=True)
class Spending:
    """What the calls of a run with a budget have spent, and what is held for the others: those under way, and those
    that ended without figures."""

    spent_tokens: int
    spent_nanousd: int
    lost_tokens: int
    """Held for calls that have ended and whose spending stays unknown."""
    lost_nanousd: int
    open_tokens: int
    """Held for calls under way."""
    open_nanousd: int
    exceeded: int
    """Calls that spent more than was held for them."""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Spending":
        return cls(**{name: row[name] for name in cls.__slots__})

    @property
    def tokens(self) -> int:
        """Spent or held."""
        return self.spent_tokens + self.lost_tokens + self.open_tokens

    @property
    def nanousd(self) -> int:
        """Spent or held."""
        return self.spent_nanousd + self.lost_nanousd + self.open_nanousd

    def settled(self) -> "Spending":
        """The least it comes to when the calls under way have ended: they may turn out to have cost nothing."""
        return Spending(self.spent_tokens, self.spent_nanousd, self.lost_tokens, self.lost_nanousd, 0, 0, self.exceeded)

    def needs(self, wanted: Reservation) -> Budget:
        """The budget that has room for `wanted` besides; its `nanousd` is None where no price is known."""
        return Budget(self.tokens + wanted.tokens, None if wanted.nanousd is None else self.nanousd + wanted.nanousd)


@dataclass(frozen=True, slots=True)
class Account:
    """Where a run with a budget stands."""

    spending: Spending
    refused: Reservation | None
    """What the call would hold for which the budget has paused it; None: it has not."""


def fits(needed: Budget, budget: Budget) -> bool:
    """Whether a run with `budget` may spend as much as `needed`; what has no known price fits no budget in dollars."""
    if budget.tokens is not None and (needed.tokens or 0) > budget.tokens:
        return False
    return budget.nanousd is None or (needed.nanousd is not None and needed.nanousd <= budget.nanousd)


def usd(nanousd: int) -> str:
    """Money as a text: as many digits as it has, at least two after the point."""
    whole, rest = divmod(nanousd, NANO)
    return f"${whole}.{f'{rest:09}'.rstrip('0').ljust(2, '0')}"

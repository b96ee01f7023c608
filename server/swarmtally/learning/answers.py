"""What learning answers with: a value with its interval, or what is missing and the runs that would tell."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

LEVEL = 0.9
"""The share of later rows that an interval is to hold."""

Missing: TypeAlias = Literal["rows", "levels", "skill", "range", "width"]


@dataclass(frozen=True, slots=True)
class Interval:
    """`level` is the share of cases in which the truth lies from `low` to `high`."""

    value: float
    low: float
    high: float
    level: float = LEVEL


@dataclass(frozen=True, slots=True)
class Insufficient:
    """Why there is no answer: too few rows, one level of a factor, no skill, out of range, too wide an interval."""

    what: Missing
    reason: str
    runs_to_make: tuple[str, ...]
    """Exact: "make at least 2 runs with 8 agents". Empty where no run would help."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is expected of a query."""

    expected: Interval
    """In the target's unit: seconds, tokens, or a probability."""
    n: int
    """Rows the model was learned from."""
    similar_n: int
    """Those of them that had every setting the query names; amounts within a factor of about 1.5."""
    assumed: tuple[tuple[str, str], ...]
    """Factors that matter to the model, and that the query does not name, with what stood in for each."""

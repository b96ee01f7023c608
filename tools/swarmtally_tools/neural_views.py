"""Views of what models learned and expect."""

from typing import Any

from swarmtally.learning.answers import Insufficient, Interval, Prediction
from swarmtally.learning.curve import Curve
from swarmtally.learning.predict import Predictor
from swarmtally.learning.recommending import Choice, Expected
from swarmtally_tools.definition import View

DIGITS = 6
"""Significant ones of a figure."""


class MissingView(View):
    what: str
    """rows, levels (of a factor), skill, range or width."""
    reason: str
    """What is missing."""
    runs_to_make: list[str]
    """What would tell."""


class IntervalView(View):
    value: float
    """What is expected."""
    low: float
    """The interval's lower end."""
    high: float
    """Its upper end."""
    level: float
    """Share of cases in which the truth lies in it."""


class LearnedView(View):
    target: str
    """duration_s, tokens (input and output) or success (probability)."""
    kind: str | None
    """group_median, ridge, sums, boosted_trees, group_rate or logistic; null: nothing was learned."""
    n: int
    """Rows it was learned from."""
    skill: IntervalView | None
    """Share of the group median's error that it saves on later rows."""
    coverage: float | None
    """Share of later rows that its 90 % intervals held."""
    coverage_n: int
    """How many later rows those are."""
    insufficient: MissingView | None
    """Why nothing was learned, or nothing is said."""


class ExpectedView(LearnedView):
    expected: IntervalView | None
    """What is expected; null: see insufficient."""
    similar_n: int
    """Rows that had every setting asked about."""
    assumed: dict[str, str]
    """What stood in for settings that matter and were not named."""


class AgentsView(View):
    enough: int | None
    """The smallest number whose next agent no longer pays (adds less than a tenth of what one alone does)."""
    best: IntervalView | None
    """The number with the greatest throughput."""
    at_least: int | None
    """What the best is not below, where it may lie beyond what was tried."""
    n: int
    """Rows behind it."""
    reason: str | None
    """Why a figure is null."""
    runs_to_make: list[str]
    """What would tell."""


class ChoiceView(View):
    value: str | int | None
    """The setting; null: see reason."""
    at_least: int | None
    """What the best is not below, where it may lie beyond what was tried."""
    reason: str | None
    """Why there is none, or why this one."""
    runs_to_make: list[str]
    """What would tell."""
    compared: dict[str, float]
    """By setting: the duration expected of it, in seconds."""


def missing_view(missing: Insufficient) -> MissingView:
    return MissingView(what=missing.what, reason=missing.reason, runs_to_make=list(missing.runs_to_make))


def interval_view(interval: Interval | None) -> IntervalView | None:
    if interval is None:
        return None
    value, low, high = map(significant, (interval.value, interval.low, interval.high))
    return IntervalView(value=value, low=low, high=high, level=interval.level)


def learned_view(target: str, learned: Predictor | Insufficient) -> LearnedView:
    return LearnedView(**_learned(target, learned))


def expected_view(target: str, expected: Expected) -> ExpectedView:
    answer = expected.answer
    if isinstance(answer, Prediction):
        return ExpectedView(
            **_learned(target, expected.learned),
            expected=interval_view(answer.expected),
            similar_n=answer.similar_n,
            assumed=dict(answer.assumed),
        )
    known = {**_learned(target, expected.learned), "insufficient": missing_view(answer)}
    return ExpectedView(**known, expected=None, similar_n=0, assumed={})


def _learned(target: str, learned: Predictor | Insufficient) -> dict[str, Any]:
    if isinstance(learned, Insufficient):
        nothing = {"kind": None, "n": 0, "skill": None, "coverage": None, "coverage_n": 0}
        return {"target": target, **nothing, "insufficient": missing_view(learned)}
    return {
        "target": target,
        "kind": learned.kind,
        "n": learned.n,
        "skill": interval_view(learned.skill),
        "coverage": None if learned.coverage is None else significant(learned.coverage),
        "coverage_n": learned.coverage_n,
        "insufficient": None,
    }


def agents_view(curve: Curve) -> AgentsView:
    return AgentsView(
        enough=curve.enough,
        best=interval_view(curve.best),
        at_least=curve.at_least,
        n=curve.rows,
        reason=curve.reason,
        runs_to_make=list(curve.runs_to_make),
    )


def choice_view(choice: Choice) -> ChoiceView:
    return ChoiceView(
        value=choice.value,
        at_least=choice.at_least,
        reason=choice.reason,
        runs_to_make=list(choice.runs_to_make),
        compared={name: significant(duration) for name, duration in (choice.compared or {}).items()},
    )


def significant(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")

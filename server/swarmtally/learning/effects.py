"""What each factor does to durations, tokens and success, with the other factors held as they are.

Least squares on the logarithm of the target (of success: on success itself, so that an effect is a difference of
shares) with every factor that was recorded, and the time. History is observational: who chose a factor may have had a
reason that no row holds, and then the effect is that reason's too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.domain.text import counted
from swarmtally.learning.adjusted import Coefficients, regress
from swarmtally.learning.answers import Insufficient, Interval
from swarmtally.learning.design import MAX_LEVELS, MIN_LEVEL_ROWS, MIN_LEVEL_RUNS, Column, Design, design, usable
from swarmtally.learning.fitting import Floats
from swarmtally.learning.rows import AMOUNTS, CATEGORIES, Target, TrainingRow, known

MIN_ROWS = 30
"""Fewer rows say nothing about effects."""

WIDEST = 4.0
"""A ratio whose interval's ends are further apart than this, as a ratio, is no answer."""

WIDEST_DIFFERENCE = 0.5
"""Nor is a difference of shares whose interval is half of all there is."""

Unit: TypeAlias = Literal["ratio", "difference"]

_NAMES: dict[str, tuple[str, ...]] = {
    "topology": tuple(each.value for each in Topology if each is not Topology.ADAPTIVE),
    "strategy": tuple(each.value for each in Strategy),
}
"""Levels there are, of which those that are missing can be named."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What one level of a factor does to the target against another, all else equal.

    Of a name, `level` against `against`, both as recorded; of an amount, twice as much, over the range from `low` to
    `high`. `effect` is None where `missing` says why.
    """

    factor: str
    target: Target
    unit: Unit
    level: str | None
    against: str | None
    low: int | None
    high: int | None
    effect: Interval | None
    n: int
    """Rows with the level; of an amount, rows in which it is known."""
    missing: Insufficient | None = None


@dataclass(frozen=True, slots=True)
class Effects:
    """Every factor's effects; `n` rows, of how many runs, where runs are known."""

    effects: tuple[Effect, ...]
    n: int
    runs: int


def effects(rows: Sequence[TrainingRow], target: Target) -> Effects | Insufficient:
    """The effects of all factors on `target`. Durations and tokens are those of rows that did not fail: what failed was
    cut off somewhere."""
    used = relevant(rows, target)
    if len(used) < MIN_ROWS:
        reason = f"{counted(len(used), 'row')} that tell of it, and effects need {MIN_ROWS}"
        return Insufficient("rows", reason, (f"make at least {MIN_ROWS - len(used)} more runs",))
    values = np.array([float(getattr(row, target)) for row in used])
    if target == "success" and len(set(values)) == 1:
        ended = "succeeded" if values[0] else "failed"
        return Insufficient("levels", f"all {len(used)} rows {ended}: nothing made a difference", ())
    made = design(used)
    found = _told_shares(made, values) if target == "success" else regress(made.values, np.log(values), made.runs)
    told = tuple(_Telling(used, target, made, found).all())
    return Effects(told, len(used), len(set(made.runs)))


def relevant(rows: Sequence[TrainingRow], target: Target) -> list[TrainingRow]:
    """The rows that tell of `target`, oldest first."""
    if target == "success":
        return known(rows, target)
    return [row for row in known(rows, target) if row.success is not False and getattr(row, target) > 0]


def _told_shares(made: Design, values: Floats) -> Coefficients:
    """As `regress`, for a target of 0 and 1. Each level is given one success and one failure more, in the middle of its
    rows: without them five successes out of five would pass for certainty (after A. Agresti and B. Caffo, The American
    Statistician 54, 2000)."""
    rows, targets, runs = [made.values], [values], list(made.runs)
    for factor in CATEGORIES:
        own = made.at(factor)
        if not own:
            continue
        marked = [made.values[:, number] == 1 for number in own]
        rest = [n for n, column in enumerate(made.columns) if column.factor == factor and not column.shown]
        marked.append(~np.any([made.values[:, number] == 1 for number in [*own, *rest]], axis=0))
        for mark in marked:
            middle = made.values[mark].mean(axis=0)
            rows.append(np.vstack([middle, middle]))
            targets.append(np.array([0.0, 1.0]))
            runs += [f"{factor} {len(runs)}", f"{factor} {len(runs) + 1}"]
    return regress(np.vstack(rows), np.concatenate(targets), runs)


class _Telling:
    """Puts a regression into words, factor by factor."""

    def __init__(self, rows: Sequence[TrainingRow], target: Target, made: Design, found: Coefficients) -> None:
        self._rows, self._target, self._made, self._found = rows, target, made, found
        self._unit: Unit = "difference" if target == "success" else "ratio"

    def all(self) -> Iterator[Effect]:
        for factor in CATEGORIES:
            yield from self._of_name(factor)
        for factor in AMOUNTS:
            yield self._of_amount(factor)

    def _of_name(self, factor: str) -> Iterator[Effect]:
        levels = self._made.levels[factor]
        told = {self._made.columns[number].level: number for number in self._made.at(factor)}
        if len(levels) < 2:
            yield self._effect(factor, 0 if not levels else levels[0].rows, self._one_level(factor))
            return
        against = levels[0].name
        for level in levels[1:]:
            number = told.get(level.name)
            if number is not None:
                yield self._effect(factor, level.rows, self._answer(number), level.name, against)
                continue
            if usable(level):
                beyond = Insufficient("rows", f"beyond the {MAX_LEVELS} most common", ())
                yield self._effect(factor, level.rows, beyond, level.name, against)
                continue
            short = max(MIN_LEVEL_RUNS - level.runs, MIN_LEVEL_ROWS - level.rows, 1)
            more = f"make at least {counted(short, 'more run')} with {factor} {level.name}"
            few = f"{counted(level.rows, 'row')} of {counted(level.runs, 'run')} with {factor} {level.name}"
            yield self._effect(factor, level.rows, Insufficient("rows", few, (more,)), level.name, against)

    def _of_amount(self, factor: str) -> Effect:
        amounts = [value for row in self._rows if (value := getattr(row, factor)) is not None]
        own = self._made.at(factor)
        answer = self._answer(own[0]) if own else self._one_level(factor)
        bounds = (min(amounts), max(amounts)) if amounts else (None, None)
        return self._effect(factor, len(amounts), answer, low=bounds[0], high=bounds[1])

    def _effect(
        self,
        factor: str,
        n: int,
        answer: Interval | Insufficient,
        level: str | None = None,
        against: str | None = None,
        low: int | None = None,
        high: int | None = None,
    ) -> Effect:
        effect, missing = (None, answer) if isinstance(answer, Insufficient) else (answer, None)
        return Effect(factor, self._target, self._unit, level, against, low, high, effect, n, missing)

    def _answer(self, number: int) -> Interval | Insufficient:
        value, off = float(self._found.value[number]), float(self._found.half_width[number])
        if np.isnan(value):
            return self._untold(number)
        if self._unit == "difference":
            value, low, high = (max(-1.0, min(1.0, each)) for each in (value, value - off, value + off))
            if high - low > WIDEST_DIFFERENCE:
                reason = f"between {low:+.2f} and {high:+.2f}: wider than {WIDEST_DIFFERENCE:g}, which is no answer"
                return Insufficient("width", reason, self._more(number))
            return Interval(value, low, high)
        if 2 * off > np.log(WIDEST):
            reason = (
                f"between {np.exp(value - off):.2g} and {np.exp(value + off):.2g} times:"
                f" wider than {WIDEST:g} times, which is no answer"
            )
            return Insufficient("width", reason, self._more(number))
        return Interval(float(np.exp(value)), float(np.exp(value - off)), float(np.exp(value + off)))

    def _untold(self, number: int) -> Insufficient:
        column = self._made.columns[number]
        mixed = [self._made.columns[other] for other in self._found.mixed[number]]
        others = sorted({other.factor for other in mixed} - {column.factor, "constant"})
        if not others:
            return Insufficient("levels", "it rests on one run alone", self._more(number))
        named = " and ".join("time" if other == "when" else other for other in others)
        reason = f"it changed only together with {named}, so their effects cannot be told apart"
        return Insufficient("levels", reason, (f"make at least 2 runs with {_setting(column)} and another {named}",))

    def _more(self, number: int) -> tuple[str, ...]:
        column = self._made.columns[number]
        return (f"make at least {MIN_LEVEL_ROWS} more runs with {_setting(column)}",)

    def _one_level(self, factor: str) -> Insufficient:
        seen = {value for row in self._rows if (value := getattr(row, factor)) is not None}
        if not seen:
            return Insufficient("levels", f"no row says its {factor}", ())
        (only,) = seen
        reason = f"all rows that say it have {factor} {only}"
        other = next((name for name in _NAMES.get(factor, ()) if name != only), None)
        if factor == "agents":
            more = f"make at least 2 runs with {2 * only} agents"
        elif factor in AMOUNTS:
            more = f"make at least 2 runs with {factor} {2 * only}"
        else:
            more = f"make at least 2 runs with {f'{factor} {other}' if other else f'another {factor} than {only}'}"
        return Insufficient("levels", reason, (more,))


def _setting(column: Column) -> str:
    return f"{column.factor} {column.level}" if column.level else f"other {column.factor}"

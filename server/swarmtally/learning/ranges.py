"""What the rows cover: the settings each factor had, and how many rows were like a query."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log2
from operator import attrgetter
from statistics import median_low
from typing import Any, TypeAlias

from swarmtally.domain.errors import InvalidInput
from swarmtally.learning.answers import Insufficient
from swarmtally.learning.rows import AMOUNTS, CATEGORIES, FACTORS, TrainingRow

LEAST_OF_NAME = 3
"""A name (of a mode, a topology …) that fewer rows have is not known yet."""

LEAST_OF_AMOUNT = 2
"""Rows at an amount beyond the range, to bring it into the range."""

MOST_NAMES = 40
"""Of one factor: its most frequent."""

MOST_COMBINATIONS = 2_000
"""Of settings, the most frequent: enough to count similar rows."""

Setting: TypeAlias = str | int | None
Combinations: TypeAlias = tuple[tuple[tuple[Setting, ...], int], ...]
"""Of settings, each with its rows."""


@dataclass(frozen=True, slots=True)
class Range:
    """The settings of one factor in the rows."""

    factor: str
    n: int
    """Rows that know it."""
    names: tuple[tuple[str, int], ...] = ()
    """Of a category: each with its rows, most frequent first; at least `LEAST_OF_NAME` rows each."""
    low: int = 0
    high: int = 0
    usual: int = 0
    """Of an amount: least, most, and lower median."""

    @property
    def varies(self) -> bool:
        return len(self.names) > 1 or self.low < self.high

    @property
    def told(self) -> str:
        if self.factor in CATEGORIES:
            return ", ".join(name for name, _ in self.names) or "nothing known"
        return f"{self.low}" if self.low == self.high else f"{self.low} to {self.high}"


@dataclass(frozen=True, slots=True)
class Scope:
    """What rows cover: a range for each factor that some rows know, and how many rows had each combination."""

    ranges: tuple[Range, ...]
    combinations: Combinations
    """Settings in the order of `FACTORS`, amounts as twice their binary logarithm, with their rows."""

    def of(self, factor: str) -> Range | None:
        return next((each for each in self.ranges if each.factor == factor), None)

    def similar(self, query: Mapping[str, Any]) -> int:
        """Rows that had every setting of `query`; amounts may be about 1.5 times as large or small."""
        asked = _marks(query)
        return sum(n for marks, n in self.combinations if all(_alike(marks[place], mark) for place, mark in asked))

    def same(self, query: Mapping[str, Any]) -> int:
        """Rows that had every setting of `query`; amounts may be about 1.2 times as large or small."""
        asked = _marks(query)
        return sum(n for marks, n in self.combinations if all(marks[place] == mark for place, mark in asked))


def scope_of(rows: Sequence[TrainingRow]) -> Scope:
    columns = [(factor, list(map(attrgetter(factor), rows))) for factor in FACTORS]
    ranges = (_range(factor, [value for value in values if value is not None]) for factor, values in columns)
    marks = ([_mark(factor, value) for value in values] for factor, values in columns)
    found = Counter(zip(*marks, strict=True))
    return Scope(tuple(each for each in ranges if each.n), tuple(found.most_common(MOST_COMBINATIONS)))


def checked(query: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a query names; None is one it does not name.

    Raises:
        InvalidInput: it names something else, or a setting that cannot be.
    """
    settings = {factor: value for factor, value in query.items() if value is not None}
    for factor, value in settings.items():
        if factor not in FACTORS and factor != "text":
            raise InvalidInput(f"a query has no {factor!r}; it has {', '.join(FACTORS)} and text")
        if factor in AMOUNTS and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise InvalidInput(f"{factor} is a whole number of at least 1, not {value!r}")
        if factor not in AMOUNTS and not isinstance(value, str):
            raise InvalidInput(f"{factor} is a text, not {value!r}")
    return settings


def beyond(scope: Scope, level: str, query: Mapping[str, Any]) -> Insufficient | None:
    """Why the rows do not cover what `query` asks, with the runs that would."""
    for factor in FACTORS:
        if factor in query:
            refusal = _outside(scope.of(factor), factor, query[factor], level)
            if refusal is not None:
                return refusal
    return None


def apart(scope: Scope, level: str, settings: Mapping[str, Any]) -> Insufficient | None:
    """Why the rows do not cover `settings` together, with the runs that would; None where `LEAST_OF_AMOUNT` had them.
    They name every factor in which rows differ."""
    told = [factor for factor in FACTORS if factor in settings and (found := scope.of(factor)) and found.varies]
    named = {factor: settings[factor] for factor in told}
    if scope.same(named) >= LEAST_OF_AMOUNT:
        return None
    pairs = ({first: named[first], second: named[second]} for first, second in combinations(told, 2))
    unseen = next((pair for pair in pairs if scope.similar(pair) < LEAST_OF_AMOUNT), named)
    reason = f"{level}s had {_all(unseen)} each, but not together, nor settings from which it follows"
    return Insufficient("range", reason, (f"make at least {LEAST_OF_AMOUNT} runs with {_all(named)}",))


def stand_ins(scope: Scope, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is assumed of each factor in which rows differ and of which nothing is said: the most frequent name and the
    middle amount of the rows that are most like `settings`, factor by factor, so that they also fit each other."""
    found: dict[str, Any] = {}
    rows = _most_like(scope.combinations, settings)
    for each in scope.ranges:
        if each.factor in settings or not (each.names if each.factor in CATEGORIES else each.varies):
            continue
        found[each.factor] = _usual(each, rows)
        rows = _most_like(rows, {each.factor: found[each.factor]})
    return found


def _most_like(rows: Combinations, settings: Mapping[str, Any]) -> Combinations:
    """Those whose settings differ least: in names, then in amounts."""
    asked = _marks(settings)
    far = [tuple(map(sum, zip(*(_far(marks[place], mark) for place, mark in asked), strict=True))) for marks, _ in rows]
    least = min(far, default=())
    return tuple(row for row, distance in zip(rows, far, strict=True) if distance == least)


def _far(mark: Setting, asked: Setting) -> tuple[int, int]:
    """Whether it is another name (or not known), and by how many half-octaves the amount differs."""
    if isinstance(asked, int) and isinstance(mark, int):
        return 0, abs(mark - asked)
    return int(mark != asked), 0


def _usual(found: Range, rows: Combinations) -> Setting:
    place = FACTORS.index(found.factor)
    counts: Counter[Setting] = Counter()
    for marks, n in rows:
        counts[marks[place]] += n
    if found.factor in CATEGORIES:
        # Of as frequent ones the one that is the most frequent of all.
        return max(found.names, key=lambda each: counts[each[0]])[0]
    marks_seen = sorted(mark for mark in counts.elements() if isinstance(mark, int))
    middle = median_low(marks_seen) if marks_seen else _mark(found.factor, found.usual)
    if not isinstance(middle, int) or middle == _mark(found.factor, found.usual):
        return found.usual
    return min(max(round(2 ** (middle / 2)), found.low), found.high)


def _all(settings: Mapping[str, Any]) -> str:
    return " and ".join(_said(factor, value) for factor, value in settings.items())


def _outside(found: Range | None, factor: str, value: Any, level: str) -> Insufficient | None:
    if found is None:
        return Insufficient("levels", f"no {level} has a known {factor}", (_runs(factor, value),))
    if (value in dict(found.names)) if factor in CATEGORIES else found.low <= value <= found.high:
        return None
    wanted = (_runs(factor, value),)
    if not found.varies:
        return Insufficient("levels", f"every {level} with a known {factor} had {found.told}, not {value}", wanted)
    return Insufficient("range", f"{factor} {value} is outside what was seen ({found.told})", wanted)


def _runs(factor: str, value: Any) -> str:
    least = LEAST_OF_NAME if factor in CATEGORIES else LEAST_OF_AMOUNT
    return f"make at least {least} runs with {_said(factor, value)}"


def _said(factor: str, value: Any) -> str:
    unit = {"agents": "agents", "tasks": "tasks", "prompt_bytes": "bytes of prompt"}.get(factor)
    return f"{value} {unit}" if unit else f"{factor} {value}"


def _range(factor: str, values: list[Any]) -> Range:
    if factor in AMOUNTS:
        low, high, usual = (min(values), max(values), median_low(values)) if values else (0, 0, 0)
        return Range(factor, len(values), (), low, high, usual)
    names = ((name, n) for name, n in Counter(values).most_common(MOST_NAMES) if n >= LEAST_OF_NAME)
    return Range(factor, len(values), tuple(names))


def _marks(settings: Mapping[str, Any]) -> list[tuple[int, Setting]]:
    return [(place, _mark(factor, settings[factor])) for place, factor in enumerate(FACTORS) if factor in settings]


def _mark(factor: str, value: Any) -> Setting:
    return round(2 * log2(value)) if factor in AMOUNTS and value is not None else value


def _alike(mark: Setting, asked: Setting) -> bool:
    if isinstance(asked, int):
        return isinstance(mark, int) and abs(mark - asked) <= 1
    return mark == asked

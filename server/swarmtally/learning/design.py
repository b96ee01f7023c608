"""Rows as the columns of a regression: names as one column a level, amounts as doublings, what is not known apart."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

import numpy as np

from swarmtally.domain.clock import NS_PER_S
from swarmtally.learning.fitting import Floats
from swarmtally.learning.rows import AMOUNTS, CATEGORIES, TrainingRow

MIN_LEVEL_ROWS = 5
"""A level in fewer rows has no effect of its own."""

MIN_LEVEL_RUNS = 3
"""Nor has one of fewer runs: little tells it from whatever else was special about those."""

MAX_LEVELS = 20
"""The most levels of one factor with effects of their own: the most common ones."""

WHEN = "when"
"""The time, as the rows' order: whatever drifted steadily is not taken for an effect."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: a factor and, of a name, the level that it marks; None marks amounts, which count doublings."""

    factor: str
    level: str | None = None
    shown: bool = True
    """Whether its effect is told; others only take their part of the target away from those."""


@dataclass(frozen=True, slots=True)
class Level:
    """A level of a factor, with the rows and runs that have it."""

    name: str
    rows: int
    runs: int


@dataclass(frozen=True, slots=True)
class Design:
    """Columns over rows (rows, columns), and which run each row is of (rows,)."""

    columns: tuple[Column, ...]
    values: Floats
    runs: tuple[str, ...]
    levels: dict[str, tuple[Level, ...]]
    """Of each factor that is a name, most common first, those too rare for an effect last; the others are compared with
    the first."""

    def at(self, factor: str) -> list[int]:
        """The columns whose effects are that factor's."""
        return [number for number, column in enumerate(self.columns) if column.factor == factor and column.shown]


def design(rows: Sequence[TrainingRow]) -> Design:
    """The columns of at least one row, oldest first."""
    runs = tuple(row.run_id or f"row {number}" for number, row in enumerate(rows))
    columns, values = [Column("constant", shown=False)], [np.ones(len(rows))]
    levels = {factor: _levels(rows, runs, factor) for factor in CATEGORIES}
    for factor in CATEGORIES:
        own = [getattr(row, factor) for row in rows]
        usual = [level.name for level in levels[factor] if usable(level)][:MAX_LEVELS]
        for level in usual[1:]:
            columns.append(Column(factor, level))
            values.append(np.array([value == level for value in own], dtype=np.float64))
        # Levels too rare for effects of their own, and rows that do not say.
        if usual:
            _add_rest(columns, values, factor, [value not in usual for value in own])
    for factor in AMOUNTS:
        amounts = [getattr(row, factor) for row in rows]
        known = [value is not None for value in amounts]
        if len({value for value in amounts if value is not None}) > 1:
            middle = float(np.mean([log2(max(1, value)) for value in amounts if value is not None]))
            columns.append(Column(factor))
            values.append(np.array([middle if value is None else log2(max(1, value)) for value in amounts]))
            _add_rest(columns, values, factor, [not each for each in known])
    # Rows without a time have their place instead, and who wrote them down in that order may have sorted them.
    if NS_PER_S < rows[0].at_ns < rows[-1].at_ns:
        columns.append(Column(WHEN, shown=False))
        values.append(np.linspace(-1, 1, len(rows)))
    return Design(tuple(columns), np.column_stack(values), runs, levels)


def _add_rest(columns: list[Column], values: list[Floats], factor: str, marked: list[bool]) -> None:
    if any(marked):
        columns.append(Column(factor, "rest", shown=False))
        values.append(np.array(marked, dtype=np.float64))


def usable(level: Level) -> bool:
    """Whether there are rows and runs enough for an effect."""
    return level.rows >= MIN_LEVEL_ROWS and level.runs >= MIN_LEVEL_RUNS


def _levels(rows: Sequence[TrainingRow], runs: Sequence[str], factor: str) -> tuple[Level, ...]:
    named = [(getattr(row, factor), run) for row, run in zip(rows, runs, strict=True)]
    counts = Counter(name for name, _ in named if name is not None)
    apart = Counter(name for name, _ in set(named) if name is not None)
    found = [Level(name, counts[name], apart[name]) for name in counts]
    return tuple(sorted(found, key=lambda level: (not usable(level), -level.rows, level.name)))

"""Rows as columns of numbers: names as indicators, amounts as logarithms, texts as counts of what they hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil, exp, log, log1p
from operator import attrgetter
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from swarmtally.learning.ranges import Scope
from swarmtally.learning.rows import CATEGORIES, TrainingRow

Floats: TypeAlias = npt.NDArray[np.float64]

MOST_TEXT = 20_000
"""Characters of a text that are counted."""

MOST_MEDIAN = 1_000
"""Texts whose median stands in for one that is not known."""

NARROWEST = 1e-9
"""Columns whose numbers differ by less are all the same."""

DIGITS = str.maketrans("", "", "0123456789")
SIGNS = str.maketrans("", "", "{}()[]<>=_;")

COUNTS: dict[str, Callable[[str], int]] = {
    "words": lambda text: len(text.split()),
    "digits": lambda text: len(text) - len(text.translate(DIGITS)),
    "code signs": lambda text: len(text) - len(text.translate(SIGNS)),
    "lines": lambda text: text.count("\n"),
}
"""What is counted in a text."""


@dataclass(frozen=True, slots=True)
class Column:
    """One number of each row, standardised ((number - centre) / spread) and kept within what was seen."""

    factor: str
    kind: str
    """is | unknown | log | amount | share | count | waves | turns"""
    of: str = ""
    """is: the name; count: what is counted."""
    fill: float = 0.0
    """What stands in for a number that is not known."""
    centre: float = 0.0
    spread: float = 1.0
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True, slots=True)
class Encoding:
    columns: tuple[Column, ...]

    def matrix(self, rows: Sequence[TrainingRow]) -> Floats:
        """Shape (rows, columns)."""
        made = np.empty((len(rows), len(self.columns)))
        for place, column in enumerate(self.columns):
            made[:, place] = _standard(column, _numbers(column, rows))
        return made


def encode(rows: Sequence[TrainingRow], scope: Scope) -> tuple[Encoding, Floats]:
    """The columns in which `rows` differ, and their matrix; standardised over all of them: no target is looked at."""
    return _differing(rows, _columns(rows, scope))


def encode_parts(rows: Sequence[TrainingRow], scope: Scope) -> tuple[Encoding, Floats]:
    """The same for a sum of parts: amounts as they are, and what is shared by so many as a share of it."""
    return _differing(rows, [each for column in _columns(rows, scope) for each in _part(column)])


def _part(column: Column) -> list[Column]:
    shared = column.factor in ("agents", "concurrency")
    if column.kind == "log":
        return [
            replace(column, kind="share" if shared else "amount", fill=exp(-column.fill if shared else column.fill))
        ]
    return [replace(column, kind="turns", fill=1.0)] if column.kind == "waves" else [column]


def _differing(rows: Sequence[TrainingRow], candidates: Sequence[Column]) -> tuple[Encoding, Floats]:
    columns, made = [], []
    for column in candidates:
        numbers = _numbers(column, rows)
        spread, low, high = float(numbers.std()), float(numbers.min()), float(numbers.max())
        if spread > NARROWEST:
            columns.append(replace(column, centre=float(numbers.mean()), spread=spread, low=low, high=high))
            made.append(_standard(columns[-1], numbers))
    return Encoding(tuple(columns)), np.column_stack(made) if made else np.empty((len(rows), 0))


def _standard(column: Column, numbers: Floats) -> Floats:
    return np.asarray((np.clip(numbers, column.low, column.high) - column.centre) / column.spread, dtype=np.float64)


def _columns(rows: Sequence[TrainingRow], scope: Scope) -> list[Column]:
    columns = []
    for found in scope.ranges:
        if found.factor in CATEGORIES:
            columns += [Column(found.factor, "is", name) for name, _ in found.names]
        else:
            columns.append(Column(found.factor, "log", fill=log(found.usual)))
        columns.append(Column(found.factor, "unknown"))
        if found.factor in ("agents", "concurrency"):
            columns.append(Column(found.factor, "amount", fill=float(found.usual)))
    if rows[0].level == "run" and scope.of("tasks") and scope.of("agents"):
        columns.append(Column("tasks", "waves"))
    texts = [row for row in rows if row.text]
    if not texts:
        return columns
    some = texts[:: 1 + len(texts) // MOST_MEDIAN]
    counts = [Column("text", "count", each) for each in COUNTS]
    counts = [replace(each, fill=float(np.median(_numbers(each, some)))) for each in counts]
    return [*columns, Column("text", "unknown"), *counts]


def _numbers(column: Column, rows: Sequence[TrainingRow]) -> Floats:
    return np.array(_KINDS[column.kind](column, rows), dtype=np.float64)


def _is(column: Column, rows: Sequence[TrainingRow]) -> list[bool]:
    return [value == column.of for value in map(attrgetter(column.factor), rows)]


def _unknown(column: Column, rows: Sequence[TrainingRow]) -> list[bool]:
    return [not value for value in map(attrgetter(column.factor), rows)]


def _log(column: Column, rows: Sequence[TrainingRow]) -> list[float]:
    return [log(value) if value else column.fill for value in map(attrgetter(column.factor), rows)]


def _amount(column: Column, rows: Sequence[TrainingRow]) -> list[float]:
    return [value or column.fill for value in map(attrgetter(column.factor), rows)]


def _share(column: Column, rows: Sequence[TrainingRow]) -> list[float]:
    return [1 / value if value else column.fill for value in map(attrgetter(column.factor), rows)]


def _count(column: Column, rows: Sequence[TrainingRow]) -> list[float]:
    count = COUNTS[column.of]
    return [log1p(count(row.text[:MOST_TEXT])) if row.text else column.fill for row in rows]


def _waves(column: Column, rows: Sequence[TrainingRow]) -> list[float]:
    return [log(turns) if (turns := _in_turn(row)) else column.fill for row in rows]


def _turns(column: Column, rows: Sequence[TrainingRow]) -> list[float]:
    return [_in_turn(row) or column.fill for row in rows]


def _in_turn(row: TrainingRow) -> int | None:
    """How many tasks an agent has in turn, where all are alike."""
    if not row.tasks or not row.agents:
        return None
    return ceil(row.tasks / min(row.agents, row.concurrency or row.agents))


_KINDS: dict[str, Callable[[Column, Sequence[TrainingRow]], Sequence[float]]] = {
    "is": _is,
    "unknown": _unknown,
    "log": _log,
    "amount": _amount,
    "share": _share,
    "count": _count,
    "waves": _waves,
    "turns": _turns,
}

KINDS = frozenset(_KINDS)

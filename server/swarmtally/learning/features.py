"""Rows as columns of numbers: names as indicators, amounts as logarithms, texts as counts of what they hold."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil, log, log1p
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from swarmtally.learning.ranges import Scope
from swarmtally.learning.rows import CATEGORIES, TrainingRow

Floats: TypeAlias = npt.NDArray[np.float64]

MOST_TEXT = 20_000
"""Characters of a text that are counted."""

NARROWEST = 1e-9
"""Columns whose numbers differ by less are all the same."""

COUNTS: dict[str, Callable[[str], int]] = {
    "words": lambda text: len(text.split()),
    "digits": lambda text: len(re.findall(r"\d", text)),
    "code signs": lambda text: len(re.findall(r"[{}()\[\]<>=_;]", text)),
    "lines": lambda text: text.count("\n"),
}
"""What is counted in a text."""


@dataclass(frozen=True, slots=True)
class Column:
    """One number of each row, standardised ((number - centre) / spread) and kept within what was seen."""

    factor: str
    kind: str
    """is | unknown | log | amount | count | waves"""
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
            numbers = np.clip(_numbers(column, rows), column.low, column.high)
            made[:, place] = (numbers - column.centre) / column.spread
        return made


def encode(rows: Sequence[TrainingRow], scope: Scope) -> Encoding:
    """The columns in which `rows` differ; standardised over all of them, which tells nothing of their targets."""
    columns = []
    for column in _columns(rows, scope):
        numbers = _numbers(column, rows)
        spread, low, high = float(numbers.std()), float(numbers.min()), float(numbers.max())
        if spread > NARROWEST:
            columns.append(replace(column, centre=float(numbers.mean()), spread=spread, low=low, high=high))
    return Encoding(tuple(columns))


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
    counts = [Column("text", "count", each) for each in COUNTS]
    counts = [replace(each, fill=float(np.median(_numbers(each, texts)))) for each in counts]
    return [*columns, Column("text", "unknown"), *counts]


def _numbers(column: Column, rows: Sequence[TrainingRow]) -> Floats:
    return np.fromiter(map(partial(_KINDS[column.kind], column), rows), np.float64, len(rows))


def _is(column: Column, row: TrainingRow) -> float:
    return float(getattr(row, column.factor) == column.of)


def _unknown(column: Column, row: TrainingRow) -> float:
    return float(not getattr(row, column.factor))


def _log(column: Column, row: TrainingRow) -> float:
    amount = getattr(row, column.factor)
    return column.fill if amount is None else log(amount)


def _amount(column: Column, row: TrainingRow) -> float:
    amount = getattr(row, column.factor)
    return column.fill if amount is None else float(amount)


def _count(column: Column, row: TrainingRow) -> float:
    return log1p(COUNTS[column.of](row.text[:MOST_TEXT])) if row.text else column.fill


def _waves(column: Column, row: TrainingRow) -> float:
    """How many tasks an agent has in turn, where all are alike."""
    if row.tasks is None or row.agents is None:
        return column.fill
    return log(ceil(row.tasks / min(row.agents, row.concurrency or row.agents)))


_KINDS: dict[str, Callable[[Column, TrainingRow], float]] = {
    "is": _is,
    "unknown": _unknown,
    "log": _log,
    "amount": _amount,
    "count": _count,
    "waves": _waves,
}

KINDS = frozenset(_KINDS)

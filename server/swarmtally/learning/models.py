"""Fitted models as plain numbers: what they predict, without the library that fitted them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log, log2
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from swarmtally.learning.features import Encoding, Floats
from swarmtally.learning.rows import TrainingRow

Ints: TypeAlias = npt.NDArray[np.int64]


class Model(Protocol):
    """Predicts rows' targets: logarithms of seconds or tokens, or log odds of success."""

    def of(self, rows: Sequence[TrainingRow]) -> Floats: ...


@dataclass(frozen=True, slots=True)
class Medians:
    """The median of all, and for each factor how far its groups' medians lie from it, shrunken (`medians.py`)."""

    overall: float
    names: Mapping[str, Mapping[str, float]]
    amounts: Mapping[str, tuple[tuple[float, float], ...]]
    """Of each factor: half-octaves (`half_octave`) and effects, ascending; between two of them a straight line."""

    def of(self, rows: Sequence[TrainingRow]) -> Floats:
        return np.array([self.overall + self._effects(row) for row in rows])

    def _effects(self, row: TrainingRow) -> float:
        found = 0.0
        for factor, effects in self.names.items():
            found += effects.get(getattr(row, factor) or "", 0.0)
        for factor, points in self.amounts.items():
            amount = getattr(row, factor)
            if amount is not None:
                places, values = zip(*points, strict=True)
                found += float(np.interp(log2(amount), places, values))
        return found


def half_octave(amount: int) -> float:
    """Amounts in groups: the binary logarithm, rounded to halves."""
    return round(2 * log2(amount)) / 2


@dataclass(frozen=True, slots=True)
class Linear:
    """Weights of standardised columns."""

    encoding: Encoding
    intercept: float
    weights: tuple[float, ...]

    def of(self, rows: Sequence[TrainingRow]) -> Floats:
        return self.of_matrix(self.encoding.matrix(rows))

    def of_matrix(self, design: Floats) -> Floats:
        return np.asarray(design @ np.array(self.weights) + self.intercept, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Sums:
    """Seconds or tokens as a sum of parts, each a weight times a standardised column."""

    encoding: Encoding
    scale: float
    """Logarithm of the unit that the weights are in."""
    least: float
    """Of a sum, in that unit: what the parts add up to is more than nothing."""
    intercept: float
    weights: tuple[float, ...]

    def of(self, rows: Sequence[TrainingRow]) -> Floats:
        return self.of_matrix(self.encoding.matrix(rows))

    def of_matrix(self, design: Floats) -> Floats:
        sums = design @ np.array(self.weights) + self.intercept
        return np.asarray(self.scale + np.log(np.maximum(sums, self.least)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Odds:
    """Log odds as weights of standardised columns, and what is not known about them (Laplace's approximation)."""

    encoding: Encoding
    weights: tuple[float, ...]
    """The first is the intercept."""
    covariance: tuple[tuple[float, ...], ...]

    def of(self, rows: Sequence[TrainingRow]) -> Floats:
        return self.of_matrix(self.encoding.matrix(rows))

    def of_matrix(self, design: Floats) -> Floats:
        return np.asarray(design @ np.array(self.weights[1:]) + self.weights[0], dtype=np.float64)

    def spread(self, rows: Sequence[TrainingRow]) -> Floats:
        """Standard deviation of each row's log odds."""
        design = np.column_stack([np.ones(len(rows)), self.encoding.matrix(rows)])
        variance = np.einsum("ij,jk,ik->i", design, np.array(self.covariance), design)
        return np.asarray(np.sqrt(variance), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Rates:
    """How many of each mode succeeded and failed, under a prior at the rate of the other modes."""

    succeeded: int
    failed: int
    modes: Mapping[str, tuple[int, int]]
    """Succeeded and failed; "" is the unknown mode."""

    def posterior(self, row: TrainingRow) -> tuple[float, float]:
        """Beta(a, b) of a row's success. The rate of the others has Jeffreys' prior (1946), and is worth `WORTH` rows,
        or one more than they are: with none of them it is Jeffreys' prior alone."""
        if row.mode is None and "" not in self.modes:
            return self.succeeded + 0.5, self.failed + 0.5
        succeeded, failed = self.modes.get(row.mode or "", (0, 0))
        others = self.succeeded + self.failed - succeeded - failed
        rate = (self.succeeded - succeeded + 0.5) / (others + 1)
        worth = min(WORTH, others + 1)
        return succeeded + worth * rate, failed + worth * (1 - rate)

    def of(self, rows: Sequence[TrainingRow]) -> Floats:
        return np.array([log(a / b) for a, b in map(self.posterior, rows)])


WORTH = 4
"""Rows that a prior is worth, at most."""


@dataclass(frozen=True, slots=True)
class Trees:
    """Boosted trees: the nodes of all one after another. The sum of the leaves that a row comes to is its value."""

    encoding: Encoding
    base: float
    roots: tuple[int, ...]
    column: tuple[int, ...]
    """-1 is a leaf."""
    threshold: tuple[float, ...]
    """Numbers up to it go left."""
    left: tuple[int, ...]
    right: tuple[int, ...]
    value: tuple[float, ...]

    def of(self, rows: Sequence[TrainingRow]) -> Floats:
        return self.of_matrix(self.encoding.matrix(rows))

    def of_matrix(self, design: Floats) -> Floats:
        column, threshold = np.array(self.column), np.array(self.threshold)
        left, right, value = np.array(self.left), np.array(self.right), np.array(self.value)
        roots = np.array(self.roots)
        total = np.empty(len(design))
        for start in range(0, len(design), _AT_ONCE):
            part = design[start : start + _AT_ONCE]
            total[start : start + _AT_ONCE] = self.base + _leaves(part, roots, column, threshold, left, right, value)
        return total


_AT_ONCE = 2_000
"""Rows, so that what is held meanwhile stays small."""


def _leaves(
    design: Floats, roots: Ints, column: Ints, threshold: Floats, left: Ints, right: Ints, value: Floats
) -> Floats:
    """The sum of the leaves' values that each row comes to."""
    nodes = np.repeat(roots[None, :], len(design), axis=0)
    rows = np.arange(len(design))[:, None]
    while (inner := column[nodes] >= 0).any():
        lower = design[rows, np.maximum(column[nodes], 0)] <= threshold[nodes]
        nodes = np.where(inner, np.where(lower, left[nodes], right[nodes]), nodes)
    return np.asarray(value[nodes].sum(axis=1), dtype=np.float64)

"""Bounded least squares on log throughput, for one set of measurements or for many at once.

Measurements of the same kind and size only differ by noise, so a fit needs no more of them than their mean and number.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

MOST_KINDS = 50
"""Of more kinds of work those with the most rows are compared."""

_STEPS = 60
"""Every fit seen took fewer steps; one more changes nothing."""

_SAME = 1e-9
"""Less than this is no difference in work, but rounding."""

_SIGMAS = (0.0, 0.01, 0.03, 0.1, 0.3, 0.6, 0.95)
_KAPPAS = (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Where fits begin: the best of these pairs."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Measurements put together by kind and size: number at once, rows, mean log throughput, each of shape (cells,).

    Kinds that were seen at one size only say nothing about how throughput grows, and are left out; so are rare ones.
    """

    n: Floats
    weight: Floats
    mean: Floats
    kind: Ints
    work: Floats
    """Mean size of what was to be done, as its logarithm, apart from the mean of all rows; 0 where it is not known."""
    scatter: float
    """Sum of squared distances of the rows from their cells' means, and from the line over their work."""
    spread: float
    """Root of the sum of squared distances of the rows' work from their cells' means; 0: work explains nothing."""
    every_size: tuple[int, ...]
    """Sizes that were seen, also those left out; ascending."""

    @classmethod
    def of(
        cls, points: Sequence[tuple[int, float]], kinds: Sequence[Hashable], work: Sequence[float | None]
    ) -> "Cells":
        """From (number at once, log throughput), the kind of each, and the logarithm of how much it had to do.

        Runs with more to do take longer whatever their size: how much is the slope of the rows within cells, where
        kind and number at once are the same, and is taken off.
        """
        found: dict[Hashable, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for number, ((n, _), kind) in enumerate(zip(points, kinds, strict=True)):
            found[kind][n].append(number)
        compared = [sizes for sizes in found.values() if len(sizes) > 1]
        compared = sorted(compared, key=lambda sizes: -sum(map(len, sizes.values())))[:MOST_KINDS]
        cells = [(n, rows, kind) for kind, sizes in enumerate(compared) for n, rows in sorted(sizes.items())]
        values = [np.array([points[row][1] for row in rows]) for _, rows, _ in cells]
        sizes, slope, spread = _slope(values, [[work[row] for row in rows] for _, rows, _ in cells])
        adjusted = [value - slope * size for value, size in zip(values, sizes, strict=True)]
        return cls(
            n=np.array([n for n, _, _ in cells], dtype=np.float64),
            weight=np.array([len(rows) for _, rows, _ in cells], dtype=np.float64),
            mean=np.array([value.mean() for value in adjusted], dtype=np.float64),
            kind=np.array([kind for _, _, kind in cells], dtype=np.int64),
            work=np.array([size.mean() for size in sizes], dtype=np.float64),
            scatter=float(sum(np.var(value) * len(value) for value in adjusted)),
            spread=spread,
            every_size=tuple(sorted({n for n, _ in points})),
        )

    @property
    def rows(self) -> int:
        return int(self.weight.sum())

    @property
    def count(self) -> int:
        return len(self.n)

    @property
    def freedom(self) -> int:
        """Degrees of freedom of `scatter`."""
        return self.rows - self.count - (self.spread > 0)

    @property
    def kinds(self) -> int:
        return int(self.kind.max()) + 1 if len(self.kind) else 0

    @property
    def sizes(self) -> tuple[int, ...]:
        """Those that are compared; ascending."""
        return tuple(sorted({int(n) for n in self.n}))

    def credibly_fastest(self) -> int:
        """The largest size that was faster than each smaller one by more than chance explains (one-sided t tests at
        2.5 %); the smallest size at least."""
        found = self.sizes[0]
        for size in self.sizes[1:]:
            if all(self._faster(size, smaller) for smaller in self.sizes if smaller < size):
                found = size
        return found

    def _faster(self, size: int, smaller: int) -> bool:
        """Compared within each kind that has both."""
        freedom = self.freedom
        if freedom < 1:
            return False
        gain, certainty = 0.0, 0.0
        for kind in range(self.kinds):
            here = [np.flatnonzero((self.kind == kind) & (self.n == n)) for n in (size, smaller)]
            if any(len(cell) == 0 for cell in here):
                continue
            (first,), (second,) = here
            weight = 1 / (1 / self.weight[first] + 1 / self.weight[second])
            gain += weight * (self.mean[first] - self.mean[second])
            certainty += weight
        from scipy.special import stdtrit

        deviation = sqrt(self.scatter / freedom)
        return certainty > 0 and gain / certainty > stdtrit(freedom, 0.975) * deviation / sqrt(certainty)

    def share_of_kind(self) -> Floats:
        """Each cell's share of its kind's rows; shape (cells, kinds)."""
        shares = np.zeros((self.count, self.kinds))
        shares[np.arange(self.count), self.kind] = self.weight
        shares /= shares.sum(axis=0)
        return shares


def _slope(values: list[Floats], work: list[list[float | None]]) -> tuple[list[Floats], float, float]:
    """Each row's work apart from the mean of all, what log throughput gains with it within cells, and the root of the
    sum of squares that this rests on."""
    told = [size for cell in work for size in cell if size is not None]
    middle = float(np.mean(told)) if told else 0.0
    sizes = [np.array([0.0 if size is None else size - middle for size in cell]) for cell in work]
    apart = [size - size.mean() for size in sizes]
    squares = float(sum(size @ size for size in apart))
    if squares <= _SAME:
        return [np.zeros(len(size)) for size in sizes], 0.0, 0.0
    slope = float(sum(size @ value for size, value in zip(apart, values, strict=True))) / squares
    return sizes, slope, sqrt(squares)


@dataclass(frozen=True, slots=True)
class BoundedFit:
    """One fit a row: sigma, kappa and the sum of squares left, shape (fits,); log lambda of each kind, shape
    (fits, kinds); the curve at each cell, shape (fits, cells)."""

    sigma: Floats
    kappa: Floats
    loss: Floats
    alone: Floats
    fitted: Floats


def fit_cells(cells: Cells, means: Floats | None = None, most_kappa: float = np.inf) -> BoundedFit:
    """The sigma in [0, 1], kappa >= 0 and lambdas with the least squares: Levenberg and Marquardt's steps (Marquardt,
    SIAM J. Appl. Math. 11, 1963), with what a bound stops held there.

    Args:
        means: log throughputs to fit in place of the cells' own, one set a row; shape (fits, cells).
        most_kappa: the upper bound of kappa.
    """
    problem = _Problem(cells, cells.mean[None, :] if means is None else means, most_kappa)
    at = problem.beginning()
    loss = problem.loss(at)
    damping = np.full(len(loss), 1e-3)
    for _ in range(_STEPS):
        tried = problem.stepped(at, damping)
        reached = problem.loss(tried)
        better = reached < loss
        settled = ~better & (damping > 1e6)
        at = np.where(better[:, None], tried, at)
        loss = np.where(better, reached, loss)
        damping = np.where(better, damping / 5, damping * 5)
        if settled.all():
            break
    alone = problem.alone(at)
    return BoundedFit(at[:, 0], at[:, 1], loss, alone, alone[:, cells.kind] + problem.curve(at))


class _Problem:
    """Sets of log throughputs and how far a curve is from each; lambda of each kind follows from the rest."""

    def __init__(self, cells: Cells, means: Floats, most_kappa: float) -> None:
        self._most_kappa = most_kappa
        self._n, self._weight, self._means = cells.n, cells.weight, means
        self._share, self._kind = cells.share_of_kind(), cells.kind

    def beginning(self) -> Floats:
        pairs = np.array([(sigma, kappa) for sigma in _SIGMAS for kappa in _KAPPAS if kappa <= self._most_kappa])
        curves = self._apart(self.curve(pairs))
        # |data - curve|^2 for every set and every pair, without the part that is the same for all pairs.
        data = self._apart(self._means)
        distance = (self._weight * curves**2).sum(axis=1) - 2 * (data * self._weight) @ curves.T
        found: Floats = pairs[distance.argmin(axis=1)]
        return found

    def curve(self, at: Floats) -> Floats:
        """log X(n) / X(1); shape (sets, cells)."""
        found: Floats = np.log(self._n) - np.log(self._slowing(at))
        return found

    def alone(self, at: Floats) -> Floats:
        return (self._means - self.curve(at)) @ self._share

    def loss(self, at: Floats) -> Floats:
        found: Floats = (self._weight * self._residuals(at) ** 2).sum(axis=1)
        return found

    def stepped(self, at: Floats, damping: Floats) -> Floats:
        """Where one step leads from `at`, within the bounds."""
        slowing = self._slowing(at)
        by_sigma = self._apart((self._n - 1) / slowing)
        by_kappa = self._apart(self._n * (self._n - 1) / slowing)
        residuals, weight = self._residuals(at), self._weight
        slope = np.stack([(weight * by * residuals).sum(axis=1) for by in (by_sigma, by_kappa)], axis=1)
        ss, kk = ((weight * by**2).sum(axis=1) for by in (by_sigma, by_kappa))
        sk = (weight * by_sigma * by_kappa).sum(axis=1)
        ss, kk = (np.maximum(own * (1 + damping), 1e-300) for own in (ss, kk))
        most = np.array([1.0, self._most_kappa])
        held = ((at <= 0) & (slope > 0)) | ((at >= most) & (slope < 0))
        # Where one of the two is held, the other moves as if there were no such one.
        slope = np.where(held, 0, slope)
        sk = np.where(held.any(axis=1), 0, sk)
        ground = np.maximum(ss * kk - sk**2, 1e-300)
        step = np.stack([kk * slope[:, 0] - sk * slope[:, 1], ss * slope[:, 1] - sk * slope[:, 0]], axis=1)
        moved = at - step / ground[:, None]
        bounded: Floats = np.clip(moved, 0, most)
        return bounded

    def _slowing(self, at: Floats) -> Floats:
        found: Floats = 1 + at[:, :1] * (self._n - 1) + at[:, 1:] * (self._n * (self._n - 1))
        return found

    def _residuals(self, at: Floats) -> Floats:
        """What is left of the data, with the sign of the derivatives of `stepped`."""
        return self._apart(self._means - self.curve(at))

    def _apart(self, values: Floats) -> Floats:
        """`values` less their kind's mean."""
        found: Floats = values - (values @ self._share)[:, self._kind]
        return found

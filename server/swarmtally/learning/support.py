"""Whether settings that were each seen were also seen together: a model that never saw them so would extrapolate.

The leverage of a query in the standardised design, beside that of the rows (Cook 1979, the hull of the independent
variables): x'(X'X + penalty)^-1 x, in which correlated settings count as what they are. It needs no target, so it says
the same of trees, which cannot tell themselves that they were asked about something else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from swarmtally.learning.features import Encoding, Floats
from swarmtally.learning.rows import TrainingRow

PENALTY = 1.0
"""As of ridge: a combination of columns that no row has is this far beyond, and not infinitely far."""

SHARE = 0.99
"""Of the rows, whose leverage bounds a query's. The others stand apart themselves, and would let everything in."""

SHARE_ALONE = 0.9
"""Of rows whose medians or rates know nothing of how settings go together."""

NEARLY_NONE = 1e-6

DIGITS = 6
"""Of each number that is kept."""


@dataclass(frozen=True, slots=True)
class Support:
    """What rows cover together."""

    encoding: Encoding
    inverse: tuple[float, ...]
    """(X'X + penalty)^-1, the lower triangle row by row; the first column of X is 1, and has no penalty."""
    limit: float
    """The leverage that `SHARE` (or `SHARE_ALONE`) of the rows do not pass, each beside the others."""
    usual: float
    """The mean of their leverages."""

    def leverage(self, rows: Sequence[TrainingRow]) -> Floats:
        """Shape (rows,)."""
        size = len(self.encoding.columns) + 1
        full = np.zeros((size, size))
        full[np.tril_indices(size)] = self.inverse
        return _leverage(full + np.tril(full, -1).T, self.encoding.matrix(rows))

    def wider(self, leverage: float) -> float:
        """How many times as wide an interval is as those of the rows: what is not known about the weights adds to the
        noise, as in least squares (1 + leverage times its variance)."""
        return sqrt((1 + leverage) / (1 + self.usual))


def support_of(encoding: Encoding, design: Floats, alone: bool = False) -> Support:
    """What the rows of `design` cover; `alone`: for a model that takes each factor by itself."""
    columns = np.column_stack([np.ones(len(design)), design])
    squares = columns.T @ columns + np.diag([0.0, *[PENALTY] * design.shape[1]])
    inverse = np.linalg.inv(squares)
    own = _leverage(inverse, design)
    # Of each row beside the others alone, as a query is beside all (Sherman and Morrison 1950).
    own = own / np.maximum(1 - own, NEARLY_NONE)
    kept = inverse[np.tril_indices(len(inverse))].tolist()
    share = SHARE_ALONE if alone else SHARE
    numbers = tuple(float(f"{each:.{DIGITS}g}") for each in kept)
    return Support(encoding, numbers, float(np.quantile(own, share)), float(own.mean()))


def _leverage(inverse: Floats, design: Floats) -> Floats:
    columns = np.column_stack([np.ones(len(design)), design])
    return np.asarray(((columns @ inverse) * columns).sum(axis=1), dtype=np.float64)

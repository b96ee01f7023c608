"""The few formulas that intervals and percentiles rest on."""

from math import ceil, sqrt
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

Z_95 = 1.959963984540054
"""The normal distribution's 97.5 % quantile: half of a two-sided 95 % interval."""


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson 1927, JASA 22, 209-212). `trials` is at least 1."""
    share = successes / trials
    denominator = 1 + Z_95**2 / trials
    centre = share + Z_95**2 / (2 * trials)
    spread = Z_95 * sqrt(share * (1 - share) / trials + Z_95**2 / (4 * trials**2))
    # Rounding may put a bound a hair beyond what a proportion can be.
    return max(0.0, (centre - spread) / denominator), min(1.0, (centre + spread) / denominator)


def t_95(freedom: int) -> float:
    """Student's 97.5 % quantile, by the Cornish-Fisher expansion (Abramowitz and Stegun 1964, 26.7.5): within 1 % from
    4 degrees of freedom on."""
    z, v = Z_95, float(freedom)
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )


def percentiles(values: Ints, shares: tuple[float, ...]) -> list[int]:
    """For each share p the smallest of `values` that p of them do not exceed (nearest rank): always a recorded value.

    `values` is not empty; its order may change.
    """
    ranks = [max(0, ceil(share * values.size) - 1) for share in shares]
    values.partition(sorted(set(ranks)))
    return [int(values[rank]) for rank in ranks]


def median(values: Ints) -> int:
    """The lower median of values, of which there is at least one."""
    return percentiles(values, (0.5,))[0]

"""What calls would take alone, learned from calls that did run alone: the basis of the speed multiplier.

exec_s = a x uncached prompt tokens + b x output tokens + c, all weights >= 0, by least squares (Lawson and Hanson
1974). The uncertainty comes from leaving out blocks of neighbouring calls (the block jackknife, Kuensch 1989):
neighbours share the machine's mood, so leaving out single calls would promise too much.
"""

from dataclasses import dataclass
from itertools import combinations
from math import sqrt

import numpy as np

from swarmtally.insight.statistics import Floats, t_95

LEAST_CALLS = 9
"""Fewer lone calls say nothing."""

MOST_CALLS = 500
"""The newest lone calls are enough."""

BLOCKS = 10
"""The most blocks that are left out in turn."""


@dataclass(frozen=True, slots=True)
class Alone:
    """A fit over lone calls: `weights` are seconds per uncached token, per output token and per call."""

    calls: int
    weights: Floats
    left_out: Floats
    """The weights without each block, shape (blocks, 3)."""
    residual_s: float
    """Standard deviation of a single call around the fit."""

    def told(self, model: str) -> str:
        prompt, output, constant = self.weights
        return (
            f"{self.calls} lone calls of {model}: exec_s = {prompt:.3g} x uncached prompt tokens"
            f" + {output:.3g} x output tokens + {constant:.3g}"
        )


@dataclass(frozen=True, slots=True)
class Sequential:
    """What some calls would take one after another: seconds and the half-width of its 95 % interval."""

    seconds: float
    half_width_s: float


def fit(features: Floats, exec_s: Floats) -> Alone:
    """Learn from at least `LEAST_CALLS` calls in the order they were made.

    Args:
        features: uncached prompt tokens, output tokens; shape (calls, 2).
        exec_s: what each took, in seconds; shape (calls,).
    """
    design = np.column_stack([features, np.ones(len(exec_s))])
    weights = _non_negative(design, exec_s)
    blocks = np.array_split(np.arange(len(exec_s)), min(BLOCKS, len(exec_s)))
    left_out = []
    for block in blocks:
        kept = np.ones(len(exec_s), dtype=bool)
        kept[block] = False
        left_out.append(_non_negative(design[kept], exec_s[kept]))
    residuals = exec_s - design @ weights
    freedom = max(1, len(exec_s) - int(np.count_nonzero(weights)))
    return Alone(len(exec_s), weights, np.array(left_out), sqrt(float(residuals @ residuals) / freedom))


def sequential(alone: Alone, fresh_tokens: int, output_tokens: int, calls: int) -> Sequential:
    """What `calls` calls with these tokens in all would take alone, one after another."""
    total = np.array([fresh_tokens, output_tokens, calls], dtype=np.float64)
    seconds = float(alone.weights @ total)
    estimates = alone.left_out @ total
    blocks = len(estimates)
    spread = (blocks - 1) / blocks * float(np.sum((estimates - estimates.mean()) ** 2))
    # The calls' own scatter comes on top of what is not known about the weights.
    variance = spread + calls * alone.residual_s**2
    return Sequential(seconds, t_95(max(1, blocks - 1)) * sqrt(variance))


def _non_negative(design: Floats, target: Floats) -> Floats:
    """The least-squares weights that are not negative: the best of all ways to hold some of them at 0."""
    columns = design.shape[1]
    best, best_loss = np.zeros(columns), float(target @ target)
    for size in range(1, columns + 1):
        for chosen in combinations(range(columns), size):
            part = design[:, chosen]
            found, *_ = np.linalg.lstsq(part, target, rcond=None)
            if (found < 0).any():
                continue
            residuals = target - part @ found
            loss = float(residuals @ residuals)
            if loss < best_loss:
                best_loss = loss
                best = np.zeros(columns)
                best[list(chosen)] = found
    return best

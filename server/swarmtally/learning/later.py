"""Judged on later rows: models learn from the rows before a block, predict that block, and so on to the last.

What is said of a model (its skill, how many later rows its intervals held, how wide they are) comes from rows it had
not seen when it predicted them, as it will be asked (Dawid 1984, prequential analysis). Rows of one run share its
luck, so that whole runs are put in blocks, drawn again, and counted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log, sqrt
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from swarmtally.learning.answers import LEVEL, Interval
from swarmtally.learning.features import Floats
from swarmtally.learning.learners import Learner, Learners, Material
from swarmtally.learning.rows import TrainingRow

Ints: TypeAlias = npt.NDArray[np.int64]

FIRST = 0.4
"""The share of the rows that the first models learn from."""

FIRST_OF_FEW, FEW = 0.5, 300
FIRST_OF_FEWEST, FEWEST = 0.6, 50
"""Of fewer rows the first models learn from more, or they would miss by much more than the last one does. The fewest
are predicted one by one."""

LEAST_RESIDUALS = 12
"""Fewer of them give no interval of 90 %."""

HALF = 1 / 4
"""The share of the residuals in which their weight falls to half."""

SIGNED = 100
"""From so many runs of residuals on, those below and above have intervals of their own."""

FORGETTING = 0.8
FORGETTING_FEW = 1.0
"""What a block's losses count beside the next one's, where the best learner is chosen; of few rows all count alike, or
the choice would rest on the last five."""

CHOSEN_FROM, TRIED = 0.6, 10
"""Of few rows the share of the first ones after which learners are tried, and in how many blocks, before one of them
makes the first prediction that counts."""

LEAST_COVERED = 20
"""Later rows, below which their share inside intervals is not told."""

LEAST_GROUP = 3
"""Rows of a mode, below which all rows stand in for them."""

SKILL_LEVEL = 0.95
RESAMPLES = 1_000
MOST_CHUNKS = 100


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What a prediction that is off loses, and what is usual in a group of rows."""

    loss: Callable[[Floats, Floats], Floats]
    """Of truths and predictions."""
    usual: Callable[[Floats], float]
    """A prediction that knows the group's targets and nothing else."""


def chances(log_odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-log_odds)), dtype=np.float64)


def _rate(target: Floats) -> float:
    """Log odds; Jeffreys' prior (1946) keeps them finite."""
    succeeded = float(target.sum())
    return log((succeeded + 0.5) / (len(target) - succeeded + 0.5))


LOG_ERROR = Yardstick(lambda truth, predicted: np.abs(truth - predicted), lambda target: float(np.median(target)))
"""Absolute error of logarithms, beside the group's median."""

BRIER = Yardstick(lambda truth, predicted: (truth - chances(predicted)) ** 2, _rate)
"""Brier's score (1950) of log odds, beside the group's rate."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What later rows said; `residuals`, `losses` and `usual` are theirs in the order of time."""

    chosen: Learner
    residuals: Floats
    """Target minus prediction, of the learner that was best in the blocks before."""
    losses: Floats
    usual: Floats
    """The losses of the group's median (or rate)."""
    starts: tuple[int, ...]
    """Where in them each block begins."""
    runs: Ints
    """The run of each, numbered."""


def edges(n: int) -> list[int]:
    """Where blocks begin and end in `n` rows: the fewer rows, the smaller the blocks."""
    first = int(n * (FIRST_OF_FEWEST if n < FEWEST else FIRST_OF_FEW if n < FEW else FIRST))
    blocks = n - first if n < FEWEST else 20 if n < 1_000 else 8 if n < 20_000 else 4
    return [first + (n - first) * k // blocks for k in range(blocks + 1)]


def in_runs(rows: Sequence[TrainingRow]) -> list[TrainingRow]:
    """Rows in the order of time, but those of one run together, when the last of them ended."""
    last = {row.run_id: place for place, row in enumerate(rows)}
    placed = [(place if row.run_id is None else last[row.run_id], row) for place, row in enumerate(rows)]
    return [row for _, row in sorted(placed, key=lambda each: each[0])]


def runs_of(rows: Sequence[TrainingRow]) -> Ints:
    """The run of each row `in_runs`, numbered from 0; a row that is of no run known is its own."""
    first = [place == 0 or row.run_id is None or row.run_id != rows[place - 1].run_id for place, row in enumerate(rows)]
    return np.cumsum(first, dtype=np.int64) - 1


def _whole(places: Sequence[int], runs: Ints) -> list[int]:
    """`places` moved to where runs begin, the nearest ones; the last is the end of the rows."""
    begin = np.flatnonzero(np.diff(runs)) + 1
    if len(begin) == len(runs) - 1:
        return list(places)
    nearest = {int(begin[np.abs(begin - place).argmin()]) for place in places[:-1]}
    return [*sorted(nearest), places[-1]]


def shared_luck(material: Material, chance: Floats) -> float:
    """How many times as uncertain a rate is as of independent rows: the variance of runs' sums beside what rows alone
    explain (the design effect of Kish 1965), at least 1."""
    runs = runs_of(material.rows)
    if runs[-1] == len(runs) - 1:
        return 1.0
    sums = np.bincount(runs, weights=material.target - chance)
    return max(1.0, float((sums**2).sum() / (chance * (1 - chance)).sum()))


def judged(material: Material, learners: Learners, yardstick: Yardstick) -> Judged:
    """Test `learners` on later rows; whoever lost least before a block predicts it, so the choice is tested too."""
    runs = runs_of(material.rows)
    places = _whole(edges(len(material.target)), runs)
    lost = _lost_before(places[0], material, learners, yardstick, runs)
    best = int(np.argmin(lost))
    residuals, losses = [], []
    for start, stop in pairwise(places):
        truth = material.target[start:stop]
        predicted = [material.predicted(each.learn(material, start), start, stop) for each in learners]
        found = [yardstick.loss(truth, each) for each in predicted]
        residuals.append(truth - predicted[best])
        losses.append(found[best])
        lost = lost * _kept(len(material.target)) + [each.sum() for each in found]
        best = int(np.argmin(lost))
    usual = yardstick.loss(material.target[places[0] :], _usual(material, places, yardstick))
    starts = tuple(place - places[0] for place in places[:-1])
    return Judged(learners[best], np.concatenate(residuals), np.concatenate(losses), usual, starts, runs[places[0] :])


def _kept(n: int) -> float:
    return FORGETTING_FEW if n < FEW else FORGETTING


def _lost_before(first: int, material: Material, learners: Learners, yardstick: Yardstick, runs: Ints) -> Floats:
    """What each learner loses on the last of the first rows, learned from those before them: of few rows a choice by
    the first blocks alone would be chance."""
    if len(material.target) >= FEW or len(learners) < 2:
        return np.zeros(len(learners))
    begin = int(first * CHOSEN_FROM)
    blocks = min(TRIED, first - begin)
    places = _whole([begin + (first - begin) * k // blocks for k in range(blocks + 1)], runs)
    lost = np.zeros(len(learners))
    for start, stop in pairwise(places):
        truth = material.target[start:stop]
        found = [material.predicted(each.learn(material, start), start, stop) for each in learners]
        lost = lost * _kept(len(material.target)) + [yardstick.loss(truth, each).sum() for each in found]
    return lost


def _usual(material: Material, places: Sequence[int], yardstick: Yardstick) -> Floats:
    """What is usual for the mode of each row, among the rows before its block."""
    found = np.empty(places[-1] - places[0])
    modes = np.array([row.mode or "" for row in material.rows])
    for start, stop in pairwise(places):
        before, names = material.target[:start], modes[:start]
        usual = {str(mode): before[names == mode] for mode in np.unique(names)}
        known = {mode: yardstick.usual(group) for mode, group in usual.items() if len(group) >= LEAST_GROUP}
        everyone = yardstick.usual(before)
        found[start - places[0] : stop - places[0]] = [known.get(str(mode), everyone) for mode in modes[start:stop]]
    return found


def skill_of(seen: Judged, seed: int) -> Interval:
    """The share of the usual loss that is saved on later rows, with a bootstrap over stretches of neighbouring runs
    (Kuensch 1989), widened as Hesterberg (2015, 5.4) has it for few of them. One run says nothing of others."""
    from scipy.special import ndtri, stdtrit

    runs = seen.runs - seen.runs[0]
    chunks = min(MOST_CHUNKS, max(6, (runs[-1] + 1) // 3), runs[-1] + 1)
    own = np.array([part.sum() for part in np.array_split(np.bincount(runs, weights=seen.losses), chunks)])
    usual = np.array([part.sum() for part in np.array_split(np.bincount(runs, weights=seen.usual), chunks)])
    value = _saved(float(own.sum()), float(usual.sum()))
    if chunks < 2:
        return Interval(value, min(value, -1.0), 1.0, SKILL_LEVEL)
    drawn = np.random.default_rng(seed).integers(0, chunks, (RESAMPLES, chunks))
    again = np.array([_saved(float(own[each].sum()), float(usual[each].sum())) for each in drawn])
    tail = (1 - SKILL_LEVEL) / 2
    low, high = np.quantile(again, [tail, 1 - tail]).tolist()
    wider = sqrt(chunks / (chunks - 1)) * float(stdtrit(chunks - 1, 1 - tail)) / float(ndtri(1 - tail))
    return Interval(value, value - (value - low) * wider, min(1.0, value + (high - value) * wider), SKILL_LEVEL)


def _saved(own: float, usual: float) -> float:
    return 1 - own / usual if usual > 0 else 0.0


def offsets(residuals: Floats, runs: Ints, level: float = LEVEL) -> tuple[float, float]:
    """What to add to a prediction for its bounds: split conformal (Papadopoulos et al. 2002; Lei et al. 2018), in which
    newer residuals weigh more (Barber et al. 2023) once there are `SIGNED` runs of them."""
    if runs[-1] - runs[0] + 1 < SIGNED:
        reach = _ranked(np.abs(residuals), np.ones(len(residuals)), runs, level)
        return -reach, reach
    ages = np.arange(len(residuals) - 1, -1, -1)
    weights = np.exp2(-ages / (len(residuals) * HALF))
    tail = (1 - level) / 2
    below, above = (_ranked(each, weights, runs, 1 - tail) for each in (-residuals, residuals))
    return min(0.0, -below), max(0.0, above)


def _ranked(values: Floats, weights: Floats, runs: Ints, share: float) -> float:
    """The value up to which `share` of all weight lies, between two values on the straight line. The row to come is
    beyond, with the weight of one of as many equal runs (Kish 1965; of runs in place of rows: Dunn et al. 2023): with
    equal weights of rows that are each a run the rank is (n + 1) x share."""
    order = np.argsort(values)
    total = weights.sum()
    whole = np.bincount(runs - runs[0], weights=weights)
    below = np.cumsum(weights[order]) / (total + (whole**2).sum() / total)
    return float(np.interp(share, below, values[order]))


def coverage_of(seen: Judged) -> tuple[float | None, int]:
    """The share of later rows inside the intervals that the rows before their block gave, and how many those are."""
    inside: list[bool] = []
    for start, stop in pairwise((*seen.starts, len(seen.residuals))):
        if start >= LEAST_RESIDUALS:
            low, high = offsets(seen.residuals[:start], seen.runs[:start])
            inside += [low <= each <= high for each in seen.residuals[start:stop].tolist()]
    return (sum(inside) / len(inside) if len(inside) >= LEAST_COVERED else None), len(inside)

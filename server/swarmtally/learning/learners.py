"""Ways to learn a model from rows: shrunken medians, ridge, sums of parts, boosted trees, rates, logistic regression.

scikit-learn is imported where it fits something, and nowhere else: asking a model needs only its numbers.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from swarmtally.learning.features import Encoding, Floats
from swarmtally.learning.models import Linear, Medians, Model, Odds, Rates, Sums, Trees, half_octave
from swarmtally.learning.rows import AMOUNTS, CATEGORIES, TrainingRow

Kind: TypeAlias = Literal["group_median", "ridge", "sums", "boosted_trees", "group_rate", "logistic"]

SHRINK = 1
"""A group's effect counts n / (n + SHRINK). In generated histories of 30 and 40 rows 1 saves half as much again of the
error as 4, and where nothing matters the test on later rows refuses either."""

PASSES = 3
"""Over all factors, in which their effects settle."""

ROUNDS, RATE, LEAVES, LEAST_LEAF = 60, 0.12, 12, 20
"""Trees, their learning rate, their leaves, and the rows a leaf has at least."""

ONE_ROW = 1.0
"""What the prior of a rate counts beside the rows."""

STEPS = 8
"""Of a sum's fit; more change nothing that is seen."""

FARTHEST = 10.0
"""From the mean, in the logarithm: rows beyond it count as that far."""

LEAST_SUM = 0.5
"""Of the smallest target: sums are not less."""

MOST_GROWN = 20_000
"""Trees grow from the newest rows: more of them cost time and change little."""


@dataclass(frozen=True, slots=True)
class Material:
    """Rows in the order of time, as columns, with their targets."""

    rows: Sequence[TrainingRow]
    encoding: Encoding
    design: Floats
    target: Floats
    """Logarithms of seconds or tokens; or 1 and 0 for success and failure."""
    seed: int
    parts: Encoding = field(default_factory=lambda: Encoding(()))
    """The columns of a sum."""
    added: Floats = field(default_factory=lambda: np.empty((0, 0)))
    """The rows in them."""

    def predicted(self, model: Model, start: int, stop: int) -> Floats:
        if isinstance(model, Linear | Trees | Odds):
            return model.of_matrix(self.design[start:stop])
        if isinstance(model, Sums):
            return model.of_matrix(self.added[start:stop])
        return model.of(self.rows[start:stop])


class Learner(Protocol):
    @property
    def kind(self) -> Kind: ...

    def learn(self, material: Material, until: int) -> Model:
        """From the first `until` rows."""
        ...


Learners: TypeAlias = Sequence[Learner]


@dataclass(frozen=True, slots=True)
class MediansLearner:
    """The median of all rows, then factor by factor what the medians of its groups leave (as Tukey's median polish,
    1977, but each effect shrunken to n / (n + SHRINK) of itself)."""

    kind: Kind = "group_median"

    def learn(self, material: Material, until: int) -> Medians:
        rows, target = material.rows[:until], material.target[:until]
        overall = float(np.median(target))
        groups = {factor: _groups(rows, factor) for factor in (*CATEGORIES, *AMOUNTS)}
        groups = {factor: found for factor, found in groups.items() if len(found) > 1}
        effects: dict[str, dict[Any, float]] = {factor: dict.fromkeys(found, 0.0) for factor, found in groups.items()}
        left = target - overall
        for _ in range(PASSES):
            for factor, found in groups.items():
                for key, places in found.items():
                    back = left[places] + effects[factor][key]
                    effects[factor][key] = float(np.median(back)) * len(places) / (len(places) + SHRINK)
                    left[places] = back - effects[factor][key]
        return Medians(
            overall,
            {factor: found for factor, found in effects.items() if factor in CATEGORIES},
            {factor: tuple(sorted(found.items())) for factor, found in effects.items() if factor in AMOUNTS},
        )


def _groups(rows: Sequence[TrainingRow], factor: str) -> dict[Any, list[int]]:
    """The places of each group's rows. An unknown name is a group of its own, an unknown amount is in none."""
    found: defaultdict[Any, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        value = getattr(row, factor)
        if factor in CATEGORIES:
            found[value or ""].append(place)
        elif value is not None:
            found[half_octave(value)].append(place)
    return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class RidgeLearner:
    """Least squares with a penalty on the weights' squares; old rows count less where `memory` is given."""

    penalty: float
    memory: int | None
    """In how many rows the weight of a row falls to half."""
    kind: Kind = "ridge"

    def learn(self, material: Material, until: int) -> Linear:
        from sklearn.linear_model import Ridge

        fitted = Ridge(alpha=self.penalty, solver="cholesky")
        fitted.fit(material.design[:until], material.target[:until], sample_weight=_weights(until, self.memory))
        return Linear(material.encoding, float(fitted.intercept_), tuple(map(float, fitted.coef_)))


@dataclass(frozen=True, slots=True)
class SumsLearner:
    """A sum of parts (what a call costs anyway, what each byte of its prompt does, what agents share) in place of the
    product of factors that ridge is; the squares of log residuals are least, so noise is a share of the sum here too.
    Gauss and Newton's steps, each a weighted ridge regression, from the geometric mean on."""

    penalty: float
    memory: int | None
    kind: Kind = "sums"

    def learn(self, material: Material, until: int) -> Sums:
        target = material.target[:until]
        scale = float(np.mean(target))
        target = np.clip(target - scale, -FARTHEST, FARTHEST)
        least = float(np.exp(target.min())) * LEAST_SUM
        columns = np.column_stack([np.ones(until), material.added[:until]])
        penalty = np.diag([0.0, *[self.penalty] * (columns.shape[1] - 1)])
        weights = _weights(until, self.memory)
        counts = np.ones(until) if weights is None else weights
        sums, found = np.ones(until), np.zeros(columns.shape[1])
        for _ in range(STEPS):
            wanted = sums * (1 + np.clip(target - np.log(sums), -1, 1))
            slopes = columns * (counts / sums**2)[:, None]
            found = np.linalg.solve(slopes.T @ columns + penalty, slopes.T @ wanted)
            sums = np.maximum(columns @ found, least)
        return Sums(material.parts, scale, least, float(found[0]), tuple(map(float, found[1:])))


def _weights(until: int, memory: int | None) -> Floats | None:
    if memory is None:
        return None
    return np.exp2(-np.arange(until - 1, -1, -1, dtype=np.float64) / memory)


@dataclass(frozen=True, slots=True)
class TreesLearner:
    """Gradient-boosted trees over histograms (Ke et al. 2017, as in scikit-learn), small, with leaves of many rows."""

    memory: int | None
    kind: Kind = "boosted_trees"

    def learn(self, material: Material, until: int) -> Trees:
        from sklearn.ensemble import HistGradientBoostingRegressor

        first = max(0, until - MOST_GROWN)
        weights = _weights(until, self.memory)
        design = material.design[first:until]
        fitted = HistGradientBoostingRegressor(
            max_iter=ROUNDS,
            learning_rate=RATE,
            max_leaf_nodes=LEAVES,
            min_samples_leaf=LEAST_LEAF,
            early_stopping=False,
            random_state=material.seed,
        ).fit(design, material.target[first:until], sample_weight=None if weights is None else weights[first:])
        return _written_out(fitted, material.encoding, design[:100])


def _written_out(fitted: Any, encoding: Encoding, examples: Floats) -> Trees:
    """The trees as numbers. There is no public way to them, so what was read is compared with what is predicted."""
    columns: dict[str, list[Any]] = {name: [] for name in ("column", "threshold", "left", "right", "value")}
    roots = []
    for (tree,) in fitted._predictors:  # noqa: SLF001 - see above
        nodes, start = tree.nodes, len(columns["column"])
        leaf = nodes["is_leaf"].astype(bool)
        roots.append(start)
        columns["column"] += np.where(leaf, -1, nodes["feature_idx"]).tolist()
        columns["threshold"] += np.where(leaf, 0.0, nodes["num_threshold"]).tolist()
        columns["left"] += np.where(leaf, 0, nodes["left"].astype(np.int64) + start).tolist()
        columns["right"] += np.where(leaf, 0, nodes["right"].astype(np.int64) + start).tolist()
        columns["value"] += np.where(leaf, nodes["value"], 0.0).tolist()
    base = float(np.ravel(fitted._baseline_prediction)[0])  # noqa: SLF001 - see above
    found = Trees(encoding, base, tuple(roots), **{name: tuple(values) for name, values in columns.items()})
    if not np.allclose(found.of_matrix(examples), fitted.predict(examples), rtol=1e-9, atol=1e-9):
        raise RuntimeError("this version of scikit-learn keeps its trees in another way than those we know")
    return found


@dataclass(frozen=True, slots=True)
class RatesLearner:
    """How often each mode succeeded, drawn towards the rate of all."""

    kind: Kind = "group_rate"

    def learn(self, material: Material, until: int) -> Rates:
        counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        for row, target in zip(material.rows[:until], material.target[:until].tolist(), strict=True):
            counts[row.mode or ""][0 if target else 1] += 1
        succeeded = sum(found[0] for found in counts.values())
        return Rates(succeeded, until - succeeded, {name: (a, b) for name, (a, b) in sorted(counts.items())})


@dataclass(frozen=True, slots=True)
class LogisticLearner:
    """Logistic regression with a Beta prior (`ONE_ROW` at the mean of all columns that succeeded as often as all) and a
    normal prior on the weights, whose width nobody knows: each of `penalties` counts by its evidence (MacKay 1992,
    Laplace's approximation), so what settings may do is part of the interval also where no skill is shown."""

    penalties: tuple[float, ...]
    kind: Kind = "logistic"

    def learn(self, material: Material, until: int) -> Odds:
        found = [_logistic(material, until, penalty) for penalty in self.penalties]
        evidence = np.array([each.evidence for each in found])
        shares = np.exp(evidence - evidence.max())
        shares /= shares.sum()
        weights = sum(share * each.weights for share, each in zip(shares, found, strict=True))
        apart = [each.weights - weights for each in found]
        covariance = sum(
            share * (each.covariance + np.outer(off, off))
            for share, each, off in zip(shares, found, apart, strict=True)
        )
        return Odds(material.encoding, tuple(map(float, weights)), tuple(tuple(map(float, row)) for row in covariance))


@dataclass(frozen=True, slots=True)
class _Logistic:
    weights: Floats
    covariance: Floats
    evidence: float
    """Logarithm of the rows' probability under the penalty, but for a constant."""


def _logistic(material: Material, until: int, penalty: float) -> _Logistic:
    from sklearn.linear_model import LogisticRegression

    target = material.target[:until]
    rate = (float(target.sum()) + 0.5) / (until + 1)
    design = np.vstack([material.design[:until], np.zeros((2, material.design.shape[1]))])
    target = np.append(target, [1.0, 0.0])
    counts = np.append(np.ones(until), [ONE_ROW * rate, ONE_ROW * (1 - rate)])
    fitted = LogisticRegression(C=1 / penalty, max_iter=200, solver="newton-cholesky")
    fitted.fit(design, target, sample_weight=counts)
    weights = np.append(fitted.intercept_, fitted.coef_[0])
    full = np.column_stack([np.ones(len(design)), design])
    odds = full @ weights
    chance = 1 / (1 + np.exp(-odds))
    curvature = (full * (counts * chance * (1 - chance))[:, None]).T @ full
    curvature += np.diag([0.0, *[penalty] * design.shape[1]])
    likelihood = float((counts * (target * odds - np.logaddexp(0, odds))).sum())
    prior = 0.5 * (design.shape[1] * log(penalty) - penalty * float(weights[1:] @ weights[1:]))
    evidence = likelihood + prior - 0.5 * float(np.linalg.slogdet(curvature)[1])
    return _Logistic(weights, np.linalg.inv(curvature), evidence)

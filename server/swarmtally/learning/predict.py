"""Train a model on rows, and ask it: an answer has an interval that later rows have judged, or says what is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil, exp, log
from typing import Any

import numpy as np

from swarmtally.learning.answers import LEVEL, Insufficient, Interval, Prediction
from swarmtally.learning.document import from_json, to_json
from swarmtally.learning.features import encode
from swarmtally.learning.later import BRIER, LOG_ERROR, coverage_of, judged, offsets, skill_of
from swarmtally.learning.learners import (
    Learners,
    LogisticLearner,
    Material,
    MediansLearner,
    RatesLearner,
    RidgeLearner,
    TreesLearner,
)
from swarmtally.learning.models import Linear, Medians, Odds, Rates, Trees
from swarmtally.learning.predictor import Predictor
from swarmtally.learning.ranges import Range, Scope, beyond, checked, scope_of
from swarmtally.learning.rows import CATEGORIES, Target, TrainingRow, known

__all__ = ["Insufficient", "Interval", "Prediction", "Predictor", "Range", "from_json", "predict", "to_json", "train"]

LEAST_ROWS = 30
"""Fewer teach nothing."""

LEAST_RIDGE = 50
"""Fewer are told by shrunken medians."""

LEAST_TREES = 1_000
MANY = 20_000
"""From here on one penalty does as well as another."""

LEAST_OUTCOMES = 5
"""Successes and failures each, below which only rates are told."""

WIDEST = 4.0
"""Upper bound / lower bound, at most."""

MOST_MORE = 10_000
"""More runs than that are not asked for."""

Z_LEVEL = 1.6448536269514722
"""The normal distribution's 95 % quantile: half of a two-sided interval of `LEVEL`."""


def train(rows: Sequence[TrainingRow], target: Target, seed: int = 0) -> Predictor | Insufficient:
    """The model that rows of their number allow, tested on later ones.

    Args:
        rows: of one level; the order does not matter, except among rows of the same moment.
        target: what to learn: seconds, tokens, or success.
        seed: of what is drawn at random: the same rows, target and seed give the same model.

    Raises:
        ValueError: the rows are of both levels.
    """
    found = known(rows, target)
    if len({row.level for row in found}) > 1:
        raise ValueError("tasks and runs last differently: train on rows of one level")
    if len(found) < LEAST_ROWS:
        return _too_few(found, rows, target)
    # Threads can be limited of what is imported already.
    import sklearn.ensemble  # noqa: F401 - for its threads
    from threadpoolctl import threadpool_limits

    scope = scope_of(found)
    encoding, design = encode(found, scope)
    values = np.array([_learned(row, target) for row in found])
    material = Material(found, encoding, design, values, seed)
    bare = Predictor(
        target,
        "group_rate",
        found[0].level,
        len(found),
        found[0].at_ns,
        found[-1].at_ns,
        seed,
        None,
        None,
        0,
        scope,
        RatesLearner().learn(material, len(found)),
        (0.0, 0.0),
    )
    with threadpool_limits(1):
        return _of_success(bare, material) if target == "success" else _of_amount(bare, material)


def _too_few(found: Sequence[TrainingRow], rows: Sequence[TrainingRow], target: Target) -> Insufficient:
    level = rows[0].level if rows else "task"
    told = f"{len(found)} {level}s have a known {target}; at least {LEAST_ROWS} are needed"
    return Insufficient("rows", told, (f"make at least {LEAST_ROWS - len(found)} more runs",))


def _learned(row: TrainingRow, target: Target) -> float:
    if target == "success":
        return float(bool(row.success))
    return log(row.duration_s) if target == "duration_s" else log(max(1, row.tokens or 0))


def _of_amount(bare: Predictor, material: Material) -> Predictor:
    seen = judged(material, _learners(bare.n, material.design.shape[1]), LOG_ERROR)
    coverage, coverage_n = coverage_of(seen)
    model = seen.chosen.learn(material, bare.n)
    assert isinstance(model, Medians | Linear | Trees)
    return replace(
        bare,
        kind=seen.chosen.kind,
        skill=skill_of(seen, bare.seed),
        coverage=coverage,
        coverage_n=coverage_n,
        model=model,
        offsets=offsets(seen.residuals),
    )


def _learners(n: int, columns: int) -> Learners:
    if n < LEAST_RIDGE or not columns:
        return (MediansLearner(),)
    memories = (None, max(20, n // 5), max(20, n // 20))
    penalties = (1.0, 20.0) if n < MANY else (10.0,)
    ridges = [RidgeLearner(penalty, memory) for memory in memories for penalty in penalties]
    return (*ridges, *(TreesLearner(memory) for memory in memories[:2])) if n >= LEAST_TREES else ridges


def _of_success(bare: Predictor, material: Material) -> Predictor:
    succeeded = float(material.target.sum())
    few = bare.n < LEAST_RIDGE or min(succeeded, bare.n - succeeded) < LEAST_OUTCOMES
    if few or not material.design.shape[1]:
        return bare
    seen = judged(material, (LogisticLearner(3.0), LogisticLearner(30.0)), BRIER)
    skill = skill_of(seen, bare.seed)
    # Settings that may matter make an interval wider, and one that leaves them out too narrow.
    if skill.value <= 0:
        return bare
    model = seen.chosen.learn(material, bare.n)
    assert isinstance(model, Odds)
    return replace(bare, kind="logistic", skill=skill, model=model)


def predict(predictor: Predictor, query: Mapping[str, Any]) -> Prediction | Insufficient:
    """What to expect of `query`: settings of factors (`rows.FACTORS`) and `text`; those it lacks are assumed.

    Raises:
        InvalidInput: the query names something else, or a setting that cannot be.
    """
    settings = checked(query)
    refusal = beyond(predictor.scope, predictor.level, settings) or _without_skill(predictor)
    if refusal is not None:
        return refusal
    assumed = stand_ins(predictor.scope, settings)
    # The moment and the duration of what has not happened; no model looks at them.
    row = TrainingRow(0, "given", predictor.level, 1.0, **{**assumed, **settings})
    expected = _expected(predictor, row)
    similar = predictor.scope.similar(settings)
    if expected.low * WIDEST < expected.high:
        return _too_wide(predictor, settings, expected, similar)
    return Prediction(expected, predictor.n, similar, tuple((factor, str(value)) for factor, value in assumed.items()))


def can_vary(predictor: Predictor, factor: str) -> Insufficient | None:
    """Why settings of `factor` cannot be compared: all rows had the same one."""
    found = predictor.scope.of(factor)
    if found is not None and found.varies:
        return None
    told = f"only {found.told}" if found else "none that is known"
    return Insufficient("levels", f"{factor}: the rows had {told}", (f"make at least 2 runs with another {factor}",))


def stand_ins(scope: Scope, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The most frequent name and the middle amount of each factor in which rows differ and of which nothing is said."""
    missing = [found for found in scope.ranges if found.factor not in settings and (found.varies or found.names)]
    return {
        found.factor: found.names[0][0] if found.factor in CATEGORIES else found.usual
        for found in missing
        if found.names or found.factor not in CATEGORIES
    }


def _expected(predictor: Predictor, row: TrainingRow) -> Interval:
    model = predictor.model
    if isinstance(model, Rates):
        from scipy.special import betaincinv

        a, b = model.posterior(row)
        tail = (1 - LEVEL) / 2
        return Interval(a / (a + b), float(betaincinv(a, b, tail)), float(betaincinv(a, b, 1 - tail)))
    middle = float(model.of([row])[0])
    if isinstance(model, Odds):
        reach = Z_LEVEL * float(model.spread([row])[0])
        value, low, high = (1 / (1 + exp(-each)) for each in (middle, middle - reach, middle + reach))
        return Interval(value, low, high)
    below, above = predictor.offsets
    return Interval(exp(middle), exp(middle + below), exp(middle + above))


def _without_skill(predictor: Predictor) -> Insufficient | None:
    """A model that may be no better than the group's median has nothing to say; of success its rate is an answer."""
    skill = predictor.skill
    if predictor.target == "success" or skill is None or skill.low > 0:
        return None
    told = (
        f"the model saves {skill.value:.0%} ({skill.low:.0%} to {skill.high:.0%}) of the error that the median of the "
        f"same mode makes on later {predictor.level}s (n = {predictor.n}): no skill"
    )
    return Insufficient("skill", told, _runs_for_skill(predictor, skill))


def _runs_for_skill(predictor: Predictor, skill: Interval) -> tuple[str, ...]:
    """A gain as large as seen would show in so many more rows; else factors that never varied may tell something."""
    runs = []
    if predictor.n < LEAST_RIDGE:
        runs.append(f"make at least {LEAST_RIDGE - predictor.n} more runs: from {LEAST_RIDGE} on more can be learned")
    elif skill.value > 0:
        # The interval narrows with the root of the rows.
        more = ceil(predictor.n * ((skill.value - skill.low) / skill.value) ** 2) - predictor.n
        if 0 < more <= MOST_MORE:
            runs.append(f"make at least {more} more runs with settings as different as so far")
    for factor in ("agents", "topology", "mode"):
        found = predictor.scope.of(factor)
        if found is not None and not found.varies:
            runs.append(f"make at least {LEAST_OUTCOMES} runs with another {factor} than {found.told}")
    return tuple(runs)


def _too_wide(predictor: Predictor, settings: Mapping[str, Any], expected: Interval, similar: int) -> Insufficient:
    told = (
        f"{predictor.target} is between {expected.low:.3g} and {expected.high:.3g}, "
        f"{expected.high / max(expected.low, 1e-9):.1f} times as much: wider than {WIDEST:g} times"
    )
    named = ", ".join(f"{factor} {value}" for factor, value in settings.items() if factor != "text")
    more = LEAST_ROWS - similar
    runs = (f"make at least {more} runs with {named or 'these settings'}",) if more > 0 else ()
    return Insufficient("width", told, runs)

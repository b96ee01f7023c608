"""Train a model on rows, and ask it: an answer has an interval that later rows have judged, or says what is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil, exp, log
from typing import Any

import numpy as np

from swarmtally.domain.errors import InvalidInput
from swarmtally.learning.answers import LEVEL, Insufficient, Interval, Prediction
from swarmtally.learning.document import from_json, to_json
from swarmtally.learning.features import encode, encode_parts
from swarmtally.learning.later import (
    BRIER,
    LOG_ERROR,
    chances,
    coverage_of,
    in_runs,
    judged,
    offsets,
    runs_of,
    shared_luck,
    skill_of,
)
from swarmtally.learning.learners import (
    Learners,
    LogisticLearner,
    Material,
    MediansLearner,
    RatesLearner,
    RidgeLearner,
    SumsLearner,
    TreesLearner,
)
from swarmtally.learning.models import Linear, Medians, Odds, Rates, Sums, Trees
from swarmtally.learning.predictor import Predictor
from swarmtally.learning.ranges import Range, apart, beyond, checked, scope_of, stand_ins
from swarmtally.learning.rows import Target, TrainingRow, known
from swarmtally.learning.support import support_of

__all__ = ["Insufficient", "Interval", "Prediction", "Predictor", "Range", "from_json", "predict", "to_json", "train"]

LEAST_ROWS = 30
"""Fewer teach nothing."""

LEAST_RUNS = 3
"""Whose rows are learned from: one to learn from first, and later ones to be tested on."""

LEAST_RIDGE = 50
"""Fewer are told by shrunken medians, or by a sum of parts where that loses less on later rows."""

PARTS = (0.0001, 1.0)
"""Penalties of the parts of a sum: next to none, so that a law without noise is found, or enough for rows with much."""

ROUNDING = 0.001
"""Half an interval's width in the logarithm, at least: of a law without noise what is left is the penalty's."""

LEAST_TREES = 1_000
MANY = 20_000
"""From here on one penalty does as well as another."""

LEAST_OF_OTHER = 5
"""Runs with a setting that nothing was compared with, to show skill."""

LEAST_OUTCOMES = 10
"""Successes and failures each among later rows, below which they do not tell skill."""

PENALTIES = (2.0, 5.0, 12.0)
"""Of the weights in log odds, each as likely beforehand: a setting may change the odds by a factor of about 2, 1.6 or
1.3. Of many rows the middle one does as well."""

WIDEST = 4.0
"""Upper bound / lower bound, at most."""

MOST_LOG = 700.0
"""Logarithms of numbers that can be written down."""

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
    found = in_runs(known(rows, target))
    if len({row.level for row in found}) > 1:
        raise ValueError("tasks and runs last differently: train on rows of one level")
    if len(found) < LEAST_ROWS:
        return _too_few(found, rows, target)
    runs = len(set(runs_of(found)))
    if runs < LEAST_RUNS:
        return _too_few_runs(found, runs)
    # Threads can be limited of what is imported already.
    import sklearn.ensemble  # noqa: F401 - for its threads
    from threadpoolctl import threadpool_limits

    scope = scope_of(found)
    encoding, design = encode(found, scope)
    values = np.array([_learned(row, target) for row in found])
    material = Material(found, encoding, design, values, seed, *encode_parts(found, scope))
    bare = Predictor(
        target,
        "group_rate",
        found[0].level,
        len(found),
        min(row.at_ns for row in found),
        max(row.at_ns for row in found),
        seed,
        None,
        None,
        0,
        scope,
        RatesLearner().learn(material, len(found)),
        (0.0, 0.0),
        support_of(encoding, design, alone=len(found) < LEAST_RIDGE),
    )
    with threadpool_limits(1):
        return _of_success(bare, material) if target == "success" else _of_amount(bare, material)


def _too_few(found: Sequence[TrainingRow], rows: Sequence[TrainingRow], target: Target) -> Insufficient:
    level = rows[0].level if rows else "task"
    told = f"{target} is known of {len(found)} of {len(rows)} {level}s; at least {LEAST_ROWS} are needed"
    if target == "tokens" and len(rows) >= LEAST_ROWS:
        told += " (input and output tokens both, or their sum)"
    return Insufficient("rows", told, (f"make at least {LEAST_ROWS - len(found)} more runs",))


def _too_few_runs(found: Sequence[TrainingRow], runs: int) -> Insufficient:
    told = f"{len(found)} {found[0].level}s are of {runs} runs, whose luck they share; at least {LEAST_RUNS} are needed"
    return Insufficient("rows", told, (f"make at least {LEAST_RUNS - runs} more runs",))


def _learned(row: TrainingRow, target: Target) -> float:
    if target == "success":
        return float(bool(row.success))
    return log(row.duration_s) if target == "duration_s" else log(max(1, row.tokens or 0))


def _of_amount(bare: Predictor, material: Material) -> Predictor:
    seen = judged(material, _learners(bare.n, material.design.shape[1]), LOG_ERROR)
    coverage, coverage_n = coverage_of(seen)
    model = seen.chosen.learn(material, bare.n)
    assert isinstance(model, Medians | Linear | Sums | Trees)
    below, above = offsets(seen.residuals, seen.runs)
    if isinstance(model, Sums):
        below, above = min(below, -ROUNDING), max(above, ROUNDING)
    support = bare.support
    if bare.n < LEAST_RIDGE and not isinstance(model, Medians):
        support = support_of(material.encoding, material.design, alone=False)
    return replace(
        bare,
        kind=seen.chosen.kind,
        skill=skill_of(seen, bare.seed),
        coverage=coverage,
        coverage_n=coverage_n,
        model=model,
        offsets=(below, above),
        support=support,
    )


def _learners(n: int, columns: int) -> Learners:
    if not columns:
        return (MediansLearner(),)
    if n < LEAST_RIDGE:
        return (MediansLearner(), *(SumsLearner(penalty, None) for penalty in PARTS))
    memories = (None, max(20, n // 5), max(20, n // 20))
    penalties = (1.0, 20.0) if n < MANY else (10.0,)
    ridges = [RidgeLearner(penalty, memory) for memory in memories for penalty in penalties]
    # Of many rows parts are told by any penalty, trees look at the newest only, and each learner takes a second.
    ways = [(memory, penalty) for memory in memories[:2] for penalty in PARTS] if n < MANY else [(None, PARTS[0])]
    sums = [SumsLearner(penalty, memory) for memory, penalty in ways]
    trees = [TreesLearner(memory) for memory in memories[: 2 if n < MANY else 1]] if n >= LEAST_TREES else []
    return [*ridges, *sums, *trees]


def _of_success(bare: Predictor, material: Material) -> Predictor:
    if bare.n < LEAST_RIDGE or not material.design.shape[1]:
        return bare
    learner = LogisticLearner(PENALTIES if bare.n < MANY else PENALTIES[1:2])
    seen = judged(material, (learner,), BRIER)
    model = learner.learn(material, bare.n)
    wider = shared_luck(material, chances(model.of_matrix(material.design)))
    covariance = tuple(tuple(wider * each for each in row) for row in model.covariance)
    model = replace(model, covariance=covariance)
    tested = material.target[-len(seen.losses) :]
    few = min(tested.sum(), len(tested) - tested.sum()) < LEAST_OUTCOMES
    return replace(bare, kind="logistic", skill=None if few else skill_of(seen, bare.seed), model=model)


def predict(predictor: Predictor, query: Mapping[str, Any]) -> Prediction | Insufficient:
    """What to expect of `query`: settings of factors (`rows.FACTORS`) and `text`; those it lacks are assumed.

    Raises:
        InvalidInput: the query names something else, or a setting that cannot be.
    """
    settings = checked(query)
    refusal = (
        beyond(predictor.scope, predictor.level, settings)
        or _without_skill(predictor)
        or _rate_of_modes_only(predictor, settings)
    )
    if refusal is not None:
        return refusal
    assumed = stand_ins(predictor.scope, settings)
    # The moment and the duration of what has not happened; no model looks at them.
    row = TrainingRow(0, "given", predictor.level, 1.0, **{**assumed, **settings})
    leverage = float(predictor.support.leverage([row])[0])
    refusal = not_together(predictor, {**assumed, **settings}, leverage)
    if refusal is not None:
        return refusal
    expected = _expected(predictor, row, leverage)
    similar = predictor.scope.similar(settings)
    if expected.low * WIDEST < expected.high:
        return _too_wide(predictor, settings, expected, similar)
    return Prediction(expected, predictor.n, similar, tuple((factor, str(value)) for factor, value in assumed.items()))


def not_together(predictor: Predictor, settings: Mapping[str, Any], leverage: float) -> Insufficient | None:
    """Why the rows do not cover `settings` together, each of which they cover, with the runs that would; `leverage` is
    theirs. What as many rows had as bring an amount into its range is covered, however far it is from the others."""
    return apart(predictor.scope, predictor.level, settings) if leverage > predictor.support.limit else None


def can_vary(predictor: Predictor, factor: str) -> Insufficient | None:
    """Why settings of `factor` cannot be compared: all rows had the same one."""
    found = predictor.scope.of(factor)
    if found is not None and found.varies:
        return None
    told = f"only {found.told}" if found else "none that is known"
    return Insufficient("levels", f"{factor}: the rows had {told}", (f"make at least 2 runs with another {factor}",))


def _expected(predictor: Predictor, row: TrainingRow, leverage: float) -> Interval:
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
    return amount(predictor, middle, leverage)


def amount(predictor: Predictor, middle: float, leverage: float) -> Interval:
    """Seconds or tokens of the logarithm that the model predicts.

    Raises:
        InvalidInput: they are beyond all numbers, as no model says that was trained.
    """
    wider = predictor.support.wider(leverage)
    below, above = (wider * each for each in predictor.offsets)
    if not -MOST_LOG < middle + below <= middle + above < MOST_LOG:
        raise InvalidInput("this model was damaged (it tells no number); train it again with neural_train")
    return Interval(exp(middle), exp(middle + below), exp(middle + above))


def _rate_of_modes_only(predictor: Predictor, settings: Mapping[str, Any]) -> Insufficient | None:
    """So few outcomes tell how often tasks of a mode succeed, with settings as mixed as they had, and not what others
    do to that: the interval of the rate would leave it out, and one with it in says nothing."""
    if predictor.kind != "group_rate" or predictor.n >= LEAST_RIDGE:
        return None
    others = [
        factor for factor in settings if factor != "mode" and (found := predictor.scope.of(factor)) and found.varies
    ]
    if not others:
        return None
    told = (
        f"{predictor.n} {predictor.level}s tell how often those of a mode succeed, not what "
        f"{' and '.join(f'{factor} {settings[factor]}' for factor in others)} changes"
    )
    return Insufficient("rows", told, (f"make at least {LEAST_RIDGE - predictor.n} more runs",))


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
            runs.append(f"make at least {LEAST_OF_OTHER} runs with another {factor} than {found.told}")
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

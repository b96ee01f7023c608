"""Predictions in generated worlds whose law is known: how many later rows intervals hold, what skill there is beside
the median of the same mode, what is refused; and how long training takes."""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log
from statistics import mean, median

import numpy as np

from benchmarks.generated_worlds import OUTCOMES, USELESS, WORLDS, World, rows_of
from swarmtally.learning.later import chances
from swarmtally.learning.models import Odds
from swarmtally.learning.predict import Insufficient, Prediction, Predictor, predict, train
from swarmtally.learning.rows import FACTORS, TrainingRow

LOW, HIGH = 0.85, 0.95
"""Intervals of 90 % hold so many later rows, at least and at most."""

TRAINING_LIMIT_S = 20.0
MANY_ROWS = 100_000

LATER_ROWS = 1_000
"""Of each world, over all its histories; more histories where one has few."""


@dataclass(frozen=True)
class Judged:
    """One history of a world: what was learned from it, and what its later rows say of that."""

    predictor: Predictor
    inside: Sequence[bool]
    """Later rows in the intervals, refused or not; of success the probabilities the law has."""
    saved: float
    """Share of the error of the modes' medians (of success: rates) that the model saves on them."""
    answers: Counter[str]
    """Later rows by what they were answered: "told" or why not."""


def run(smoke: bool) -> list[str]:
    worlds = [world for world in (*WORLDS, *OUTCOMES) if not smoke or world.n <= 100]
    lines, outside, claims, idle = [], [], 0, 0
    for number, world in enumerate(worlds):
        later = max(20, world.n // 10)
        histories = 1 if smoke else -(-LATER_ROWS // later)
        found = [_judged(world, later, seed=(number, turn)) for turn in range(histories)]
        coverage = mean(inside for one in found for inside in one.inside)
        if not LOW <= coverage <= HIGH:
            outside.append(world.name)
        if world.skill is False:
            claims += sum(_claims(one) for one in found)
            idle += len(found)
        lines.append(_told(world, found, coverage))
    if not smoke:
        lines.append(
            f"{len(worlds)} worlds, coverage of each within {LOW:.0%} to {HIGH:.0%}: "
            + (f"ABOVE OR BELOW: {', '.join(outside)}" if outside else "within")
        )
        lines.append(f"skill claimed in {claims} of {idle} histories of worlds that have none: limit 5 %")
    return [*lines, _training(5_000 if smoke else MANY_ROWS)]


def _judged(world: World, later: int, seed: tuple[int, int]) -> Judged:
    rows, truth = rows_of(world, np.random.default_rng(seed), later)
    predictor = train(rows[: world.n], world.target)
    assert isinstance(predictor, Predictor)
    after = rows[world.n :]
    if world.target == "success":
        inside, own, usual = _outcomes(predictor, rows, after, chances(truth[world.n :]).tolist())
    else:
        inside, own, usual = _amounts(predictor, rows, after)
    answers = Counter(_answer(predict(predictor, _query(row))) for row in after)
    return Judged(predictor, inside, 1 - own / usual, answers)


def _amounts(
    predictor: Predictor, rows: Sequence[TrainingRow], after: Sequence[TrainingRow]
) -> tuple[list[bool], float, float]:
    target = predictor.target
    learned = rows[: predictor.n]
    everyone = median(log(getattr(row, target)) for row in learned)
    usual = {mode: median(values) for mode, values in _by_mode(learned, target).items()}
    low, high = predictor.offsets
    errors = [
        log(getattr(row, target)) - told for row, told in zip(after, predictor.model.of(after).tolist(), strict=True)
    ]
    own = sum(abs(error) for error in errors)
    return (
        [low <= e <= high for e in errors],
        own,
        sum(abs(log(getattr(row, target)) - usual.get(row.mode, everyone)) for row in after),
    )


def _outcomes(
    predictor: Predictor, rows: Sequence[TrainingRow], after: Sequence[TrainingRow], truth: Sequence[float]
) -> tuple[list[bool], float, float]:
    inside, own, usual = [], 0.0, 0.0
    rates = {
        mode: mean(bool(row.success) for row in rows[: predictor.n] if row.mode == mode)
        for mode in {row.mode for row in rows}
    }
    for row, chance in zip(after, truth, strict=True):
        found = predict(predictor, _query(row))
        if isinstance(found, Prediction):
            inside.append(found.expected.low <= chance <= found.expected.high)
            own += (found.expected.value - float(bool(row.success))) ** 2
            usual += (rates[row.mode] - float(bool(row.success))) ** 2
    return inside, own, usual


def _by_mode(rows: Sequence[TrainingRow], target: str) -> dict[str | None, list[float]]:
    found: defaultdict[str | None, list[float]] = defaultdict(list)
    for row in rows:
        found[row.mode].append(log(getattr(row, target)))
    return found


def _query(row: TrainingRow) -> dict[str, object]:
    named = {factor: getattr(row, factor) for factor in FACTORS} | {"text": row.text}
    return {factor: value for factor, value in named.items() if value}


def _answer(found: Prediction | Insufficient) -> str:
    return "told" if isinstance(found, Prediction) else found.what


def _claims(one: Judged) -> bool:
    """Whether the model says of itself that it is better than what is usual."""
    skill = one.predictor.skill
    return isinstance(one.predictor.model, Odds) or (skill is not None and skill.low > 0)


def _told(world: World, found: Sequence[Judged], coverage: float) -> str:
    kinds = Counter(one.predictor.kind for one in found)
    answers = sum((one.answers for one in found), Counter[str]())
    skills = [one.predictor.skill for one in found if one.predictor.skill is not None]
    claimed = f"{mean(skill.value for skill in skills):+.2f}" if skills else "none"
    refused = {why: n for why, n in answers.items() if why != "told"}
    share = ", ".join(f"{why} {n / answers.total():.0%}" for why, n in sorted(refused.items()))
    return (
        f"{world.name:28} {world.n:5} rows x {len(found):2} {'/'.join(kinds):14} coverage {coverage:.3f}; "
        f"skill claimed {claimed}, on later rows {mean(one.saved for one in found):+.2f}"
        + (f"; refused: {share}" if share else "")
    )


def _training(n: int) -> str:
    world = replace(next(world for world in WORLDS if world.name == "factors that meet"), n=n, settings=USELESS)
    rows, _ = rows_of(world, np.random.default_rng(0), 0)
    train(rows[:1_000], "duration_s")  # what is imported once, is
    began, worked = time.perf_counter(), time.process_time()
    found = train(rows, "duration_s")
    seconds, processor = time.perf_counter() - began, time.process_time() - worked
    assert isinstance(found, Predictor)
    told = f"training on {n:,} rows ({found.kind}): {seconds:.1f} s, {processor:.1f} s of one processor"
    return told + (f", limit {TRAINING_LIMIT_S:.0f} s" if n == MANY_ROWS else "")

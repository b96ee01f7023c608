"""Predictions in generated worlds whose law is known: how many later rows intervals hold, what skill there is beside
the median of the same mode, what is refused; and how long training takes."""

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log
from statistics import mean, median

import numpy as np

from benchmarks.generated_worlds import OUTCOMES, RUNS, SUMS, TOGETHER, USELESS, WORLDS, World, rows_of
from swarmtally.learning.later import chances
from swarmtally.learning.predict import Insufficient, Prediction, Predictor, amount, predict, train
from swarmtally.learning.rows import TrainingRow

LOW, HIGH = 0.85, 0.95
"""Intervals of 90 % hold so many later rows, at least and at most."""

TRAINING_LIMIT_S = 20.0
MANY_ROWS = 100_000
SMOKE_ROWS = 100
FEW = 50

LATER_ROWS = 1_000
LATER_SHARED = 4_000
"""Of each world, over all its histories; more histories where one has few. More rows where those of one history are
inside or outside together (runs that share luck, chances of the same settings, few rows), or most are refused."""


@dataclass(frozen=True)
class Judged:
    """One history of a world: what was learned from it, and what its later rows say of that."""

    predictor: Predictor
    inside: Sequence[bool]
    """Later rows in the intervals; of success the probabilities the law has. Refused ones too, but not those that are
    asked anywhere, nor of success."""
    saved: float
    """Share of the error of the modes' medians (of success: rates) that the model saves on them."""
    answers: Counter[str]
    """Later rows by what they were answered: "told" or why not."""


def run(smoke: bool, seed: int = 0) -> list[str]:
    """One line for each world, then those of all of them and of training; `seed` makes other histories of them."""
    apart = [replace(world, name=f"{world.name}, anywhere", anywhere=True) for world in TOGETHER]
    worlds = [
        world for world in (*WORLDS, *TOGETHER, *apart, *RUNS, *OUTCOMES, *SUMS) if not smoke or world.n <= SMOKE_ROWS
    ]
    lines, outside, claims, idle = [], [], 0, 0
    amounts: list[bool] = []
    chances_held: list[bool] = []
    for number, world in enumerate(worlds):
        later = max(20, world.n // 10)
        alike = world.target == "success" or world.tasks_of_run > 1 or world.anywhere or world.n < FEW
        wanted = LATER_SHARED if alike else LATER_ROWS
        histories = 1 if smoke else -(-wanted // later)
        found = [
            _judged(world, later, seed=(number, turn, seed) if seed else (number, turn)) for turn in range(histories)
        ]
        told = [inside for one in found for inside in one.inside]
        coverage = mean(told) if told else None
        (chances_held if world.target == "success" else amounts).extend(told)
        if coverage is not None and not LOW <= coverage <= HIGH:
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
        held = ", ".join(
            f"{mean(rows):.3f} of {len(rows):,} {what}"
            for rows, what in ((amounts, "later rows"), (chances_held, "chances of success"))
        )
        lines.append(f"over all worlds intervals held {held}: limit {LOW:.0%} to {HIGH:.0%}")
        lines.append(f"skill claimed in {claims} of {idle} histories of worlds that have none: limit 5 %")
    return [*lines, _training(5_000 if smoke else MANY_ROWS)]


def _judged(world: World, later: int, seed: tuple[int, ...]) -> Judged:
    rows, truth = rows_of(world, np.random.default_rng(seed), later)
    predictor = train(rows[: world.n], world.target)
    assert isinstance(predictor, Predictor)
    after = rows[world.n :]
    if world.target == "success":
        inside, own, usual = _outcomes(world, predictor, rows, after, chances(truth[world.n :]).tolist())
    else:
        inside, own, usual = _amounts(world, predictor, rows, after)
    answers = Counter(_answer(predict(predictor, _query(world, row))) for row in after)
    return Judged(predictor, inside, 1 - own / usual if usual else 0.0, answers)


def _amounts(
    world: World, predictor: Predictor, rows: Sequence[TrainingRow], after: Sequence[TrainingRow]
) -> tuple[list[bool], float, float]:
    target = predictor.target
    learned = rows[: predictor.n]
    everyone = median(log(getattr(row, target)) for row in learned)
    usual = {mode: median(values) for mode, values in _by_mode(learned, target).items()}
    middles, leverages = predictor.model.of(after).tolist(), predictor.support.leverage(after).tolist()
    inside, own, passed = [], 0.0, 0.0
    for row, middle, leverage in zip(after, middles, leverages, strict=True):
        if world.anywhere and isinstance(predict(predictor, _query(world, row)), Insufficient):
            continue
        found, truth = amount(predictor, middle, leverage), getattr(row, target)
        inside.append(found.low <= truth <= found.high)
        own += abs(log(truth) - middle)
        passed += abs(log(truth) - usual.get(row.mode, everyone))
    return inside, own, passed


def _outcomes(
    world: World,
    predictor: Predictor,
    rows: Sequence[TrainingRow],
    after: Sequence[TrainingRow],
    truth: Sequence[float],
) -> tuple[list[bool], float, float]:
    inside, own, usual = [], 0.0, 0.0
    rates = {
        mode: mean(bool(row.success) for row in rows[: predictor.n] if row.mode == mode)
        for mode in {row.mode for row in rows}
    }
    for row, chance in zip(after, truth, strict=True):
        found = predict(predictor, _query(world, row))
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


def _query(world: World, row: TrainingRow) -> dict[str, object]:
    named = {factor: getattr(row, factor) for factor in world.asked} | {"text": row.text}
    return {factor: value for factor, value in named.items() if value}


def _answer(found: Prediction | Insufficient) -> str:
    return "told" if isinstance(found, Prediction) else found.what


def _claims(one: Judged) -> bool:
    """Whether the model says of itself that it is better than what is usual."""
    skill = one.predictor.skill
    return skill is not None and skill.low > 0


def _told(world: World, found: Sequence[Judged], coverage: float | None) -> str:
    held = "none told" if coverage is None else f"coverage {coverage:.3f}"
    kinds = Counter(one.predictor.kind for one in found)
    answers = sum((one.answers for one in found), Counter[str]())
    skills = [one.predictor.skill for one in found if one.predictor.skill is not None]
    claimed = f"{mean(skill.value for skill in skills):+.2f}" if skills else "none"
    refused = {why: n for why, n in answers.items() if why != "told"}
    share = ", ".join(f"{why} {n / answers.total():.0%}" for why, n in sorted(refused.items()))
    return (
        f"{world.name:38} {world.n:5} rows x {len(found):2} {'/'.join(kinds):14} {held}; "
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

"""Tests on later rows: what may be looked at when, and what intervals and skill follow from."""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from swarmtally.learning.features import Encoding, Floats
from swarmtally.learning.later import (
    BRIER,
    LEAST_RESIDUALS,
    LOG_ERROR,
    SIGNED,
    Ints,
    Judged,
    coverage_of,
    edges,
    in_runs,
    judged,
    offsets,
    runs_of,
    shared_luck,
    skill_of,
)
from swarmtally.learning.learners import Kind, Material, MediansLearner, RatesLearner
from swarmtally.learning.models import Medians, Rates
from swarmtally.learning.rows import TrainingRow
from tests.learning.histories import history


def apart(n: int) -> Ints:
    """Rows of as many runs."""
    return np.arange(n)


@given(n=st.integers(30, 200_000))
def test_blocks_follow_each_other_to_the_last_row(n: int) -> None:
    places = edges(n)
    assert places[-1] == n
    assert all(start < stop for start, stop in pairwise(places))
    assert n - places[0] >= LEAST_RESIDUALS
    assert places[0] >= LEAST_RESIDUALS


@dataclass(frozen=True)
class Constant:
    """Predicts one number, and remembers what it was shown."""

    value: float
    shown: list[int] = field(default_factory=list)
    kind: Kind = "group_median"

    def learn(self, material: Material, until: int) -> Medians:
        self.shown.append(until)
        return Medians(self.value, {}, {})


def material(target: list[float]) -> Material:
    rows = history(len(target))
    return Material(rows, Encoding(()), np.empty((len(rows), 0)), np.array(target), 0)


def test_no_row_is_predicted_by_a_model_that_has_seen_it() -> None:
    learner = Constant(0.0)
    judged(material([0.0] * 400), [learner], LOG_ERROR)
    assert learner.shown == edges(400)[:-1]


def test_what_is_best_is_chosen_by_the_blocks_before() -> None:
    worse, better = Constant(1.0), Constant(0.0)
    seen = judged(material([0.0] * 400), [worse, better], LOG_ERROR)
    first = edges(400)[1] - edges(400)[0]
    assert seen.chosen is better
    assert seen.residuals.tolist() == [-1.0] * first + [0.0] * (240 - first)


def test_what_is_usual_is_the_median_of_the_mode_among_earlier_rows() -> None:
    rows = history(40)
    target = [float(row.at_ns * (10 if row.mode == "coder" else 1)) for row in rows]
    seen = judged(material(target), [Constant(0.0)], LOG_ERROR)
    start = edges(40)[0]
    for place in range(start, 40):
        before = [target[other] for other in range(place) if rows[other].mode == rows[place].mode]
        assert seen.usual[place - start] == abs(target[place] - float(np.median(before)))


def test_the_rate_of_a_mode_loses_brier_scores() -> None:
    seen = judged(material([1.0, 0.0] * 30), [RatesLearner()], BRIER)
    assert np.all(seen.losses < 0.5)
    assert seen.losses.mean() == pytest.approx(0.25, abs=0.03)


residuals = st.lists(st.floats(-5, 5), min_size=LEAST_RESIDUALS, max_size=SIGNED - 1)


@given(found=residuals)
def test_the_bounds_of_few_residuals_hold_nine_of_ten_of_them_and_the_row_to_come(found: list[float]) -> None:
    low, high = offsets(np.array(found), apart(len(found)))
    assert low == -high
    # Rank (n + 1) x 0.9, rounded down: those beyond are at most so many.
    assert sum(abs(each) > high for each in found) <= len(found) - int((len(found) + 1) * 0.9)


@given(found=residuals, level=st.sampled_from([0.5, 0.8]))
def test_a_higher_level_is_never_narrower(found: list[float], level: float) -> None:
    (low, high), (lower, higher) = (
        offsets(np.array(found), apart(len(found)), level),
        offsets(np.array(found), apart(len(found))),
    )
    assert lower <= low <= high <= higher


@pytest.mark.parametrize("n", [LEAST_RESIDUALS, 30, 99, 100, 300])
def test_intervals_hold_nine_of_ten_rows_to_come(n: int) -> None:
    random = np.random.default_rng(n)
    held = []
    for _ in range(400):
        low, high = offsets(random.normal(0, 1, n), apart(n))
        later = random.normal(0, 1, 50)
        held.append(((low <= later) & (later <= high)).mean())
    assert np.mean(held) == pytest.approx(0.9, abs=0.025)


def test_newer_residuals_weigh_more() -> None:
    quiet, loud = np.tile([-0.1, 0.1], 100), np.tile([-1.0, 1.0], 10)
    assert offsets(np.concatenate([quiet, loud]), apart(len(quiet) + len(loud)))[1] == pytest.approx(1.0)
    assert offsets(np.concatenate([loud, quiet]), apart(len(quiet) + len(loud)))[1] == pytest.approx(0.1)


def verdict(own: Floats, usual: Floats) -> Judged:
    return Judged(MediansLearner(), own, own, usual, (0,), apart(len(own)))


def test_skill_is_the_share_of_the_usual_loss_that_is_saved() -> None:
    found = skill_of(verdict(np.full(60, 0.25), np.full(60, 1.0)), 0)
    assert (found.value, found.low, found.high) == (0.75, 0.75, 0.75)


def test_skill_where_there_is_none_is_seldom_claimed() -> None:
    random = np.random.default_rng(0)
    claims = 0
    for seed in range(200):
        usual = np.abs(random.normal(0, 1, 30))
        own = usual + random.normal(0, 0.3, 30)
        claims += skill_of(verdict(own, usual), seed).low > 0
    assert claims <= 10


def test_coverage_is_counted_on_rows_after_those_the_interval_came_from() -> None:
    found = np.concatenate([np.full(100, 0.1), np.full(100, 5.0)])
    starts = tuple(range(0, 200, 20))
    share, n = coverage_of(Judged(MediansLearner(), found, found, found, starts, apart(len(found))))
    assert n == 180
    # Of the loud hundred the first twenty are outside; from then on they are among what bounds follow from.
    assert share == pytest.approx(160 / 180)


def test_few_later_rows_have_no_coverage() -> None:
    found = np.ones(30)
    assert coverage_of(Judged(MediansLearner(), found, found, found, tuple(range(30)), apart(len(found)))) == (None, 18)


def test_medians_are_shrunken_by_how_few_rows_a_group_has() -> None:
    rows = [row for row in history(60, agents=(4,)) if row.mode in ("coder", "tester")][:20]
    target = np.array([1.0 if row.mode == "coder" else 0.0 for row in rows])
    coders = int(target.sum())
    model = MediansLearner().learn(Material(rows, Encoding(()), np.empty((20, 0)), target, 0), 20)
    middle = float(np.median(target))
    effect = model.names["mode"]["coder"]
    assert effect == pytest.approx((1 - middle) * coders / (coders + 1))
    assert model.names["mode"]["tester"] == pytest.approx((0 - middle) * (20 - coders) / (21 - coders))


def test_an_unknown_mode_has_the_rate_of_all() -> None:
    rates = Rates(6, 2, {"coder": (6, 0), "tester": (0, 2)})
    row = history(1)[0]
    assert rates.posterior(replace(row, mode=None)) == (6.5, 2.5)
    assert rates.posterior(replace(row, mode="poet")) == pytest.approx((4 * 6.5 / 9, 4 * 2.5 / 9))
    assert rates.posterior(replace(row, mode="coder")) == pytest.approx((6.5, 2.5))
    assert Rates(6, 2, {"coder": (6, 2)}).posterior(replace(row, mode="coder")) == (6.5, 2.5)


def of_runs(n: int, size: int) -> list[TrainingRow]:
    """Runs of `size` tasks that ended in turn with those of the run beside."""
    rows = history(n)
    return [replace(row, run_id=f"r{place // (2 * size) * 2 + place % 2}") for place, row in enumerate(rows)]


@given(n=st.integers(30, 1_500), size=st.integers(1, 400), seed=st.integers(0, 9))
def test_a_run_is_learned_from_whole_or_predicted_whole(n: int, size: int, seed: int) -> None:
    rows = of_runs(n, size)
    np.random.default_rng(seed).shuffle(rows)  # type: ignore[arg-type]
    rows = in_runs(sorted(rows, key=lambda row: row.at_ns))
    assume(len({row.run_id for row in rows}) > 1)
    learner = Constant(0.0)
    seen = judged(Material(rows, Encoding(()), np.empty((n, 0)), np.zeros(n), 0), [learner], LOG_ERROR)
    for until in learner.shown:
        assert 0 < until < n
        assert rows[until - 1].run_id != rows[until].run_id
    assert len(seen.residuals) == n - learner.shown[0]
    ends = [max(row.at_ns for row in rows if row.run_id == run) for run in dict.fromkeys(row.run_id for row in rows)]
    assert ends == sorted(ends)


def test_rows_of_no_known_run_are_apart() -> None:
    rows = history(5)
    assert in_runs(rows) == rows
    assert runs_of(rows).tolist() == [0, 1, 2, 3, 4]
    assert runs_of([replace(row, run_id="r" if row.at_ns < 4 else None) for row in rows]).tolist() == [0, 0, 0, 1, 2]


def test_intervals_hold_nine_of_ten_rows_of_a_run_to_come() -> None:
    random = np.random.default_rng(1)
    runs = np.repeat(np.arange(19), 5)
    held, narrower = [], []
    for _ in range(2_000):
        luck = random.normal(0, 1, 20)
        seen = luck[runs] + random.normal(0, 0.2, 95)
        later = luck[19] + random.normal(0, 0.2, 10)
        for found, each in ((held, runs), (narrower, apart(95))):
            low, high = offsets(seen, each)
            found.append(((low <= later) & (later <= high)).mean())
    assert np.mean(held) == pytest.approx(0.92, abs=0.03)
    assert np.mean(narrower) < np.mean(held) - 0.02


def test_skill_that_one_lucky_run_showed_is_not_claimed() -> None:
    own, usual = np.concatenate([np.full(50, 0.2), np.full(50, 1.1)]), np.ones(100)
    runs = np.repeat([0, 1], 50)
    assert skill_of(Judged(MediansLearner(), own, own, usual, (0,), apart(100)), 0).low > 0
    assert skill_of(Judged(MediansLearner(), own, own, usual, (0,), runs), 0).low <= 0
    assert skill_of(Judged(MediansLearner(), own[:50], own[:50], usual[:50], (0,), runs[:50]), 0).low == -1.0


def test_outcomes_that_runs_share_are_worth_fewer_rows() -> None:
    random = np.random.default_rng(2)
    rows = [replace(row, run_id=f"r{place // 10}") for place, row in enumerate(history(400))]
    together = np.repeat(random.random(40) < 0.5, 10).astype(float)
    alone = (random.random(400) < 0.5).astype(float)
    chance = np.full(400, 0.5)

    def wider(target: Floats, of: list[TrainingRow]) -> float:
        return shared_luck(Material(of, Encoding(()), np.empty((400, 0)), target, 0), chance)

    assert wider(together, rows) == pytest.approx(10)
    assert wider(alone, rows) < 2
    assert wider(together, history(400)) == 1

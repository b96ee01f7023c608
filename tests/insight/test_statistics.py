"""Formulas against what is known of them: definitions, published tables, brute force."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.insight.performance import spread
from swarmtally.insight.speed import fit, sequential
from swarmtally.insight.statistics import Floats, median, percentiles, t_95, wilson

SHARES = [(1, 2), (19, 20), (99, 100)]


@given(values=st.lists(st.integers(0, 10**15), min_size=1, max_size=300), share=st.sampled_from(SHARES))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    values: list[int], share: tuple[int, int]
) -> None:
    part, whole = share
    expected = next(x for x in sorted(values) if sum(y <= x for y in values) * whole >= part * len(values))
    assert percentiles(np.array(values, dtype=np.int64), (part / whole,)) == [expected]


@pytest.mark.parametrize(("part", "whole"), SHARES)
def test_ranks_are_exact_for_any_number_of_rows(part: int, whole: int) -> None:
    for n in (*range(1, 3_000), 99_900, 100_000, 700_000, 1_000_000):
        values = np.arange(n, dtype=np.int64)
        assert percentiles(values, (part / whole,)) == [-(-part * n // whole) - 1], n


def test_medians_are_recorded_values() -> None:
    assert median(np.array([4, 1, 3, 2], dtype=np.int64)) == 2
    assert median(np.array([5], dtype=np.int64)) == 5


@pytest.mark.parametrize(
    ("n", "told"), [(1, (1, 0, 0)), (19, (1, 0, 0)), (20, (1, 1, 0)), (99, (1, 1, 0)), (100, (1, 1, 1))]
)
def test_percentiles_need_rows_enough(n: int, told: tuple[int, int, int]) -> None:
    seen = spread(np.arange(n, dtype=np.int64))
    assert tuple(int(each is not None) for each in (seen.p50_ns, seen.p95_ns, seen.p99_ns)) == told


def test_what_is_fast_takes_less_than_fifty_milliseconds() -> None:
    assert spread(np.array([49_999_999, 50_000_000], dtype=np.int64)).fast == 0.5


# Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3; and by the formula for 4 of 5 and 1 of 1.
@pytest.mark.parametrize(
    ("successes", "trials", "interval"),
    [
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0000, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
        (29, 29, (0.8830, 1.0000)),
        (1, 1, (0.2065, 1.0)),
    ],
)
def test_intervals_of_proportions_are_those_published(
    successes: int, trials: int, interval: tuple[float, float]
) -> None:
    assert wilson(successes, trials) == pytest.approx(interval, abs=6e-5)


# Any table of Student's t, 0.975.
@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [
        (4, 2.776),
        (5, 2.571),
        (7, 2.365),
        (8, 2.306),
        (9, 2.262),
        (10, 2.228),
        (30, 2.042),
        (120, 1.980),
        (10**9, 1.960),
    ],
)
def test_quantiles_of_student_are_those_of_the_tables(freedom: int, quantile: float) -> None:
    assert t_95(freedom) == pytest.approx(quantile, rel=0.01 if freedom < 7 else 0.001)


def calls_of(rng: np.random.Generator, n: int) -> Floats:
    return np.column_stack([rng.integers(0, 2_000, n), rng.integers(1, 200, n)]).astype(np.float64)


@pytest.mark.parametrize("weights", [(0.003, 0.02, 0.5), (0.0, 0.02, 0.0), (0.003, 0.0, 0.0), (0.0, 0.0, 1.0)])
def test_linear_times_are_learned_exactly(weights: tuple[float, float, float]) -> None:
    features = calls_of(np.random.default_rng(1), 12)
    alone = fit(features, np.column_stack([features, np.ones(12)]) @ np.array(weights))
    assert alone.weights == pytest.approx(weights, abs=1e-9)
    found = sequential(alone, 10_000, 500, 10)
    assert found.seconds == pytest.approx(10_000 * weights[0] + 500 * weights[1] + 10 * weights[2])
    assert found.half_width_s == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_no_weights_that_are_not_negative_fit_better(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = calls_of(rng, 9)
    # Times that fall with the tokens pull weights below nothing.
    exec_s = np.abs(5 - features[:, seed % 2] / 1_000 + rng.normal(0, 1, 9))
    alone = fit(features, exec_s)
    assert (alone.weights >= 0).all()
    design = np.column_stack([features, np.ones(9)])
    loss = float(np.sum((exec_s - design @ alone.weights) ** 2))
    steps = [np.linspace(0, most, 25) for most in (0.01, 0.1, 8.0)]
    grid = np.array(list(product(*steps)))
    losses = np.sum((exec_s[:, None] - design @ grid.T) ** 2, axis=0)
    assert loss <= losses.min() + 1e-9
    # And no small step that stays allowed is downhill.
    for step in np.vstack([np.eye(3), -np.eye(3)]) * np.array([1e-6, 1e-5, 1e-4]):
        other = np.maximum(alone.weights + step, 0)
        assert loss <= float(np.sum((exec_s - design @ other) ** 2)) + 1e-9


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    truth = np.array([0.002, 0.03, 0.4])
    held = 0
    for _ in range(200):
        features = calls_of(rng, 30)
        exec_s = np.column_stack([features, np.ones(30)]) @ truth + rng.normal(0, 0.3, 30)
        calls = calls_of(rng, 20)
        took = float((np.column_stack([calls, np.ones(20)]) @ truth).sum() + rng.normal(0, 0.3, 20).sum())
        found = sequential(fit(features, exec_s), int(calls[:, 0].sum()), int(calls[:, 1].sum()), 20)
        held += abs(found.seconds - took) <= found.half_width_s
    assert held >= 180, f"{held} of 200"

"""How throughput grows with agents: known curves are found, and what was not tried is not claimed."""

from collections.abc import Sequence
from dataclasses import replace
from math import exp, log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from swarmtally.learning.answers import Insufficient
from swarmtally.learning.scalability import Scalability, fit_scalability

SIZES = (1, 2, 4, 8, 16, 32)


def law(n: int, sigma: float, kappa: float, alone: float = 1.0) -> float:
    return alone * n / (1 + sigma * (n - 1) + kappa * n * (n - 1))


def runs(
    sigma: float, kappa: float, noise: float = 0.0, sizes: Sequence[int] = SIZES, each: int = 6, seed: int = 0
) -> list[tuple[int, float]]:
    """`each` runs of every size, whose throughput is off by a factor of about 1 + noise."""
    off = np.exp(np.random.default_rng(seed).normal(0, noise, (len(sizes), each)))
    return [(n, law(n, sigma, kappa, 2.5) * factor) for row, n in enumerate(sizes) for factor in off[row].tolist()]


def fitted(points: Sequence[tuple[int, float]], **more: object) -> Scalability:
    found = fit_scalability(points, **more)  # type: ignore[arg-type]
    assert isinstance(found, Scalability), found
    return found


def refused(points: Sequence[tuple[int, float]], kinds: Sequence[str] | None = None) -> Insufficient:
    found = fit_scalability(points, kinds)
    assert isinstance(found, Insufficient), found
    return found


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 0.9), st.floats(0.002, 0.2), st.floats(1e-4, 1e4))
def test_a_curve_without_noise_is_found_as_it_is(sigma: float, kappa: float, alone: float) -> None:
    found = fitted([(n, law(n, sigma, kappa, alone)) for n in SIZES for _ in range(5)])
    assert found.sigma.value == pytest.approx(sigma, abs=1e-4)
    assert found.kappa.value == pytest.approx(kappa, rel=1e-3, abs=1e-5)
    assert found.throughput_alone == pytest.approx(alone, rel=1e-3)
    best = max(1.0, sqrt((1 - sigma) / kappa))
    if best < SIZES[-1] * 0.99:
        assert found.best is not None
        assert found.best.value == pytest.approx(best, rel=1e-2)


@pytest.mark.parametrize(("sigma", "kappa", "noise"), [(0.1, 0.01, 0.2), (0, 0, 0.3), (1, 0.05, 0.2), (0, 0.02, 0.4)])
def test_no_bounded_fit_is_nearer_to_the_runs(sigma: float, kappa: float, noise: float) -> None:
    for seed in range(3):
        points = runs(sigma, kappa, noise, seed=seed)
        found = fitted(points)
        alone = log(found.throughput_alone or 0)

        def off(at: Sequence[float], points: list[tuple[int, float]] = points) -> list[float]:
            return [log(x) - at[2] - log(law(n, at[0], at[1])) for n, x in points]

        other = min(
            2 * least_squares(off, begin, bounds=([0, 0, -10], [1, 10, 10])).cost
            for begin in ([0.1, 0.01, 0.5], [0.5, 0.001, 0.5], [0.01, 0.1, 0.5])
        )
        ours = sum(each**2 for each in off([found.sigma.value, found.kappa.value, alone]))
        assert ours <= other * (1 + 1e-6)


def test_a_swarm_that_ran_1_2_and_4_agents_gets_at_least_4_and_try_8() -> None:
    found = refused(runs(0.05, 0.005, 0.1, (1, 2, 4), 10))
    assert found.what == "levels"
    assert found.reason.startswith("at least 4; try 8: ")
    assert found.runs_to_make == ("make at least 2 runs with 8 agents",)


def test_what_is_not_known_to_be_faster_is_no_lower_bound() -> None:
    # Four are slower than two: the best number lies between.
    found = refused(runs(0.05, 0.3, 0.05, (1, 2, 4), 10))
    assert found.reason.startswith("at least 2; try 3: ")
    assert found.runs_to_make == ("make at least 2 runs with 3 agents",)
    # Noise hides whether more is faster at all.
    assert refused(runs(0.9, 0.0, 0.5, (1, 2, 4), 10)).reason.startswith("try ")


def test_two_sizes_need_two_more() -> None:
    found = refused(runs(0.05, 0.005, 0.05, (2, 4), 4))
    assert found.runs_to_make == (
        "make at least 2 runs with 8 agents",
        "make at least 2 runs with 16 agents",
        "make at least 22 more runs",
    )


def test_few_runs_are_refused_with_how_many_more() -> None:
    found = refused(runs(0.05, 0.01, 0.1, each=4))
    assert (found.what, found.runs_to_make) == ("rows", ("make at least 6 more runs",))
    fitted(runs(0.05, 0.01, 0.1, each=5))


def test_without_any_run_the_first_are_named() -> None:
    found = refused([])
    assert found.runs_to_make[0] == "make at least 8 runs with 1 agent"
    one_size = refused([(4, 1.0)] * 40)
    assert one_size.reason == "each kind of work ran with one number at once (4), so nothing can be compared; try 8"
    assert one_size.runs_to_make == ("make at least 2 runs with 8 agents",)


def test_a_best_number_beyond_what_was_tried_is_not_invented() -> None:
    found = fitted(runs(0.02, 0.0005, 0.1, (1, 2, 4, 8), 10))
    assert found.best is None
    assert found.at_least == 8
    assert found.reason is not None
    assert found.reason.startswith("at least 8; try 16: ")
    assert found.runs_to_make == ("make at least 2 runs with 16 agents",)


def test_an_interval_that_reaches_beyond_what_was_tried_is_no_answer_either() -> None:
    found = [fitted(runs(0.05, 0.01, 0.3, (1, 2, 4, 8, 12), seed=seed)) for seed in range(12)]
    told = [each.best.high for each in found if each.best is not None]
    assert 0 < len(told) < len(found)
    assert max(told) <= 12


def test_an_interval_wider_than_four_times_is_no_answer() -> None:
    wide = [
        found
        for seed in range(20)
        if (found := fitted(runs(0.6, 0.004, 0.35, (1, 2, 4, 8, 16, 32, 64, 128), 4, seed))).best is None
        and "wider than 4 times" in (found.reason or "")
    ]
    assert wide
    for found in wide:
        assert found.at_least is not None
        assert all(each.startswith("make at least 2 runs with ") for each in found.runs_to_make)


def test_intervals_hold_the_truth_about_nine_times_in_ten() -> None:
    sigma, kappa = 0.05, 0.01
    best = sqrt((1 - sigma) / kappa)
    found = [fitted(runs(sigma, kappa, 0.2, seed=seed), seed=seed) for seed in range(50)]
    held = [
        sum(each.sigma.low <= sigma <= each.sigma.high for each in found),
        sum(each.kappa.low <= kappa <= each.kappa.high for each in found),
        sum(each.best is not None and each.best.low <= best <= each.best.high for each in found),
    ]
    assert all(41 <= count <= 50 for count in held), held


@pytest.mark.parametrize("seed", [3, 29])
def test_where_there_may_be_no_kappa_sigma_may_be_what_it_is_without(seed: int) -> None:
    # Chance bends these runs a little, as if there were a kappa, which leaves too little for sigma.
    found = fitted(runs(0.1, 0.0, 0.15, (1, 2, 4, 8), 8, seed))
    assert found.kappa.value > found.kappa.low == 0
    assert found.sigma.low <= 0.1 <= found.sigma.high


def test_runs_are_compared_with_runs_of_their_kind_only() -> None:
    # Slow work ran mostly with few agents, quick work mostly with many: put together, agents would look better.
    points = runs(0.2, 0.02, 0.02, each=8)
    slow = [(n, x / 20) for n, x in points if n <= 8]
    quick = [(n, x * 20) for n, x in points if n >= 8]
    kinds = ["slow"] * len(slow) + ["quick"] * len(quick)
    found = fitted([*slow, *quick], kinds=kinds)
    assert (found.kinds, found.throughput_alone) == (2, None)
    assert found.sigma.value == pytest.approx(0.2, abs=0.02)
    assert found.best is not None
    assert found.best.value == pytest.approx(sqrt(0.8 / 0.02), rel=0.1)
    # A kind that was seen at one size says nothing of sizes.
    more = fitted([*slow, *quick, *[(64, 1e6)] * 5], kinds=[*kinds, *["other"] * 5])
    assert (more.left_out, more.sigma, more.best) == (5, found.sigma, found.best)


def test_of_very_many_kinds_the_most_common_are_compared() -> None:
    points = runs(0.1, 0.01, 0.05, each=1)
    many = [point for kind in range(60) for point in points[: 2 + 4 * (kind >= 10)]]
    kinds = [str(kind) for kind in range(60) for _ in points[: 2 + 4 * (kind >= 10)]]
    found = fitted(many, kinds=kinds)
    assert (found.kinds, found.rows, found.left_out) == (50, 300, 20)


def test_how_much_there_was_to_do_is_taken_off() -> None:
    # The larger the swarm, the more it was given to do; each doubling of the work halves the throughput.
    draw = np.random.default_rng(3)
    points, work = [], []
    for n, throughput in runs(0.1, 0.01, 0.02, each=8):
        size = 1_000 * n * exp(draw.normal(0, 0.5))
        points.append((n, throughput * 1_000 / size))
        work.append(size)
    adjusted, plain = fitted(points, work=work), fitted(points)
    assert adjusted.sigma.low <= 0.1 <= adjusted.sigma.high
    assert adjusted.best is not None
    assert adjusted.best.low <= sqrt(0.9 / 0.01) <= adjusted.best.high
    assert plain.sigma.value > 0.5


def test_where_the_curve_does_not_describe_the_runs_intervals_are_wider_and_it_says_so() -> None:
    points = runs(0.1, 0.01, 0.05)
    bent = [(n, x * (1.5 if n == 4 else 1)) for n, x in points]
    good, bad = fitted(points), fitted(bent)
    assert (good.misfit, bad.misfit) == (False, True)
    assert bad.sigma.high - bad.sigma.low > 2 * (good.sigma.high - good.sigma.low)


def test_an_agent_that_adds_little_is_not_worth_it() -> None:
    found = fitted(runs(0.1, 0.01))
    assert found.enough is not None
    gains = [law(n + 1, 0.1, 0.01) - law(n, 0.1, 0.01) for n in range(1, 32)]
    assert found.enough == next(n for n, gain in enumerate(gains, 1) if gain < 0.1)
    # While every agent adds as much as the first, no number is enough.
    assert fitted(runs(0, 0, sizes=(1, 2, 4, 8), each=10)).enough is None


@settings(max_examples=6, deadline=None)
@given(st.floats(1e-6, 1e6), st.randoms(use_true_random=False))
def test_neither_units_nor_order_matter(factor: float, shuffler: object) -> None:
    points = runs(0.1, 0.01, 0.1)
    other = [(n, x * factor) for n, x in points]
    shuffler.shuffle(other)  # type: ignore[attr-defined]
    first, second = fitted(points), fitted(other)
    assert first.best is not None
    assert second.best is not None
    for one, two in ((first.sigma, second.sigma), (first.kappa, second.kappa), (first.best, second.best)):
        assert (one.value, one.low, one.high) == pytest.approx((two.value, two.low, two.high), rel=1e-3)
    assert first == fitted(points)


def test_another_seed_moves_intervals_only() -> None:
    points = runs(0.1, 0.01, 0.2)
    first, second = fitted(points, seed=1), fitted(points, seed=2)
    assert first != second
    assert replace(first.sigma, low=0, high=0) == replace(second.sigma, low=0, high=0)


@pytest.mark.parametrize("point", [(0, 1.0), (1, 0.0), (2, -1.0), (2, float("nan")), (2, float("inf"))])
def test_what_is_no_throughput_is_refused(point: tuple[int, float]) -> None:
    with pytest.raises(ValueError, match="no such point"):
        fit_scalability([point])

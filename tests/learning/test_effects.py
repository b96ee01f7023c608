"""What each factor does: found where rows tell, adjusted for the others, and refused where they do not."""

from collections.abc import Sequence
from dataclasses import replace
from math import exp, log2
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmtally.domain.clock import NS_PER_S
from swarmtally.learning.answers import Insufficient
from swarmtally.learning.effects import Effect, Effects, effects
from swarmtally.learning.rows import Target, TrainingRow

DAY_NS = 86_400 * NS_PER_S


def row(number: int, duration_s: float = 1.0, **more: Any) -> TrainingRow:
    return TrainingRow(DAY_NS + number * NS_PER_S, "own", more.pop("level", "run"), duration_s, **more)


def history(count: int = 120, seed: int = 0, noise: float = 0.2) -> list[TrainingRow]:
    """Mesh takes half as long again as star, but runs mostly on the quick backend, which takes a third of the time."""
    draw = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        mesh = bool(draw.random() < 0.5)
        quick = bool(draw.random() < (0.85 if mesh else 0.15))
        agents = int(draw.choice([1, 2, 4, 8]))
        seconds = 10 * (1.5 if mesh else 1) / (3 if quick else 1) * agents**-0.5 * exp(draw.normal(0, noise))
        success = bool(draw.random() < (0.7 if mesh else 0.95))
        topology, backend = "mesh" if mesh else "star", "quick" if quick else "slow"
        rows.append(row(number, seconds, success=success, topology=topology, backend=backend, agents=agents))
    return rows


def told(rows: Sequence[TrainingRow], factor: str, target: Target = "duration_s") -> Effect:
    found = effects(rows, target)
    assert isinstance(found, Effects), found
    (effect,) = (each for each in found.effects if each.factor == factor)
    return effect


def of(effect: Effect, level: str) -> tuple[float, float, float]:
    """The effect as that of `level` against the other one."""
    assert effect.effect is not None, effect
    value, low, high = effect.effect.value, effect.effect.low, effect.effect.high
    if effect.level == level:
        return value, low, high
    return (1 / value, 1 / high, 1 / low) if effect.unit == "ratio" else (-value, -high, -low)


def missing(effect: Effect) -> Insufficient:
    assert effect.effect is None, effect
    assert effect.missing is not None
    return effect.missing


def test_an_effect_is_told_apart_from_what_came_with_it() -> None:
    rows = history()
    means = {name: np.mean([each.duration_s for each in rows if each.topology == name]) for name in ("mesh", "star")}
    assert means["mesh"] < means["star"], "taken as they stand, mesh looks quicker"
    _, low, high = of(told(rows, "topology"), "mesh")
    assert 1 < low <= 1.5 <= high < 2
    _, low, high = of(told(rows, "backend"), "quick")
    assert low <= 1 / 3 <= high < 0.5
    agents = told(rows, "agents")
    assert agents.effect is not None
    assert agents.effect.low <= 2**-0.5 <= agents.effect.high
    assert (agents.low, agents.high, agents.level) == (1, 8, None)
    assert agents.n == sum(bool(each.success) for each in rows)


def test_an_effect_on_success_is_a_difference_of_shares() -> None:
    effect = told(history(300), "topology", "success")
    value, low, high = of(effect, "mesh")
    assert effect.unit == "difference"
    assert low <= -0.25 <= high < 0
    assert value == pytest.approx(-0.25, abs=0.12)


def test_intervals_hold_the_truth_about_nine_times_in_ten() -> None:
    effects_found = [told(history(90, seed, 0.3), "topology") for seed in range(40)]
    answers = [of(each, "mesh") for each in effects_found if each.effect is not None]
    assert len(answers) >= 38
    assert 32 <= sum(low <= 1.5 <= high for _, low, high in answers) <= 40


def test_rows_of_one_run_say_less_than_as_many_runs() -> None:
    draw = np.random.default_rng(1)
    rows = []
    for run in range(20):
        off = exp(draw.normal(0, 0.4))
        topology = ("star", "mesh")[run % 2]
        durations = off * np.exp(draw.normal(0, 0.05, 20))
        rows += [row(20 * run + n, took, run_id=f"r{run}", topology=topology) for n, took in enumerate(durations)]
    together = told(rows, "topology").effect
    apart = told([replace(each, run_id=None) for each in rows], "topology").effect
    assert together is not None
    assert apart is not None
    assert (together.high / together.low - 1) > 2 * (apart.high / apart.low - 1)
    assert together.low <= 1 <= together.high


def test_steady_drift_is_not_taken_for_an_effect() -> None:
    # Everything became slower; mesh was tried later on, more and more.
    draw = np.random.default_rng(2)
    rows = [
        row(n, exp(n / 60 + draw.normal(0, 0.1)), topology="mesh" if draw.random() < n / 120 else "star")
        for n in range(120)
    ]
    _, low, high = of(told(rows, "topology"), "mesh")
    assert low <= 1 <= high
    assert high < 1.3


def test_one_level_is_refused_with_the_runs_that_would_tell() -> None:
    rows = [replace(each, topology="mesh", agents=4) for each in history()]
    topology, agents = missing(told(rows, "topology")), missing(told(rows, "agents"))
    assert topology.runs_to_make == ("make at least 2 runs with topology star",)
    assert (agents.what, agents.reason) == ("levels", "all rows that say it have agents 4")
    assert agents.runs_to_make == ("make at least 2 runs with 8 agents",)
    mode = missing(told(rows, "mode"))
    assert (mode.reason, mode.runs_to_make) == ("no row says its mode", ())


def test_what_only_changed_together_is_not_told_apart() -> None:
    rows = [replace(each, backend="quick" if each.topology == "mesh" else "slow") for each in history()]
    topology = missing(told(rows, "topology"))
    assert topology.what == "levels"
    assert topology.reason == "it changed only together with backend, so their effects cannot be told apart"
    assert topology.runs_to_make[0].endswith("and another backend")
    agents = told(rows, "agents").effect
    assert agents is not None, "what changed by itself is still told"


def test_what_rests_on_one_run_alone_is_refused() -> None:
    # Of three runs with mesh two were on another backend than everything else: only the third tells what mesh does.
    draw = np.random.default_rng(4)
    backends = ["quick", "quick", "slow"]
    rows = [row(n, exp(draw.normal(0, 0.2)), run_id=f"star {n}", topology="star", backend="slow") for n in range(40)]
    rows += [
        row(40 + n, exp(draw.normal(0, 0.2)), run_id=f"mesh {n % 3}", topology="mesh", backend=backends[n % 3])
        for n in range(15)
    ]
    rows = [replace(each, at_ns=1) for each in rows]
    assert missing(told(rows, "topology")).reason == "it rests on one run alone"


def test_a_rare_level_is_refused_and_changes_nothing_else() -> None:
    rows = history()
    with_ring = [replace(each, topology="ring") if n < 3 else each for n, each in enumerate(rows)]
    found = effects(with_ring, "success")
    assert isinstance(found, Effects)
    ring = next(each for each in found.effects if each.level == "ring")
    assert missing(ring).reason == "3 rows of 3 runs with topology ring"
    assert missing(ring).runs_to_make == ("make at least 2 more runs with topology ring",)
    # Rows enough, but of two runs only.
    two_runs = [replace(each, topology="ring", run_id=f"r{n % 2}") if n < 20 else each for n, each in enumerate(rows)]
    found = effects(two_runs, "success")
    assert isinstance(found, Effects)
    ring = next(each for each in found.effects if each.level == "ring")
    assert missing(ring).runs_to_make == ("make at least 1 more run with topology ring",)


def test_few_rows_are_refused_with_how_many_more() -> None:
    found = effects(history(12), "success")
    assert isinstance(found, Insufficient)
    assert (found.what, found.reason) == ("rows", "12 rows that tell of it, and effects need 30")
    assert found.runs_to_make == ("make at least 18 more runs",)


def test_what_failed_says_nothing_of_durations() -> None:
    rows = history()
    cut_off = [replace(each, duration_s=0.001) if each.success is False else each for each in rows]
    assert effects(cut_off, "duration_s") == effects(rows, "duration_s")


def test_an_unsure_effect_is_no_answer() -> None:
    effect = missing(told(history(40, noise=3.0), "topology"))
    assert effect.what == "width"
    assert "wider than 4 times" in effect.reason
    assert effect.runs_to_make


def test_an_unsure_difference_of_shares_is_no_answer() -> None:
    rings = range(4, 40, 7)
    rows = [row(n, success=n % 2 == 0, topology="ring" if n in rings else "star") for n in range(40)]
    effect = missing(told(rows, "topology", "success"))
    assert effect.what == "width"
    assert "wider than 0.5" in effect.reason


def test_where_nothing_failed_nothing_explains_success() -> None:
    found = effects([replace(each, success=True) for each in history()], "success")
    assert isinstance(found, Insufficient)
    assert found.reason == "all 120 rows succeeded: nothing made a difference"


def test_eight_successes_of_eight_are_not_certainty() -> None:
    rings = range(4, 80, 10)
    rows = [row(n, success=n in rings or n % 8 != 1, topology="ring" if n in rings else "star") for n in range(80)]
    _, low, high = of(told(rows, "topology", "success"), "ring")
    assert low < 0 < high, "with one failure in eight, eight successes are no wonder"


LEVELS = st.sampled_from(["a", "b", "c", None])
AMOUNT = st.one_of(st.none(), st.integers(1, 64))
ROWS = st.lists(
    st.builds(
        TrainingRow,
        at_ns=st.integers(1, 5 * DAY_NS),
        source=st.just("own"),
        level=st.just("task"),
        duration_s=st.floats(1e-6, 1e6),
        success=st.sampled_from([True, False, None]),
        tokens=st.one_of(st.none(), st.integers(0, 10**6)),
        mode=LEVELS,
        topology=LEVELS,
        backend=LEVELS,
        agents=AMOUNT,
        concurrency=AMOUNT,
        prompt_bytes=AMOUNT,
        run_id=st.sampled_from(["r1", "r2", "r3", "r4", None]),
    ),
    min_size=30,
    max_size=60,
)


@settings(max_examples=25, deadline=None)
@given(ROWS, st.sampled_from(["duration_s", "tokens", "success"]))
def test_whatever_the_rows_an_effect_is_a_number_in_its_interval_or_a_reason(
    rows: list[TrainingRow], target: Target
) -> None:
    found = effects(rows, target)
    if isinstance(found, Insufficient):
        assert found.reason
        return
    for each in found.effects:
        assert (each.effect is None) != (each.missing is None)
        if each.effect is not None:
            assert np.isfinite([each.effect.value, each.effect.low, each.effect.high]).all()
            assert each.effect.low <= each.effect.value <= each.effect.high
            assert each.n <= len(rows)


@settings(max_examples=6, deadline=None)
@given(st.floats(1e-3, 1e3))
def test_units_do_not_matter(factor: float) -> None:
    rows = history(60)
    scaled = [replace(each, duration_s=each.duration_s * factor) for each in rows]
    one, two = of(told(rows, "topology"), "mesh"), of(told(scaled, "topology"), "mesh")
    assert one == pytest.approx(two, rel=1e-6)


def test_an_amount_counts_doublings() -> None:
    rows = [row(n, 5.0 * 1.3 ** log2(size), prompt_bytes=size) for n, size in enumerate([100, 200, 400, 800] * 10)]
    effect = told(rows, "prompt_bytes").effect
    assert effect is not None
    assert (effect.value, effect.low, effect.high) == pytest.approx((1.3, 1.3, 1.3), rel=1e-6)

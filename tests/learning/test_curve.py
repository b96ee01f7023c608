"""How many agents a curve recommends to who would take another number without it."""

import json
import math
import random

import pytest

from swarmtally.experience import UNKNOWN, of_curve
from swarmtally.learning.curve import SLACK, SURE, Curve, curves_of, read, written
from swarmtally.learning.rows import TrainingRow
from tests.learning.worlds import world

SIZES = (1, 2, 4, 8, 16)


def speed_up(n: int, sigma: float, kappa: float) -> float:
    """The Universal Scalability Law."""
    return n / (1 + sigma * (n - 1) + kappa * n * (n - 1))


def runs(sigma: float, kappa: float, sizes: tuple[int, ...] = SIZES, each: int = 8, noise: float = 0.05) -> Curve:
    draw = random.Random(3)
    rows = [
        TrainingRow(
            at_ns=number + 1,
            source="own",
            level="run",
            duration_s=600 / speed_up(agents, sigma, kappa) * math.exp(draw.gauss(0, noise)),
            success=True,
            mode="batch",
            agents=agents,
            tasks=40,
        )
        for number, agents in enumerate(sizes * each)
    ]
    return curves_of(rows, "own", 0)["runs"]


def test_where_agents_are_in_each_other_s_way_fewer_are_recommended_that_are_no_slower() -> None:
    curve = runs(0.1, 0.06)
    taken = curve.instead_of(8)
    assert taken is not None
    assert taken < 8
    assert speed_up(taken, 0.1, 0.06) * (1 + SLACK) >= speed_up(8, 0.1, 0.06)
    known = of_curve(curve)
    assert (known.pays, known.rows, known.best) == (taken, 40, 4)
    assert "throughput is greatest with 3.9 (90 %: " in known.told


def test_where_only_waiting_for_each_other_counts_no_time_is_given_away_for_fewer_agents() -> None:
    curve = runs(0.3, 0.0)
    assert curve.enough is not None
    assert curve.enough < 8
    assert speed_up(curve.enough, 0.3, 0) * (1 + SLACK) < speed_up(8, 0.3, 0)
    known = of_curve(curve)
    assert known.pays is not None
    assert curve.enough < known.pays <= 8
    assert f"{known.pays}, since with {curve.enough} work may take more than 2 % longer than with 8" in known.told


def test_where_more_agents_pay_more_are_recommended() -> None:
    curve = runs(0.08, 0.001, sizes=(1, 2, 4, 8, 16, 32))
    taken = curve.instead_of(8)
    assert taken == curve.enough
    assert taken is not None
    assert taken > 12


def test_where_all_that_were_tried_pay_nothing_is_recommended_but_the_runs_that_would_tell() -> None:
    known = of_curve(runs(0.01, 0.0, sizes=(1, 2, 4, 8)))
    assert (known.pays, known.best) == (None, None)
    assert known.reason == (
        "history does not tell how many agents pay (32 own runs): at least 8; try 16: the best number may lie beyond"
        " the 8 that were tried; make at least 2 runs with 16 agents"
    )


def test_what_history_is_not_sure_of_is_not_recommended() -> None:
    for noise in (0.05, 0.5):
        curve = runs(0.1, 0.06, noise=noise)
        taken = curve.instead_of(8)
        assert taken is not None
        sure = sum(speed_up(taken, *draw) * (1 + SLACK) >= speed_up(8, *draw) for draw in curve.draws)
        assert sure >= SURE * len(curve.draws)


@pytest.mark.parametrize("usual", [1, 2, 5, 8, 40])
def test_who_would_take_that_many_anyway_is_told_the_same_or_nearer_to_what_is_enough(usual: int) -> None:
    curve = runs(0.1, 0.02)
    taken = curve.instead_of(usual)
    assert taken is not None
    assert curve.enough is not None
    assert min(curve.enough, usual) <= taken <= max(curve.enough, usual)


def test_a_curve_written_and_read_again_recommends_the_same() -> None:
    curve = runs(0.1, 0.06)
    text = json.dumps(written(curve))
    assert read(json.loads(text)) == curve
    assert len(text) < 10_000


def test_given_rows_are_no_experience_of_this_machine() -> None:
    own = curves_of(world(90, source="given"), "own", 0)["runs"]
    assert of_curve(own).pays is None
    assert UNKNOWN.reason.endswith("make at least 8 runs each with 1, 2, 4 and 8 agents; then neural_train")

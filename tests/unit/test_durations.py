"""What finished tasks tell of how long others take."""

import pytest

from swarmtally.insight.durations import Estimate, History

FOUR = History.of([("coder", 40), ("coder", 10), ("coder", 20), ("tester", 100), ("coder", 90)])


@pytest.mark.parametrize(
    ("history", "role", "expected"),
    [
        (FOUR, "coder", Estimate(30, 4, "role")),  # between 20 and 40
        (FOUR, "tester", Estimate(40, 5, "all roles")),  # one row of its own is too few
        (FOUR, "poet", Estimate(40, 5, "all roles")),
        (History.of([("coder", 5)] * 3), "coder", Estimate(5, 3, "role")),
        (History.of([("coder", 5)] * 2), "coder", None),
        (History.of([]), "coder", None),
    ],
)
def test_a_duration_is_the_median_of_three_rows_at_least(
    history: History, role: str, expected: Estimate | None
) -> None:
    assert history.duration(role) == expected


def test_what_is_left_is_the_median_of_those_that_took_longer() -> None:
    assert FOUR.remaining("coder", 0) == Estimate(30, 4, "role")
    assert FOUR.remaining("coder", 15) == Estimate(40 - 15, 3, "role")  # 20, 40 and 90 took longer
    assert FOUR.remaining("coder", 20) is None  # two took longer


def test_a_role_with_a_history_is_not_mended_with_that_of_others() -> None:
    history = History.of([("coder", 10)] * 3 + [("tester", 500)] * 5)
    assert history.remaining("coder", 50) is None
    assert history.remaining("poet", 50) == Estimate(450, 5, "all roles")

"""What the texts of timeframes mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.timeframe import Timeframe

NOW = 1_700_000_000 * NS_PER_S
"""2023-11-14T22:13:20Z."""


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800), (" 30d ", 2_592_000)]
)
def test_a_length_means_the_stretch_up_to_now(text: str, seconds: int) -> None:
    assert Timeframe.parse(text, NOW) == Timeframe(NOW - seconds * NS_PER_S, NOW)


def test_all_begins_with_the_epoch_and_no_length_reaches_further() -> None:
    assert Timeframe.parse("all", NOW) == Timeframe.parse("999999d", NOW) == Timeframe(0, NOW)


@pytest.mark.parametrize(
    ("text", "since_s", "until_s"),
    [
        ("2023-11-14/2023-11-14T12:00:00Z", 1_699_920_000, 1_699_963_200),
        ("2023-11-14T01:00:00+01:00/2023-11-14T00:00:01", 1_699_920_000, 1_699_920_001),
        ("2023-11-14/2099-01-01", 1_699_920_000, 1_700_000_000),
    ],
)
def test_two_moments_mean_what_lies_between_them_up_to_now(text: str, since_s: int, until_s: int) -> None:
    assert Timeframe.parse(text, NOW) == Timeframe(since_s * NS_PER_S, until_s * NS_PER_S)


def test_a_moment_is_read_to_the_microsecond() -> None:
    assert Timeframe.parse("2023-11-14T00:00:00.123457Z/2023-11-14T01:00:00Z", NOW).since_ns % NS_PER_S == 123_457_000


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("", "timeframe '' is none"),
        ("24", "timeframe '24' is none"),
        ("-1h", "timeframe '-1h' is none"),
        ("1.5h", "timeframe '1.5h' is none"),
        ("24H", "timeframe '24H' is none"),
        ("٢h", "timeframe '٢h' is none"),
        ("0s", "has no length"),
        ("yesterday/today", "'yesterday' is no moment"),
        ("2023-11-14/", "'' is no moment"),
        ("2023-11-15/2023-11-16", "begins in the future"),
        ("2023-11-14/2023-11-13", "ends before it begins"),
        ("2023-11-14/2023-11-14", "ends before it begins"),
        ("0001-01-01T00:00:00+14:00/2023-11-13T00:00:00+99:00", "lies before 1970"),
    ],
)
def test_what_means_no_stretch_is_refused_with_what_does(text: str, fact: str) -> None:
    with pytest.raises(InvalidInput, match=f"(?s){fact}.*give 90s, 15m, 24h, 7d, all, or"):
        Timeframe.parse(text, NOW)


@given(st.text(max_size=200))
def test_any_text_is_a_stretch_up_to_now_or_refused(text: str) -> None:
    try:
        found = Timeframe.parse(text, NOW)
    except InvalidInput:
        return
    assert found.since_ns < found.until_ns <= NOW

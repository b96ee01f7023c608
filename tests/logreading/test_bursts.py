"""Bursts: stretches of time with far more entries than the log's mean."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from swarmtally.logreading.bursts import bursts
from swarmtally.logreading.reading import Reader
from swarmtally.logreading.stamps import NS_PER_S
from swarmtally.logreading.tally import MOST_BUCKETS, Tally
from swarmtally.logreading.templates import Template

START = 1_700_000_000


def template(seconds: list[int], length_s: int) -> Template:
    reader = Reader()
    lines = [(second, "ERROR no answer") for second in seconds] + [(0, "INFO begin"), (length_s, "INFO end")]
    reader.feed(f"{START + second} {said}" for second, said in sorted(lines))
    return next(one for one in reader.result().templates if one.template == "no answer")


def test_a_planted_burst_is_found_where_it_is() -> None:
    steady = list(range(0, 3_600, 60))
    found = template(steady + [1_800 + n // 10 for n in range(300)], 3_600).bursts
    (burst,) = found
    width = (burst.to_ns - burst.from_ns) / NS_PER_S
    assert burst.from_ns <= (START + 1_800) * NS_PER_S
    assert burst.to_ns >= (START + 1_829) * NS_PER_S
    assert width <= 30 + 2 * 64
    assert burst.count >= 300
    assert burst.rate_per_minute == burst.count / width * 60


def test_a_steady_rate_has_no_burst() -> None:
    assert template(list(range(0, 3_600, 5)), 3_600).bursts == ()


def test_chance_alone_makes_no_burst() -> None:
    dice = random.Random(7)
    assert not any(template([dice.randrange(86_400) for _ in range(160)], 86_400).bursts for _ in range(60))


def test_somewhat_more_than_the_mean_is_no_burst() -> None:
    assert template([*range(0, 3_600, 2), *(list(range(1_200)) * 3)], 3_600).bursts == ()


def test_of_two_that_become_one_the_examples_are_of_the_first_and_the_last() -> None:
    earlier, later = Tally(1), Tally(5)
    earlier.add(START * NS_PER_S, "error", "a", "one")
    later.add(None, None, "b", "two")
    later.take(earlier)
    assert (later.first_text, later.last_text, later.entry, later.count) == ("one", "two", 1, 2)
    assert (later.first_ns, dict(later.components)) == (START * NS_PER_S, {"a": 1, "b": 1})


def test_buckets_that_become_one_keep_their_counts() -> None:
    tally = Tally(1)
    for second in range(1_000):
        tally.add(second * NS_PER_S, None, None, "x")
    assert (tally.shift, sum(tally.buckets.values())) == (3, 1_000)
    assert tally.buckets[0] == 8


def test_what_came_only_within_a_short_time_of_a_long_log_is_a_burst() -> None:
    (burst,) = template([1_000] * 20, 86_400).bursts
    assert burst.count == 20


def test_a_few_entries_are_no_burst() -> None:
    assert template([1_000] * 4, 86_400).bursts == ()


def test_a_log_without_length_has_no_bursts() -> None:
    assert template([0] * 50, 0).bursts == ()


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=500))
def test_buckets_stay_bounded_and_lose_nothing(seconds: list[int]) -> None:
    tally = Tally(1)
    for second in seconds:
        tally.add(second * NS_PER_S, None, None, "x")
    assert len(tally.buckets) <= MOST_BUCKETS
    assert sum(tally.buckets.values()) == len(seconds)
    assert {second >> tally.shift for second in seconds} == set(tally.buckets)


@given(st.dictionaries(st.integers(0, 10**6), st.integers(1, 10**4), min_size=1, max_size=100), st.integers(0, 10))
def test_bursts_are_apart_in_order_and_made_of_what_was_counted(buckets: dict[int, int], shift: int) -> None:
    found = bursts(buckets, shift, float((max(buckets) - min(buckets) + 1) << shift))
    assert all(one.to_ns < other.from_ns for one, other in pairwise(found))
    for burst in found:
        width_ns = NS_PER_S << shift
        inside = sum(count for at, count in buckets.items() if burst.from_ns <= at * width_ns < burst.to_ns)
        assert burst.count == inside

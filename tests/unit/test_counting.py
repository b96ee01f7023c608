"""The ratio that input is estimated by: learned from calls that reported, or assumed on the safe side."""

import math
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.core.counting import ASSUMED_BYTES, LEAST_CALLS, learn

calls = st.tuples(st.integers(1, 10**6), st.integers(1, 10**6))


def test_with_too_few_calls_two_bytes_a_token_are_assumed_and_no_error_is_known() -> None:
    ratio = learn([(400, 100)] * (LEAST_CALLS - 1))
    assert (ratio.bytes_per_token, ratio.n, ratio.error, ratio.learned) == (ASSUMED_BYTES, 4, None, False)
    assert ratio.tokens(401) == 201


def test_the_ratio_is_the_median_so_one_strange_prompt_does_not_move_it() -> None:
    ratio = learn([(400, 100)] * 5 + [(400, 1)])
    assert ratio.bytes_per_token == 4
    assert ratio.tokens(4_001) == 1_001


def test_the_error_is_what_the_other_calls_would_have_said_of_each() -> None:
    # The two middle ones of five are each estimated from the other four.
    ratio = learn([(100, 100), (200, 100), (300, 100), (400, 100), (500, 100)])
    said = [math.ceil(100 / 3.5), math.ceil(200 / 3.5), math.ceil(300 / 3), math.ceil(400 / 2.5), math.ceil(500 / 2.5)]
    assert ratio.error == max(abs(tokens - 100) / 100 for tokens in said)


@given(st.lists(calls, min_size=LEAST_CALLS, max_size=60))
def test_ratio_and_error_are_those_of_the_plain_definition(given_calls: list[tuple[int, int]]) -> None:
    ratio = learn(given_calls)
    assert ratio.n == len(given_calls)
    assert ratio.bytes_per_token == pytest.approx(median(size / tokens for size, tokens in given_calls))
    errors = []
    for number, (size, tokens) in enumerate(given_calls):
        others = [one / of for place, (one, of) in enumerate(given_calls) if place != number]
        errors.append(abs(math.ceil(size / median(others)) - tokens) / tokens)
    assert ratio.error is not None
    exceeded = sum(error > ratio.error for error in errors)
    assert exceeded <= 0.05 * len(errors)
    assert min(abs(error - ratio.error) for error in errors) == pytest.approx(0)

"""What a run's rows add up to."""

from hypothesis import given
from hypothesis import strategies as st

from swarmtally.domain.measures import (
    AttemptFacts,
    CallFacts,
    MessageFacts,
    critical_path_ns,
    durations,
    fresh_tokens,
    packed,
)


def call(*prefix: tuple[int, str], tokens: int | None = 100, cached: int | None = 0) -> CallFacts:
    return CallFacts(tokens, cached, prefix[-1][0] if prefix else 100, prefix)


def attempt(task_id: str = "t", status: str = "succeeded", **given: int | None) -> AttemptFacts:
    times: dict[str, int | None] = {"ready_ns": 0, "begun_ns": 12, "started_ns": 13, "ended_ns": 18}
    return AttemptFacts(
        **{  # type: ignore[arg-type]
            "task_id": task_id,
            "number": 1,
            "status": status,
            "final": True,
            "claimed_ns": 10,
            "committed_ns": 20,
            "exec_ns": 5,
            "expires_ns": None,
            **times,
            **given,
        }
    )


def test_where_nobody_caches_all_tokens_are_fresh() -> None:
    assert fresh_tokens([call((100, "a")), call((100, "a"))]) == 200
    assert fresh_tokens([call((100, "a"), cached=None)] * 2) == 200
    assert fresh_tokens([]) == 0


def test_what_calls_begin_with_alike_is_read_once() -> None:
    first = call((50, "shared"), (100, "a"), cached=0)
    second = call((50, "shared"), (100, "b"), cached=20)
    # Half of the second stands in the first already; it read 20 tokens of that.
    assert fresh_tokens([first, second]) == 100 + 50


def test_a_cache_that_did_better_than_expected_is_no_speed_up() -> None:
    assert fresh_tokens([call((100, "a"), cached=90), call((100, "b"), cached=0)]) == 10 + 100


def test_a_prompt_sent_again_is_read_from_the_cache_whole() -> None:
    assert fresh_tokens([call((100, "a"), cached=1), call((100, "a"), cached=50)]) == 99 + 0


def test_an_empty_prompt_divides_by_nothing() -> None:
    assert fresh_tokens([CallFacts(7, 3, 0, ())]) == 4


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=7),
    st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6))),
)
def test_the_critical_path_is_the_longest_chain(lengths: list[int], edges: set[tuple[int, int]]) -> None:
    exec_ns = {str(number): length for number, length in enumerate(lengths)}
    needs = {(later, earlier) for later, earlier in edges if later > earlier}

    def longest(number: int) -> int:
        before = [longest(earlier) for later, earlier in needs if later == number and earlier < len(lengths)]
        return lengths[number] + max(before, default=0)

    found = critical_path_ns(exec_ns, [(str(later), str(earlier)) for later, earlier in needs])
    assert found == max(longest(number) for number in range(len(lengths)))


def test_durations_are_never_negative() -> None:
    back = attempt(ready_ns=99, begun_ns=1, ended_ns=30)
    found = durations([back], [MessageFacts("data_transfer", 9, 3), MessageFacts("coordination", 1, None)])
    assert (found.waits, found.assignments, found.updates, found.transfers, found.coordinations) == (
        [0],
        [0],
        [0],
        [0],
        [],
    )


def test_attempts_without_a_result_have_waited_and_no_more() -> None:
    found = durations([attempt(status="lost", ended_ns=None, exec_ns=None, begun_ns=None)], [])
    assert (found.waits, found.execs, found.overheads, found.errors) == ([10], [], [], [])
    assert durations([attempt(status="expired", committed_ns=None)], []).waits == []


def test_packed_durations_ascend() -> None:
    assert packed([3, 1]) == (1).to_bytes(8, "little") + (3).to_bytes(8, "little")
    assert packed([]) is None

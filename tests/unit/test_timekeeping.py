"""Every moment of time belongs to exactly one part, whatever goes on at once."""

from hypothesis import given
from hypothesis import strategies as st

from swarmtally.domain.timekeeping import Part, Timekeeper, TimeSpent


class Hand:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.ns = 7

    def __call__(self) -> int:
        return self.ns


def test_the_store_comes_before_scheduling_and_scheduling_before_backends() -> None:
    clock = Hand()
    keeper = Timekeeper(clock)
    clock.ns += 1
    with keeper.time(Part.BACKENDS):
        clock.ns += 10
        with keeper.time(Part.SCHEDULING):
            clock.ns += 100
            with keeper.time(Part.STORE):
                clock.ns += 1_000
                with keeper.lock_wait():
                    clock.ns += 10_000
            clock.ns += 200
        clock.ns += 20
    clock.ns += 2
    assert keeper.read() == TimeSpent(11_000, 300, 30, 3, 10_000)


def test_what_nests_or_overlaps_counts_once() -> None:
    clock = Hand()
    keeper = Timekeeper(clock)
    first, second = keeper.time(Part.BACKENDS), keeper.time(Part.BACKENDS)
    first.__enter__()
    clock.ns += 5
    second.__enter__()
    assert keeper.under_way(Part.BACKENDS) == 2
    clock.ns += 5
    first.__exit__(None, None, None)
    clock.ns += 5
    second.__exit__(None, None, None)
    clock.ns += 5
    assert keeper.read() == TimeSpent(0, 0, 15, 5, 0)


def test_an_error_ends_what_was_timed() -> None:
    clock = Hand()
    keeper = Timekeeper(clock)
    try:
        with keeper.lock_wait():
            clock.ns += 5
            raise ValueError
    except ValueError:
        clock.ns += 5
    assert keeper.read() == TimeSpent(5, 0, 0, 5, 5)


def test_a_difference_of_two_readings_is_what_lies_between() -> None:
    clock = Hand()
    keeper = Timekeeper(clock)
    clock.ns += 5
    before = keeper.read()
    with keeper.time(Part.STORE):
        clock.ns += 3
    assert keeper.read().since(before) == TimeSpent(3, 0, 0, 0, 0)


LOCK = "lock"
STEPS = st.lists(
    st.tuples(st.sampled_from([*list(Part)[:3], LOCK]), st.booleans(), st.integers(0, 50), st.booleans()), max_size=60
)


@given(STEPS)
def test_the_parts_add_up_and_each_moment_has_the_first_part_under_way(
    steps: list[tuple[Part | str, bool, int, bool]],
) -> None:
    """Held against a model that looks at each nanosecond."""
    clock = Hand()
    keeper = Timekeeper(clock)
    under_way: dict[Part | str, int] = dict.fromkeys([*list(Part)[:3], LOCK], 0)
    wanted = dict.fromkeys(Part, 0)
    waited = 0
    for what, starts, passes, reads in steps:
        span = keeper.lock_wait() if isinstance(what, str) else keeper.time(what)
        if starts:
            span.__enter__()
            under_way[what] += 1
        elif under_way[what]:
            span.__exit__(None, None, None)
            under_way[what] -= 1
        for _ in range(passes):
            clock.ns += 1
            store = under_way[Part.STORE] or under_way[LOCK]
            others = (part for part in (Part.SCHEDULING, Part.BACKENDS) if under_way[part])
            wanted[Part.STORE if store else next(others, Part.REST)] += 1
            waited += bool(under_way[LOCK])
        if reads:
            keeper.read()
    spent = keeper.read()
    assert spent == TimeSpent(*(wanted[part] for part in Part), waited)
    assert spent.total_ns == clock.ns - 7
    assert spent.lock_wait_ns <= spent.store_ns

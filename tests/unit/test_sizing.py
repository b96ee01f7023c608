"""How many agents a load needs, and who gets the places when there are too few."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.core.sizing import NO_LOAD, NO_SERVICE, Experience, Load, Want, mean_service_ns, need, share
from swarmtally.domain.clock import NS_PER_S

MINUTE = 60 * NS_PER_S


def a_load(**given: object) -> Load:
    """Nothing but what is given; times in seconds where they are lists."""
    times = {
        name: tuple(round(time * NS_PER_S) for time in given.pop(name, ()))  # type: ignore[attr-defined]
        for name in ("ended", "under_way")
    }
    zeros = {"role": None, "agents": 0, "busy": 0, "arrivals": 0, "since_first_ns": 0, "backlog": 0}
    return Load(**{**zeros, **times, **given})  # type: ignore[arg-type]


durations = st.lists(st.integers(1, 3600 * NS_PER_S), max_size=20)
loads = st.builds(
    Load,
    role=st.none(),
    agents=st.integers(0, 50),
    busy=st.integers(0, 50),
    arrivals=st.integers(0, 10_000),
    since_first_ns=st.integers(0, 15 * MINUTE),
    ended=durations.map(tuple),
    under_way=durations.map(tuple),
    backlog=st.integers(0, 10_000),
)


def test_the_mean_of_attempts_that_have_ended_is_their_mean() -> None:
    assert mean_service_ns([10, 20, 60], []) == 30


def test_attempts_under_way_count_as_long_as_they_have_taken_already() -> None:
    assert mean_service_ns([10, 10], [4]) == 10, "a younger one says nothing against 10"
    assert mean_service_ns([10, 10], [50]) == round((10 + 10 + 50) / 3), "an older one takes 50 at least"
    # By hand: all of 4 last 10, two of three go on to 30 (one at 20 is not known to end), one of two beyond.
    assert mean_service_ns([10, 30], [20, 40]) == round(10 + 0.75 * 20 + 0.75 * 0.5 * 10)


def test_without_an_attempt_that_ended_the_time_is_not_known() -> None:
    assert mean_service_ns([], [50, 60]) is None


@given(durations.filter(bool), durations)
def test_the_mean_lies_between_the_shortest_and_the_longest_time(ended: list[int], under_way: list[int]) -> None:
    found = mean_service_ns(ended, under_way)
    assert found is not None
    assert min(ended + under_way) <= found <= max(ended + under_way)
    # What goes on takes no less than so far; the mean is rounded.
    assert found + 1 >= sum(ended + under_way) / len(ended + under_way) * (1 - 1e-9)


@pytest.mark.parametrize(
    ("load", "needed"),
    [
        # 30 in 5 min of 20 s each: 2 at work, at 80 % utilisation 2.5 agents.
        (a_load(arrivals=30, since_first_ns=5 * MINUTE, ended=[20] * 30), 3),
        # 48 in 4 min of 20 s each: 4 at work, exactly 5 agents.
        (a_load(arrivals=48, since_first_ns=4 * MINUTE, ended=[20] * 48), 5),
        # The same seen for one second only counts as one minute.
        (a_load(arrivals=12, since_first_ns=NS_PER_S, ended=[20] * 12), 5),
        # 24 wait, 20 s each, within 60 s: 8 at work, 10 agents.
        (a_load(backlog=24, ended=[20]), 10),
        # 4 wait, 2 min each, within 2 min: 4 at work, 5 agents.
        (a_load(backlog=4, ended=[120]), 5),
        # A burst of 4 half a minute ago, 10 min each, counts as 4 in 10 min: no more than 4 at work.
        (a_load(arrivals=4, since_first_ns=MINUTE // 2, ended=[600]), 5),
        # Both: 30 in 5 min and 24 waiting: 2 + 8 at work.
        (a_load(arrivals=30, since_first_ns=5 * MINUTE, backlog=24, ended=[20]), ceil(10 / 0.8)),
        # Little to do, but nobody at work is too many.
        (a_load(arrivals=1, since_first_ns=5 * MINUTE, ended=[1], busy=3), 3),
        (a_load(ended=[1]), 1),
    ],
)
def test_needs_computed_by_hand(load: Load, needed: int) -> None:
    assert (need(load).needed, need(load).reason) == (needed, None)


def test_without_load_or_without_a_service_time_the_need_is_not_known() -> None:
    assert (need(a_load(agents=4)).needed, need(a_load(agents=4)).reason) == (None, NO_LOAD)
    assert need(a_load(agents=4)).wanted == 4
    waiting = need(a_load(agents=2, backlog=9, under_way=[3]))
    assert (waiting.needed, waiting.reason, waiting.wanted) == (None, NO_SERVICE, 2)
    assert need(a_load(backlog=9)).wanted == 1, "else nothing would ever be measured"


def test_no_more_agents_are_needed_than_the_backend_takes_calls_at_once() -> None:
    load = a_load(backlog=24, ended=[20])
    assert need(load, 10).reason is None
    few = need(load, 4)
    assert (few.needed, few.reason) == (
        4,
        "the load needs 10, but the backend takes 4 calls at once; others would only wait",
    )
    assert need(a_load(backlog=24, ended=[20], busy=6), 4).needed == 6


KNOWN = Experience(rows=90, pays=5, best=7, told="by 90 own runs …")


def test_no_more_agents_are_needed_than_throughput_grows_with() -> None:
    load = a_load(backlog=24, ended=[20])
    fallen = need(load, None, KNOWN)
    assert (fallen.needed, fallen.reason) == (
        7,
        "the load needs 10, but beyond 7 throughput falls: by 90 own runs …",
    )
    assert need(a_load(backlog=24, ended=[20], busy=9), None, KNOWN).needed == 9, "who is busy stays"
    assert need(a_load(backlog=12, ended=[20]), None, KNOWN).reason is None
    # The narrower of two limits is the one that is told.
    assert "the backend takes 4" in str(need(load, 4, KNOWN).reason)
    assert (need(load, 8, KNOWN).needed, "beyond 7" in str(need(load, 8, KNOWN).reason)) == (7, True)


def test_without_a_load_what_pays_is_wanted_and_where_nobody_knows_the_size_stays() -> None:
    idle = need(a_load(agents=2), None, KNOWN)
    assert (idle.needed, idle.wanted, idle.reason) == (None, 5, f"{NO_LOAD}; by 90 own runs …")
    assert need(a_load(agents=2), 3, KNOWN).wanted == 3, "its backend takes no more"
    untold = Experience(0, None, None, "history does not tell", ("make at least 2 runs with 8 agents",))
    unknown = need(a_load(agents=2), None, untold)
    assert (unknown.wanted, unknown.reason) == (
        2,
        f"{NO_LOAD}; history does not tell; make at least 2 runs with 8 agents",
    )
    # Work that waits is a load: how long it takes is not known, and history says nothing of that.
    assert need(a_load(agents=2, backlog=9), None, KNOWN).wanted == 2


experiences = st.none() | st.builds(
    Experience, st.integers(0, 999), st.none() | st.integers(1, 60), st.none() | st.integers(1, 60), st.just("told")
)


@given(loads, st.none() | st.integers(1, 20), experiences)
def test_experience_only_ever_limits_a_need_and_says_so(
    load: Load, at_once: int | None, known: Experience | None
) -> None:
    without, found = need(load, at_once), need(load, at_once, known)
    assert found.wanted >= load.busy
    if load.none:
        assert found.pays == (None if known is None or known.pays is None else min(known.pays, at_once or known.pays))
        return
    assert found.wanted <= without.wanted
    if found.wanted < without.wanted:
        assert known is not None
        assert found.wanted == max(known.best or 0, load.busy, 1)
        assert "throughput falls: told" in str(found.reason)


@given(loads, st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 20))
def test_more_load_never_needs_fewer_agents(load: Load, arrivals: int, backlog: int, busy: int) -> None:
    if load.arrivals == 0:
        arrivals = 0  # the first arrival also begins the window
    more = Load(
        load.role,
        load.agents,
        load.busy + busy,
        load.arrivals + arrivals,
        load.since_first_ns,
        load.ended,
        load.under_way,
        load.backlog + backlog,
    )
    assert need(more).wanted >= need(load).wanted or load.none


@given(loads.filter(lambda load: bool(load.ended)), st.integers(1, 20))
def test_slower_attempts_never_need_fewer_agents(load: Load, times: int) -> None:
    slower = Load(
        load.role,
        load.agents,
        load.busy,
        load.arrivals,
        load.since_first_ns,
        tuple(time * times for time in load.ended),
        tuple(time * times for time in load.under_way),
        load.backlog,
    )
    assert need(slower).wanted >= need(load).wanted


@given(loads, st.none() | st.integers(1, 20))
def test_who_is_at_work_is_always_needed_and_figures_make_up_the_need(load: Load, at_once: int | None) -> None:
    found = need(load, at_once)
    assert found.wanted >= load.busy
    assert load.none or found.wanted >= 1
    if found.needed is None or found.service_ns is None:
        return
    rate, waiting = Fraction(load.arrivals, found.window_ns), Fraction(load.backlog, found.horizon_ns)
    by_formula = ceil((rate + waiting) * found.service_ns / Fraction(8, 10))
    assert found.needed == max(min(by_formula, at_once or by_formula), load.busy, 1)


wants = st.dictionaries(st.sampled_from("abcde"), st.builds(Want, st.integers(0, 12), st.booleans()))


@given(wants, st.integers(0, 40))
def test_places_are_shared_without_passing_them_or_anybodys_want(given_wants: dict[str, Want], places: int) -> None:
    given_places = share(given_wants, places)
    assert given_places.keys() == given_wants.keys()
    assert sum(given_places.values()) == min(places, sum(want.agents for want in given_wants.values()))
    assert all(given_places[role] <= want.agents for role, want in given_wants.items())


@given(wants, st.integers(0, 40))
def test_one_more_place_takes_nobody_s_away(given_wants: dict[str, Want], places: int) -> None:
    fewer, more = share(given_wants, places), share(given_wants, places + 1)
    assert all(fewer[role] <= more[role] for role in given_wants)


@given(wants, st.integers(0, 40))
def test_no_role_that_works_is_without_agents_while_another_has_two(given_wants: dict[str, Want], places: int) -> None:
    given_places = share(given_wants, places)
    for role, want in given_wants.items():
        if want.working and want.agents and not given_places[role]:
            assert max(given_places.values()) <= 1
            assert not any(given_places[other] for other, one in given_wants.items() if not one.working)


@given(wants, st.integers(1, 40))
def test_no_place_would_lower_the_highest_load_elsewhere(given_wants: dict[str, Want], places: int) -> None:
    given_places = share(given_wants, places)
    served = {role: want for role, want in given_wants.items() if want.working and given_places[role]}
    highest = max((Fraction(want.agents, given_places[role]) for role, want in served.items()), default=Fraction(0))
    for role, want in served.items():
        if given_places[role] > 1 and highest > 1:
            assert Fraction(want.agents, given_places[role] - 1) >= highest, (
                "one of its agents would serve better there"
            )


def test_places_go_to_the_role_that_is_most_loaded() -> None:
    wanted = {"coder": Want(8, working=True), "tester": Want(4, working=True), "idle": Want(3, working=False)}
    assert share(wanted, 6) == {"coder": 4, "tester": 2, "idle": 0}
    assert share(wanted, 13) == {"coder": 8, "tester": 4, "idle": 1}
    assert share(wanted, 1) == {"coder": 1, "tester": 0, "idle": 0}

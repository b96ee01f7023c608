"""Plans of who does what when: what holds for every plan, the limits it is held against, and what is refused."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from swarmtally.domain.errors import InvalidInput
from swarmtally.insight.balance import Item, Worker, bounds, check, problem_of, ranked
from swarmtally.insight.swapping import Plan, plan

ROLES = ("coder", "tester", "reviewer")


@st.composite
def tasks(draw: st.DrawFn, most: int = 14, roles: Sequence[str] = ROLES) -> list[Item]:
    """Tasks that depend on tasks before them; their ids are in no order that means anything."""
    names = draw(st.permutations([f"t{number}" for number in range(draw(st.integers(1, most)))]))
    return [
        Item(
            name,
            draw(st.sampled_from(roles)),
            draw(st.integers(0, 9)),
            draw(st.integers(-1, 1)),
            tuple(draw(st.lists(st.sampled_from(names[:at]), max_size=3, unique=True))) if at else (),
        )
        for at, name in enumerate(names)
    ]


def agents(most: int = 5, busy: int = 6, roles: Sequence[str] = ROLES) -> st.SearchStrategy[list[Worker]]:
    each = st.tuples(st.sampled_from(roles), st.integers(0, busy))
    return st.lists(each, min_size=1, max_size=most).map(
        lambda found: [Worker(f"a{number}", *one) for number, one in enumerate(found)]
    )


def least(items: Sequence[Item], workers: Sequence[Worker]) -> int:
    """The shortest makespan there is: every task in turn, on every agent that may take it."""
    roles = {worker.role for worker in workers}

    def extended(ends: dict[str, int], free: dict[str, int]) -> Iterator[int]:
        if len(ends) == len(items):
            yield max(ends.values())
        for item in items:
            if item.id in ends or any(other not in ends for other in item.depends_on):
                continue
            ready = max((ends[other] for other in item.depends_on), default=0)
            for worker in workers:
                if worker.role == item.role or item.role not in roles:
                    end = max(ready, free[worker.agent_id]) + item.duration_ns
                    yield from extended({**ends, item.id: end}, {**free, worker.agent_id: end})

    return min(extended({}, {worker.agent_id: worker.free_ns for worker in workers}))


@settings(deadline=None)
@given(tasks(), agents())
def test_every_task_has_one_agent_of_its_role_for_all_its_time(items: list[Item], workers: list[Worker]) -> None:
    made = plan(items, workers)
    roles = {worker.agent_id: worker.role for worker in workers}
    wanted = {item.id: item for item in items}
    assert sorted(one.id for one in made.placements) == sorted(wanted)
    for one in made.placements:
        item = wanted[one.id]
        assert one.end_ns - one.start_ns == item.duration_ns
        assert roles[one.agent_id] == item.role or item.role not in roles.values()
    assert made.makespan_ns == max(one.end_ns for one in made.placements)


@settings(deadline=None)
@given(tasks(), agents())
def test_no_task_starts_before_what_it_needs_has_ended(items: list[Item], workers: list[Worker]) -> None:
    placed = {one.id: one for one in plan(items, workers).placements}
    for item in items:
        for other in item.depends_on:
            assert placed[other].end_ns <= placed[item.id].start_ns


@settings(deadline=None)
@given(tasks(), agents())
def test_an_agent_does_one_thing_at_a_time_and_first_what_it_is_at(items: list[Item], workers: list[Worker]) -> None:
    placed = sorted(plan(items, workers).placements, key=lambda one: (one.start_ns, one.end_ns))
    for worker in workers:
        free = worker.free_ns
        for one in placed:
            if one.agent_id == worker.agent_id:
                assert one.start_ns >= free
                free = one.end_ns


@settings(deadline=None)
@given(tasks(), agents())
def test_no_plan_is_shorter_than_its_bounds(items: list[Item], workers: list[Worker]) -> None:
    made = plan(items, workers)
    limits = made.bounds
    assert limits.lower_ns <= limits.floor_ns <= made.makespan_ns
    assert limits.lower_ns == max(limits.work_ns, limits.chain_ns)


@pytest.mark.parametrize("last", [0, 1, 7])
def test_whoever_waits_no_more_ends_the_search(last: int) -> None:
    """Before the first try two parts are heeded."""
    items = [Item(f"t{number}", "coder", 7 + number % 5) for number in range(40)]
    workers = [Worker(f"a{number}", "coder") for number in range(3)]
    heard: list[int] = []

    def heed(tries: int) -> None:
        heard.append(tries)
        if tries == last and len(heard) > 2:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        plan(items, workers, heed)
    assert heard == [0, 0, *range(last + 1)]


@settings(deadline=None)
@given(tasks(), agents())
def test_the_search_never_makes_it_longer(items: list[Item], workers: list[Worker]) -> None:
    made = plan(items, workers)
    assert made.makespan_ns <= made.list_makespan_ns


@settings(deadline=None)
@given(tasks(), agents(), st.data())
def test_the_order_in_which_tasks_are_given_changes_nothing(
    items: list[Item], workers: list[Worker], data: st.DataObject
) -> None:
    assert plan(data.draw(st.permutations(items)), workers) == plan(items, workers)


@settings(deadline=None)
@given(tasks(), agents(), st.integers(2, 1_000))
def test_doubling_every_duration_doubles_the_plan(items: list[Item], workers: list[Worker], factor: int) -> None:
    longer = plan(
        [replace(item, duration_ns=item.duration_ns * factor) for item in items],
        [replace(worker, free_ns=worker.free_ns * factor) for worker in workers],
    )
    made = plan(items, workers)
    assert longer.makespan_ns == made.makespan_ns * factor
    assert longer.bounds.chain_ns == made.bounds.chain_ns * factor


@settings(deadline=None)
@given(tasks(), agents())
def test_nobody_idles_while_a_task_of_their_role_waits(items: list[Item], workers: list[Worker]) -> None:
    """What list scheduling is: an agent that could have started a task earlier was at another one."""
    made = plan(items, workers)
    placed = {one.id: one for one in made.placements}
    for item in items:
        own = [worker for worker in workers if worker.role == item.role]
        ready = max((placed[other].end_ns for other in item.depends_on), default=0)
        for worker in own:
            for moment in range(max(ready, worker.free_ns), placed[item.id].start_ns):
                assert any(
                    one.agent_id == worker.agent_id and one.start_ns <= moment < one.end_ns for one in made.placements
                )


@settings(max_examples=40, deadline=None)
@given(tasks(4), agents(3, busy=3))
def test_the_bounds_hold_for_the_shortest_plan_there_is(items: list[Item], workers: list[Worker]) -> None:
    found = bounds(problem_of(items, workers))
    assert max(found.lower_ns, found.floor_ns) <= least(items, workers)


@settings(max_examples=40, deadline=None)
@given(tasks(4, ROLES[:1]), agents(3, busy=0, roles=ROLES[:1]))
def test_with_one_role_a_plan_takes_less_than_twice_the_least(items: list[Item], workers: list[Worker]) -> None:
    """Graham 1969: at most 2 - 1/p times the least, whatever the list."""
    assert plan(items, workers).makespan_ns * len(workers) <= least(items, workers) * (2 * len(workers) - 1)


@settings(max_examples=40, deadline=None)
@given(tasks(4, ROLES[:2]), agents(2, busy=0, roles=ROLES[:2]))
def test_with_roles_a_plan_takes_at_most_one_time_more_for_each(items: list[Item], workers: list[Worker]) -> None:
    """Jaffe 1980: at most (roles + 1) times the least, where every task has a role of its own."""
    present = {worker.role for worker in workers}
    served = [replace(item, role=item.role if item.role in present else workers[0].role) for item in items]
    assert plan(served, workers).makespan_ns <= (len(present) + 1) * least(served, workers)


def test_the_search_finds_the_least_where_the_list_misses_it() -> None:
    """Two agents, durations 3 3 2 2 2: longest first makes 7, three and three beside two, two and two make 6."""
    items = [Item(f"t{at}", "coder", ns) for at, ns in enumerate((3, 3, 2, 2, 2))]
    workers = [Worker("a0", "coder"), Worker("a1", "coder")]
    made = plan(items, workers)
    assert (made.list_makespan_ns, made.makespan_ns, least(items, workers)) == (7, 6, 6)


def test_the_search_puts_nothing_before_what_is_more_urgent() -> None:
    """The same with the short ones urgent: 6 could only be had by starting a long one before them."""
    items = [Item(f"t{at}", "coder", ns, priority=int(ns == 2)) for at, ns in enumerate((3, 3, 2, 2, 2))]
    workers = [Worker("a0", "coder"), Worker("a1", "coder")]
    made = plan(items, workers)
    assert (made.list_makespan_ns, made.makespan_ns, least(items, workers)) == (7, 7, 6)


def ranks(items: Sequence[Item]) -> list[str]:
    problem = problem_of(items, [Worker("a", "coder")])
    return [problem.ids[task] for task in ranked(problem)]


def test_the_longest_chain_of_work_goes_first() -> None:
    chain = [Item("x", "coder", 1), Item("y", "coder", 5, depends_on=("x",))]
    assert ranks([*chain, Item("z", "coder", 5)]) == ["x", "y", "z"]
    assert ranks([*chain, Item("z", "coder", 7)]) == ["z", "x", "y"]


def test_what_is_urgent_goes_first_with_all_it_waits_for() -> None:
    urgent = [Item("x", "coder", 1, depends_on=("w",)), Item("y", "coder", 1, 5, ("x",)), Item("w", "coder", 1)]
    assert ranks([Item("long", "coder", 99), *urgent]) == ["w", "x", "y", "long"]


@settings(deadline=None)
@given(tasks(roles=ROLES[:1]), agents(1, busy=0, roles=ROLES[:1]))
def test_one_agent_starts_no_task_while_a_more_urgent_one_is_ready(items: list[Item], workers: list[Worker]) -> None:
    problem = problem_of(items, workers)
    urgency = dict(zip(problem.ids, problem.priority, strict=True))
    placed = {one.id: one for one in plan(items, workers).placements}
    for one in items:
        for other in items:
            # Tasks of no duration may start at the same moment.
            if placed[one.id].start_ns < placed[other.id].start_ns and urgency[one.id] < urgency[other.id]:
                ready = max((placed[needed].end_ns for needed in other.depends_on), default=0)
                assert ready > placed[one.id].start_ns


def one_plan(items: Sequence[Item], workers: Sequence[Worker]) -> dict[str, tuple[str, int]]:
    return {one.id: (one.agent_id, one.start_ns) for one in plan(items, workers).placements}


def test_a_role_nobody_has_is_taken_by_who_has_least_of_their_own_to_do() -> None:
    items = [Item("own", "coder", 9), Item("poem", "poet", 2), Item("test", "tester", 1)]
    workers = [Worker("c", "coder"), Worker("t1", "tester"), Worker("t2", "tester")]
    assert one_plan(items, workers) == {"own": ("c", 0), "test": ("t1", 0), "poem": ("t2", 0)}


def test_who_is_busy_gets_work_when_free() -> None:
    items = [Item("x", "coder", 3), Item("y", "coder", 3), Item("z", "coder", 3)]
    workers = [Worker("late", "coder", 4), Worker("now", "coder")]
    assert one_plan(items, workers) == {"x": ("now", 0), "y": ("now", 3), "z": ("late", 4)}
    assert bounds(problem_of(items, workers)).floor_ns == 7  # (9 + 4) / 2, in whole nanoseconds


def test_the_bounds_are_those_worked_out_by_hand() -> None:
    items = [
        Item("a", "coder", 4),
        Item("b", "coder", 6, depends_on=("a",)),
        Item("c", "tester", 3, depends_on=("b",)),
        Item("d", "coder", 7),
        Item("e", "coder", 10),
    ]
    workers = [Worker("c1", "coder"), Worker("t1", "tester"), Worker("idle", "poet")]
    found = bounds(problem_of(items, workers))
    assert (found.work_ns, found.agents) == (15, 2)  # 30 over the coder and the tester; nothing is for the poet
    assert (found.chain_ns, found.chain) == (13, ("a", "b", "c"))
    assert found.lower_ns == 15
    assert found.floor_ns == 27  # the coder's own 4 + 6 + 7 + 10


@pytest.mark.parametrize(
    ("given_tasks", "said"),
    [
        ([("a", []), ("b", []), ("a", [])], "two tasks have the id 'a'; give each an id of its own"),
        ([("a", ["b"])], "task 'a' depends on 'b', which is not among the tasks; add that task or remove"),
        ([("a", ["a"])], "wait for each other in a circle: 'a' before 'a'; remove one of these"),
        ([("a", ["c"]), ("b", ["a"]), ("c", ["b"])], "in a circle: 'a' before 'b' before 'c' before 'a';"),
    ],
)
def test_what_is_no_graph_is_refused(given_tasks: list[tuple[str, list[str]]], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check(given_tasks)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_long_circle_is_told_in_one_short_line() -> None:
    circle = [(f"t{number}", [f"t{(number - 1) % 5_000}"]) for number in range(5_000)]
    with pytest.raises(InvalidInput, match="before … before") as caught:
        check(circle)
    assert len(str(caught.value)) < 400


@settings(deadline=None)
@example([Item("only", "coder", 0)], [Worker("a", "coder", 5)])
@example(
    [Item("t0", "coder", 0), Item("t1", "coder", 0, depends_on=("t0",)), Item("t2", "coder", 1)],
    [Worker("a", "coder", 5)],
)
@given(tasks(), agents())
def test_the_same_input_gives_the_same_plan(items: list[Item], workers: list[Worker]) -> None:
    made: Plan = plan(items, workers)
    assert plan(items, workers) == made

"""The order in which tasks of known durations should start: what holds for every order, and what it is worth."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from swarmtally.domain.ordering import Graph, by_chain, graph_of, improved, listed, ordered
from swarmtally.domain.task import NewTask, remaining_paths


def new(key: str, ns: int | None, *needs: str, **given: object) -> NewTask:
    return NewTask(key, "work", "coder", "coder", key, needs, expected_ns=ns, **given)  # type: ignore[arg-type]


@st.composite
def plans(draw: st.DrawFn, most: int = 12, urgent: bool = True) -> list[NewTask]:
    found: list[NewTask] = []
    for number in range(draw(st.integers(1, most))):
        keys = [task.key for task in found]
        needs = draw(st.lists(st.sampled_from(keys), max_size=3, unique=True)) if keys else []
        priority = draw(st.integers(-1, 1)) if urgent else 0
        found.append(new(f"t{number}", draw(st.integers(0, 9)), *needs, priority=priority))
    return draw(st.permutations(found))


AGENTS = st.integers(1, 5)


def schedule(graph: Graph, order: Sequence[int]) -> tuple[list[int], int]:
    found = listed(graph, order)
    assert found is not None
    return found.start, found.makespan


@settings(deadline=None, max_examples=60)
@given(plans(), AGENTS)
def test_no_task_starts_before_what_it_waits_for_has_ended(plan: list[NewTask], agents: int) -> None:
    graph = graph_of(plan, agents)
    start = improved(graph, 200).start
    for task, needed in enumerate(graph.before):
        for other in needed:
            assert start[other] + graph.duration[other] <= start[task]


@settings(deadline=None, max_examples=60)
@given(plans(), AGENTS)
def test_there_are_never_more_tasks_under_way_than_agents(plan: list[NewTask], agents: int) -> None:
    graph = graph_of(plan, agents)
    start = improved(graph, 200).start
    ends = [at + own for at, own in zip(start, graph.duration, strict=True)]
    for moment in start:
        assert sum(begun <= moment < end for begun, end in zip(start, ends, strict=True)) <= agents


@settings(deadline=None, max_examples=60)
@given(plans(), AGENTS)
def test_an_order_is_never_worse_than_that_by_critical_path(plan: list[NewTask], agents: int) -> None:
    graph = graph_of(plan, agents)
    found = improved(graph, 200)
    assert graph.floor <= found.makespan <= schedule(graph, by_chain(graph))[1]
    assert schedule(graph, found.order) == (found.start, found.makespan)


@settings(deadline=None, max_examples=40)
@given(plans(), AGENTS)
def test_the_same_plan_gets_the_same_order(plan: list[NewTask], agents: int) -> None:
    assert ordered(plan, agents) == ordered(plan, agents)


@settings(deadline=None, max_examples=40)
@given(plans(5, urgent=False), st.integers(1, 3))
def test_no_schedule_is_shorter_than_the_floor(plan: list[NewTask], agents: int) -> None:
    graph = graph_of(plan, agents)
    assert graph.floor <= _least(graph)


def _least(graph: Graph) -> int:
    """The shortest makespan there is, agents left idle on purpose too: every task in turn, on the agent free first."""

    def extended(ends: dict[int, int], free: list[int]) -> int:
        if len(ends) == len(graph.duration):
            return max(ends.values())
        found = []
        for task, needed in enumerate(graph.before):
            if task not in ends and all(other in ends for other in needed):
                for at in range(len(free)):
                    end = max([free[at], *(ends[other] for other in needed)]) + graph.duration[task]
                    found.append(extended({**ends, task: end}, sorted([*free[:at], *free[at + 1 :], end])))
        return min(found)

    return extended({}, [0] * graph.agents)


@settings(deadline=None, max_examples=60)
@given(plans(), AGENTS)
def test_what_is_more_urgent_has_an_earlier_place(plan: list[NewTask], agents: int) -> None:
    placed = sorted(ordered(plan, agents), key=lambda task: task.place)
    assert [task.priority for task in placed] == sorted((task.priority for task in plan), reverse=True)


@settings(deadline=None, max_examples=60)
@given(plans(), AGENTS)
def test_what_ready_tasks_are_sorted_by_is_the_order(plan: list[NewTask], agents: int) -> None:
    placed = ordered(plan, agents)
    paths = remaining_paths(placed)
    claimed = sorted(placed, key=lambda task: (-task.priority, -paths[task.key], task.place))
    assert claimed == sorted(placed, key=lambda task: task.place)
    # Other runs are compared with: how long chains are is dealt out anew, and nothing added.
    assert sorted(paths.values()) == sorted(remaining_paths(plan).values())


@settings(deadline=None, max_examples=40)
@given(plans())
def test_without_expectations_a_plan_stays_as_it_is(plan: list[NewTask]) -> None:
    unknown = [replace(task, expected_ns=None) for task in plan]
    assert ordered(unknown, 3) == tuple(unknown)


def test_the_longest_goes_first_even_where_chains_have_more_tasks() -> None:
    plan = [new("a", 1), new("b", 1, "a"), new("c", 1, "b"), new("long", 9)]
    assert ordered(plan, 1)[-1].place == 1
    assert ordered([replace(task, expected_ns=4) for task in plan], 2)[0].place == 1


def test_a_task_of_unknown_duration_counts_as_the_middle_one() -> None:
    plan = [new("short", 1), new("unknown", None), new("middle", 5), new("long", 9)]
    assert graph_of(plan, 2).duration == [1, 5, 5, 9]


def test_the_search_finds_the_least_where_the_critical_path_misses_it() -> None:
    """Two agents, durations 3 3 2 2 2: longest first makes 7, three and three beside two, two and two make 6."""
    graph = graph_of([new(f"t{at}", ns) for at, ns in enumerate((3, 3, 2, 2, 2))], 2)
    assert schedule(graph, by_chain(graph))[1] == 7
    assert improved(graph).makespan == 6


def test_what_a_task_sees_it_waits_for() -> None:
    graph = graph_of([new("a", 5), new("b", 5, sees=("a",))], 2)
    assert improved(graph).makespan == 10


def test_thousands_of_tasks_are_put_in_order_too() -> None:
    plan = [new(f"t{number}", number % 7 + 1, *([f"t{number - 9}"] if number > 9 else [])) for number in range(2_000)]
    placed = ordered(plan, 20)
    assert sorted(task.place for task in placed) == list(range(1, 2_001))

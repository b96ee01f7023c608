"""The pure rules: retries, topologies, paths through a plan, who takes a task."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.core.assignment import assign
from swarmtally.domain.retry import RetryPolicy
from swarmtally.domain.swarm import IdleAgent, Strategy, Topology
from swarmtally.domain.task import NewTask, Task, TaskStatus, remaining_paths
from swarmtally.domain.topology import neighbours

ROLES = ["coder", "tester", "reviewer"]


def a_task(number: int, role: str) -> Task:
    return Task(
        task_id=f"t{number}", run_id="r", ordinal=number, key=f"k{number}", phase="p", mode="m", role=role, text="x",
        priority=0, remaining_path=1, tolerates_failure=False, expands=False, hub=False, status=TaskStatus.READY,
        pending=0, attempts=0, not_before_ns=0, agent_id=None, created_ns=0, ready_ns=0, finished_ns=None, error=None,
    )  # fmt: skip


def an_agent(number: int, role: str) -> IdleAgent:
    return IdleAgent(f"a{number}", role, number)


roles = st.lists(st.sampled_from(ROLES), max_size=8)


@given(roles, roles, st.integers(0, 5), st.sampled_from(Strategy))
def test_an_agent_takes_one_task_and_room_is_never_passed(
    wanted: list[str], idle: list[str], room: int, strategy: Strategy
) -> None:
    tasks = [a_task(number, role) for number, role in enumerate(wanted)]
    found = assign(tasks, [an_agent(number, role) for number, role in enumerate(idle)], room, strategy)
    taken = [item.agent.agent_id for item in found if item.agent]
    assert len(taken) == len(set(taken))
    assert sum(item.agent is None for item in found) <= room
    assert len({item.task.task_id for item in found}) == len(found)
    for item in found:
        if strategy is Strategy.SPECIALIZED and item.agent:
            assert item.agent.role == item.task.role
    if strategy is not Strategy.SPECIALIZED:
        assert len(found) == min(len(wanted), len(idle) + room), "work waits although somebody could do it"


@given(roles, roles)
def test_an_agent_of_the_role_comes_before_any_other(wanted: list[str], idle: list[str]) -> None:
    tasks = [a_task(number, role) for number, role in enumerate(wanted)]
    found = assign(tasks, [an_agent(number, role) for number, role in enumerate(idle)], 0, Strategy.BALANCED)
    for role in ROLES:
        exact = sum(item.agent is not None and item.agent.role == item.task.role == role for item in found)
        assert exact == min(wanted.count(role), idle.count(role))


def test_the_agent_idle_longest_is_taken() -> None:
    found = assign([a_task(0, "coder")], [an_agent(3, "coder"), an_agent(5, "coder")], 0, Strategy.BALANCED)
    assert found[0].agent is not None
    assert found[0].agent.agent_id == "a3"


@given(st.integers(1, 20), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 1e6))
def test_a_pause_is_bounded_and_attempts_end(failed: int, draw: float, retry_after: float | None) -> None:
    policy = RetryPolicy(max_attempts=6, base_s=1, cap_s=10)
    delay = policy.delay_s(failed, draw, retry_after)
    if failed >= 6:
        assert delay is None
    else:
        assert delay is not None
        assert min(10, 2 ** (failed - 1)) / 2 <= delay <= 100
        assert delay >= min(retry_after or 0, 100)


@given(st.sampled_from(Topology), st.integers(1, 40), st.data())
def test_edges_go_both_ways_except_round_the_ring(topology: Topology, size: int, data: st.DataObject) -> None:
    agents = [f"a{number}" for number in range(size)]
    one = data.draw(st.sampled_from(agents))
    found = neighbours(topology, agents, one)
    if topology is Topology.ADAPTIVE:
        assert found is None
        return
    assert found is not None
    assert one not in found
    assert len(found) == len(set(found))
    if topology is not Topology.RING:
        assert all(one in (neighbours(topology, agents, other) or ()) for other in found)


@pytest.mark.parametrize(
    ("topology", "expected"),
    [
        (Topology.MESH, ["0", "2", "3", "4", "5"]),
        (Topology.STAR, ["0"]),
        (Topology.RING, ["2"]),
        (Topology.HIERARCHICAL, ["0", "5"]),
    ],
)
def test_the_neighbours_of_the_second_of_six(topology: Topology, expected: list[str]) -> None:
    assert list(neighbours(topology, ["0", "1", "2", "3", "4", "5"], "1") or ()) == expected


def plan(**needs: str) -> list[NewTask]:
    return [NewTask(key, "p", "m", "r", "x", tuple(filter(None, need.split(",")))) for key, need in needs.items()]


def test_the_remaining_path_counts_tasks_to_the_end() -> None:
    assert remaining_paths(plan(a="", b="a", c="b", d="a", e="earlier")) == {"a": 3, "b": 2, "c": 1, "d": 1, "e": 1}


@pytest.mark.parametrize("wrong", [plan(a="b", b="a"), plan(a="") * 2])
def test_a_plan_with_a_circle_or_a_key_twice_is_refused(wrong: list[NewTask]) -> None:
    with pytest.raises(ValueError, match=r"circle|share a key"):
        remaining_paths(wrong)

"""Growing and draining a swarm, while it rests and while it works."""

from collections import Counter
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.core.scaling import to_drain
from swarmtally.domain.errors import InvalidInput, NotFound
from swarmtally.domain.swarm import Agent, AgentStatus, Strategy, Topology
from swarmtally.domain.task import TaskStatus
from tests.core.harness import ScriptedBackend, Swarmed, swarmed, task
from tests.core.invariants import broken

ROLES = ["coder", "tester", "reviewer"]


def an_agent(number: int, role: str, status: AgentStatus) -> Agent:
    task_id = f"t{number}" if status is AgentStatus.BUSY else None
    return Agent(f"a{number}", "s", role, "n", (), status, False, task_id, number, 0, 0, 0)


@given(
    st.lists(st.tuples(st.sampled_from(ROLES), st.sampled_from([AgentStatus.IDLE, AgentStatus.BUSY])), max_size=12),
    st.integers(0, 12),
    st.none() | st.sampled_from(ROLES),
)
def test_who_leaves_follows_the_rules_in_their_order(
    given_agents: list[tuple[str, AgentStatus]], wanted: int, role: str | None
) -> None:
    staying = [an_agent(number, *each) for number, each in enumerate(given_agents)]
    count = min(wanted, len(staying))
    gone = to_drain(staying, count, role)
    left = [agent for agent in staying if agent not in gone]
    assert len(gone) == len({agent.agent_id for agent in gone}) == count
    assert not left or not staying or staying[0] in left, "the hub leaves last"
    others = [agent for agent in left if agent is not staying[0]]
    for agent in gone[: count if left else -1]:
        asked = role is None or agent.role == role
        assert asked or not [one for one in others if one.role == role], "another role before the one asked for"
        for one in others:
            alike = (one.role == role) == (agent.role == role) or role is None
            assert not (alike and agent.status is AgentStatus.BUSY and one.status is AgentStatus.IDLE)
            if one.role == agent.role and one.status == agent.status:
                assert staying.index(one) < staying.index(agent), "the newest of a role goes first"


@given(st.lists(st.sampled_from(ROLES), min_size=1, max_size=12), st.integers(0, 12))
def test_the_newest_agent_of_the_most_common_role_leaves_first(roles: list[str], wanted: int) -> None:
    staying = [an_agent(number, role, AgentStatus.IDLE) for number, role in enumerate(roles)]
    left = list(staying)
    for agent in to_drain(staying, min(wanted, len(staying) - 1), None):
        sizes = Counter(one.role for one in left)
        newest = {one.role: one for one in left[1:]}
        most = max(sizes[role] for role in newest)
        candidates = [one for one in newest.values() if sizes[one.role] == most]
        assert agent == max(candidates, key=staying.index)
        left.remove(agent)


async def sizes(swarm: Swarmed) -> tuple[int, int]:
    (row,) = await swarm.rows("SELECT agents, max_agents FROM swarm")
    return row["agents"], row["max_agents"]


async def lawful(swarm: Swarmed, *, at_rest: bool = False) -> None:
    assert await swarm.database.read(lambda tx: broken(tx, at_rest=at_rest)) == {}


async def until(swarm: Swarmed, sql: str) -> None:
    """Until the query finds something."""
    with anyio.fail_after(10):
        while not await swarm.rows(sql):
            await anyio.lowlevel.checkpoint()


async def test_a_swarm_grows_and_shrinks_to_exactly_what_is_asked_for(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.init(max_agents=3)
        for target in (2, 5, 5, 1, 0, 4):
            scaled = await swarm.swarms.scale(target, None, None)
            assert (scaled.size, scaled.leaving) == (target, 0)
            assert (await sizes(swarm))[0] == target
            assert sum(scaled.roles.values()) == target
            await lawful(swarm)
        assert await sizes(swarm) == (4, 5)


async def test_max_agents_is_raised_where_the_target_needs_it_and_never_lowered(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.init(max_agents=3)
        grown = await swarm.swarms.scale(4, "tester", None)
        assert (grown.max_agents_before, grown.swarm.max_agents) == (3, 4)
        assert [agent.role for agent in grown.added] == ["tester"] * 4
        shrunk = await swarm.swarms.scale(1, None, None)
        assert (shrunk.max_agents_before, shrunk.swarm.max_agents, shrunk.left) == (4, 4, 3)


async def test_a_swarm_grows_by_its_most_common_role_and_an_empty_one_by_coders(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.init()
        assert [agent.role for agent in (await swarm.swarms.scale(1, None, None)).added] == ["coder"]
        await swarm.swarms.spawn("tester", None, (), 2, None)
        assert [agent.role for agent in (await swarm.swarms.scale(4, None, None)).added] == ["tester"]


async def test_a_busy_agent_leaves_when_its_result_is_recorded(tmp_path: Path) -> None:
    gate = anyio.Event()
    async with swarmed(tmp_path, ScriptedBackend(gate=gate, together=2)) as swarm:
        await swarm.init(max_agents=4)
        run_id = await swarm.start(task("a"), task("b"))
        await swarm.backend.met.wait()
        await swarm.swarms.scale(4, None, None)
        scaled = await swarm.swarms.scale(0, None, None)
        assert (scaled.left, scaled.leaving, scaled.size) == (2, 2, 2)
        await lawful(swarm)
        gate.set()
        with anyio.fail_after(10):
            assert (await swarm.runs.wait(run_id, None)).status == "succeeded"
        assert await sizes(swarm) == (0, 4)
        rows = await swarm.rows("SELECT tasks_succeeded, left_ns FROM agent WHERE tasks_succeeded > 0")
        assert [row["tasks_succeeded"] for row in rows] == [1, 1]
        assert all(row["left_ns"] for row in rows)
        assert len(await swarm.rows("SELECT 1 FROM event WHERE kind = 'agent.left'")) == 4
        await lawful(swarm, at_rest=True)


async def test_growing_again_keeps_those_about_to_leave_before_adding_any(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event(), together=2)) as swarm:
        await swarm.init(max_agents=4)
        await swarm.start(task("a"), task("b"))
        await swarm.backend.met.wait()
        await swarm.swarms.scale(0, None, None)
        one = await swarm.swarms.scale(1, None, None)
        assert (one.kept, one.added, one.leaving, one.size) == (1, (), 1, 2)
        three = await swarm.swarms.scale(3, None, None)
        assert (three.kept, len(three.added), three.leaving, three.size) == (1, 1, 0, 3)
        (draining,) = await swarm.rows("SELECT COUNT(*) AS n FROM agent WHERE draining AND status <> 'left'")
        assert draining["n"] == 0
        await lawful(swarm)


async def test_a_run_whose_swarm_is_drained_to_nothing_and_grown_again_ends_well(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=3)) as swarm:
        await swarm.init(max_agents=3)
        run_id = await swarm.start(*(task(f"t{n}", *([f"t{n - 3}"] if n >= 3 else [])) for n in range(30)))
        while not (await swarm.runs.get(run_id)).status.final:
            for target in (0, 2, 0, 3):
                await swarm.swarms.scale(target, None, None)
                await lawful(swarm)
        assert {one.status for one in (await swarm.tasks(run_id)).values()} == {TaskStatus.SUCCEEDED}
        assert max(swarm.backend.asked.values()) == 1, "nothing was lost"
        await lawful(swarm, at_rest=True)


async def test_a_waiting_task_starts_as_soon_as_its_own_process_makes_room_for_it(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event())) as swarm:
        await swarm.init(max_agents=1)
        await swarm.start(task("a"), task("b"), task("c"), task("d"))
        for size in (1, 2, 3, 4):
            await swarm.swarms.scale(size, None, None)
            await until(swarm, f"SELECT COUNT(*) AS n FROM usage GROUP BY run_id HAVING n = {size}")


async def test_a_specialized_swarm_keeps_the_last_agent_of_a_role_that_a_run_needs(tmp_path: Path) -> None:
    gate = anyio.Event()
    async with swarmed(tmp_path, ScriptedBackend(gate=gate)) as swarm:
        await swarm.init(max_agents=4, strategy=Strategy.SPECIALIZED)
        run_id = await swarm.start(task("a"), task("b", "a", role="tester"))
        await swarm.backend.met.wait()
        with pytest.raises(InvalidInput, match="its last agent of role tester is needed by an unfinished run"):
            await swarm.swarms.scale(1, "tester", None)
        assert await sizes(swarm) == (2, 4)
        gate.set()
        await swarm.runs.wait(run_id, None)
        assert (await swarm.swarms.scale(1, "tester", None)).roles == {"coder": 1}


async def test_a_specialized_swarm_keeps_every_role_while_a_run_does_not_know_its_tasks_yet(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event())) as swarm:
        await swarm.init(max_agents=4, strategy=Strategy.SPECIALIZED)
        await swarm.start(task("plan", expands=True), roles=["coder", "tester"])
        with pytest.raises(InvalidInput, match="role tester"):
            await swarm.swarms.scale(1, "tester", None)
        await lawful(swarm)


async def test_ten_thousand_agents_come_and_go(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.init()
        grown = await swarm.swarms.scale(10_000, None, None)
        assert (grown.size, len(grown.added)) == (10_000, 10_000)
        assert (await swarm.swarms.scale(1, None, None)).left == 9_999
        (hub,) = await swarm.rows("SELECT joined FROM agent WHERE status <> 'left'")
        assert hub["joined"] == 0
        await lawful(swarm)


async def test_two_that_scale_at_once_leave_what_the_later_asked_for(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as one, swarmed(tmp_path) as two:
        await one.init()
        for size in range(8):
            async with anyio.create_task_group() as group:
                group.start_soon(one.swarms.scale, size, None, None)
                group.start_soon(two.swarms.scale, 9 - size, None, None)
            last = (await one.rows("SELECT detail FROM event WHERE kind = 'swarm.scaled' ORDER BY event_id DESC"))[0]
            assert (await sizes(one))[0] == int(last["detail"].split(" to ")[1])
            await lawful(one)


async def test_a_swarm_of_another_project_is_not_scaled(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as mine, swarmed(tmp_path, project="other") as other:
        made = await other.swarms.init(Topology.STAR, Strategy.BALANCED, 8, None, None)
        with pytest.raises(NotFound, match=f"project test has no swarm '{made.swarm.swarm_id}'; list them with"):
            await mine.swarms.scale(3, None, made.swarm.swarm_id)
        assert (await sizes(mine))[0] == 0

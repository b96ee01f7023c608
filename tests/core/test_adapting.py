"""A swarm brought to the size that its recorded load needs."""

import time
from pathlib import Path

import anyio
import pytest

from swarmtally.core import control
from swarmtally.core.adapting import Adapted
from swarmtally.core.sizing import LOOKBACK_NS, NO_LOAD, NO_SERVICE, Experience
from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.errors import BackendFailure, InvalidInput
from swarmtally.domain.swarm import Strategy
from swarmtally.domain.task import NewTask, TaskStatus
from tests.core.harness import Answer, ScriptedBackend, Swarmed, swarmed, task
from tests.core.hosted import Hosted, failed, hosted
from tests.core.invariants import broken


def pass_seconds(work: Hosted, seconds: float) -> None:
    work.clock.ns += round(seconds * NS_PER_S)


def coders(count: int) -> list[NewTask]:
    return [task(f"t{number}") for number in range(count)]


async def four_at_a_time(work: Hosted, rounds: int, seconds: float) -> None:
    """Each agent of four does `rounds` tasks of so many seconds."""
    for _ in range(rounds):
        packets = await work.claim(4)
        pass_seconds(work, seconds)
        for packet in packets:
            await work.report(packet)


async def sizes(work: Hosted | Swarmed) -> tuple[int, int]:
    (row,) = await work.rows("SELECT agents, max_agents FROM swarm")
    return row["agents"], row["max_agents"]


async def lawful(work: Hosted | Swarmed) -> None:
    assert await work.database.read(lambda tx: broken(tx)) == {}


def whole(adapted: Adapted) -> tuple[int, int, int, int, int, float | None, float, int | None]:
    """The figures of the only need: arrivals, backlog, ended, under way, busy, service_s, window_s, needed."""
    (sized,) = adapted.sized
    need, load = sized.need, sized.need.load
    service_s = None if need.service_ns is None else need.service_ns / NS_PER_S
    counts = (load.arrivals, load.backlog, len(load.ended), len(load.under_way), load.busy)
    return (*counts, service_s, need.window_ns / NS_PER_S, need.needed)


async def test_a_swarm_without_load_keeps_its_size_and_says_why(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=8)
        await work.swarms.scale(4, None, None)
        adapted = await work.swarms.adapt(16, None, None)
        assert (adapted.size_before, adapted.scaled.size, adapted.needed) == (4, 4, None)
        assert adapted.sized[0].need.reason == NO_LOAD
        assert (adapted.scaled.max_agents_before, adapted.scaled.swarm.max_agents) == (8, 16)
        assert await sizes(work) == (4, 16)


async def test_a_size_above_the_target_comes_down_to_it_with_or_without_load(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init()
        await work.swarms.scale(4, None, None)
        assert (await work.swarms.adapt(3, None, None)).scaled.size == 3
        assert (await work.swarms.adapt(0, None, None)).scaled.size == 0
        assert await sizes(work) == (0, 8)


async def test_the_size_of_a_known_load_is_the_one_computed_by_hand(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=4)
        await work.start(*coders(12))
        await four_at_a_time(work, 3, 20)
        pass_seconds(work, 60)
        # 12 arrivals in 120 s of 20 s each: 2 at work, 2.5 at 80 %.
        adapted = await work.swarms.adapt(16, None, None)
        assert whole(adapted) == (12, 0, 12, 0, 0, 20.0, 120.0, 3)
        assert (adapted.size_before, adapted.scaled.size, adapted.scaled.left) == (4, 3, 1)
        pass_seconds(work, 120)
        # Spread over four minutes it is half of that.
        assert whole(await work.swarms.adapt(16, None, None)) == (12, 0, 12, 0, 0, 20.0, 240.0, 2)
        await lawful(work)


async def test_what_waits_and_what_is_under_way_count_as_computed_by_hand(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=4)
        await work.start(*coders(12))
        packets = await work.claim(4)
        pass_seconds(work, 20)
        for packet in packets[:2]:
            await work.report(packet)
        pass_seconds(work, 10)
        # Two took 20 s, two have taken 30 s: 20 + 1/2 x 10 = 25 s. (12/60 + 8/60) x 25 = 8.33 at work, 10.4 at 80 %.
        adapted = await work.swarms.adapt(16, None, None)
        assert whole(adapted) == (12, 8, 2, 2, 2, 25.0, 60.0, 11)
        assert (adapted.scaled.size, len(adapted.scaled.added), adapted.scaled.swarm.max_agents) == (11, 7, 16)
        fewer = await work.swarms.adapt(9, None, None)
        assert (fewer.needed, fewer.sized[0].size, fewer.scaled.size, fewer.scaled.leaving) == (11, 9, 9, 0)
        await lawful(work)


async def test_the_figures_are_those_that_sql_counts(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=3)
        await work.start(*coders(4), task("x", "t0"), task("y", "t1", role="tester"))
        for seconds in (7, 11, 13):
            packets = await work.claim(3)
            pass_seconds(work, seconds)
            await work.report(packets[0], failed() if seconds == 11 else None)
        adapted = await work.swarms.adapt(5, None, None)
        figures = whole(adapted)
        assert figures[0] == await work.one("SELECT COUNT(*) FROM event WHERE kind = 'task.ready'")
        assert figures[1] == await work.one("SELECT COUNT(*) FROM task WHERE status = 'ready'")
        assert figures[2] == await work.one("SELECT COUNT(*) FROM attempt WHERE committed_ns IS NOT NULL")
        assert figures[3] == await work.one("SELECT COUNT(*) FROM attempt WHERE status = 'running'")
        assert figures[4] == await work.one("SELECT COUNT(*) FROM agent WHERE status = 'busy'")
        longest = await work.one("SELECT MAX(committed_ns - claimed_ns) FROM attempt")
        assert adapted.sized[0].need.load.ended.count(longest) >= 1


async def test_two_calls_at_one_time_say_the_same(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=4)
        await work.start(*coders(12))
        await four_at_a_time(work, 2, 20)
        first, second = [await work.swarms.adapt(16, None, None) for _ in range(2)]
        assert whole(first) == whole(second)
        assert first.scaled.size == second.size_before == second.scaled.size
        assert first.as_of_ns == second.as_of_ns == work.clock.ns


async def test_a_task_that_is_tried_again_arrives_again_and_each_attempt_is_a_service(tmp_path: Path) -> None:
    def script(key: str, asked: int) -> Answer:
        return BackendFailure("overloaded", transient=True) if asked == 0 and key == "a" else "done"

    async with swarmed(tmp_path, ScriptedBackend(script)) as swarm:
        await swarm.init(max_agents=2)
        await swarm.run(task("a"), task("b"))
        arrivals, _, ended, *_ = whole(await swarm.swarms.adapt(4, None, None))
        assert (arrivals, ended) == (3, 3)


async def test_what_lies_beyond_fifteen_minutes_counts_no_more(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=4)
        await work.start(*coders(4))
        await four_at_a_time(work, 1, 20)
        work.clock.ns += LOOKBACK_NS - 20 * NS_PER_S
        assert whole(await work.swarms.adapt(8, None, None)) == (0, 0, 4, 0, 0, 20.0, 900.0, 1), (
            "the arrivals are too old"
        )
        await work.swarms.scale(4, None, None)
        work.clock.ns += 20 * NS_PER_S
        later = await work.swarms.adapt(8, None, None)
        assert (later.sized[0].need.reason, later.scaled.size) == (NO_LOAD, 4)


async def test_before_an_attempt_has_ended_the_size_stays_but_one_agent_starts_the_work(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=4)
        await work.start(*coders(9))
        started = await work.swarms.adapt(8, None, None)
        assert (started.needed, started.sized[0].need.reason, started.scaled.size) == (None, NO_SERVICE, 1)
        await work.claim(4)
        assert (await work.swarms.adapt(8, None, None)).scaled.size == 4


async def test_work_of_other_swarms_and_of_paused_and_cancelled_runs_asks_for_nobody(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        other = await work.init(max_agents=4)
        await work.start(*coders(5), swarm_id=other)
        mine = await work.init(max_agents=4)
        paused, cancelled = await work.start(*coders(6)), await work.start(*coders(7))
        assert whole(await work.swarms.adapt(4, None, mine))[:2] == (13, 13)
        assert await work.database.write(lambda tx: control.pause(tx, "test", paused, "", work.clock.ns))
        await work.cancel(cancelled)
        assert whole(await work.swarms.adapt(4, None, mine))[:2] == (6, 0)
        assert whole(await work.swarms.adapt(4, None, other))[:2] == (5, 5)


async def test_a_run_whose_process_is_gone_asks_for_nobody(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event(), together=2)) as swarm:
        await swarm.init(max_agents=2)
        await swarm.start(*coders(6))
        await swarm.backend.met.wait()
        alive = whole(await swarm.swarms.adapt(2, None, None))
        assert (alive[1], alive[3]) == (4, 2)
        await swarm.database.write(lambda tx: tx.rows("UPDATE run SET lease_expires_ns = 1"))
        gone = whole(await swarm.swarms.adapt(2, None, None))
        assert (gone[1], gone[3]) == (0, 0)


async def test_no_more_agents_join_than_the_backend_takes_calls_at_once(tmp_path: Path) -> None:
    gate = anyio.Event()
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=3, gate=gate, together=2)) as swarm:
        await swarm.init(max_agents=2)
        await swarm.start(*coders(6))
        await swarm.backend.met.wait()
        # As if one had ended that took an hour: the load alone would need more than a hundred.
        await swarm.database.write(
            lambda tx: tx.rows(
                "INSERT INTO attempt (task_id, number, epoch, agent_id, status, claimed_ns, committed_ns)"
                " SELECT task_id, 9, 1, 'a', 'succeeded', :now - 3600000000000, :now FROM task WHERE ordinal = 0",
                {"now": time.time_ns()},
            )
        )
        adapted = await swarm.swarms.adapt(20, None, None)
        assert (adapted.at_once, adapted.needed) == (3, 3)
        assert "the backend takes 3 calls at once" in str(adapted.sized[0].need.reason)


async def test_draining_to_the_load_loses_no_work(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=6)) as swarm:
        await swarm.init(max_agents=6)
        run_id = await swarm.start(*(task(f"t{n}", *([f"t{n - 3}"] if n >= 3 else [])) for n in range(40)))
        seen = set()
        while not (await swarm.runs.get(run_id)).status.final:
            for target in (6, 2, 0, 4):
                adapted = await swarm.swarms.adapt(target, None, None)
                staying = adapted.scaled.size - adapted.scaled.leaving
                assert staying <= target
                seen.add(staying)
                await lawful(swarm)
        assert {one.status for one in (await swarm.tasks(run_id)).values()} == {TaskStatus.SUCCEEDED}
        assert max(swarm.backend.asked.values()) == 1, "nothing was lost"
        assert len(seen) > 1
        await lawful(swarm)


async def test_a_busy_agent_that_the_target_does_not_hold_ends_its_task_first(tmp_path: Path) -> None:
    gate = anyio.Event()
    async with swarmed(tmp_path, ScriptedBackend(gate=gate, together=3)) as swarm:
        await swarm.init(max_agents=3)
        run_id = await swarm.start(*coders(3))
        await swarm.backend.met.wait()
        adapted = await swarm.swarms.adapt(1, None, None)
        assert (adapted.scaled.left, adapted.scaled.leaving, adapted.scaled.size) == (0, 2, 3)
        gate.set()
        with anyio.fail_after(10):
            assert (await swarm.runs.wait(run_id, None)).status == "succeeded"
        assert await sizes(swarm) == (1, 3)


async def test_each_role_of_a_specialized_swarm_is_sized_by_its_own_load(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=2, strategy=Strategy.SPECIALIZED)
        await work.start(*coders(6), task("x", role="tester"), task("y", role="tester"))
        packets = await work.claim(8)
        assert sorted(packet.task.role for packet in packets) == ["coder", "tester"]
        pass_seconds(work, 30)
        for packet in packets:
            await work.report(packet)
        # coder: (6 + 5) / 60 x 30 = 5.5 at work, 6.9 at 80 %; tester: (2 + 1) / 60 x 30 = 1.5, 1.9 at 80 %.
        limited = await work.swarms.adapt(6, None, None)
        assert [(each.need.load.role, each.need.needed, each.size) for each in limited.sized] == [
            ("coder", 7, 4),
            ("tester", 2, 2),
        ]
        assert (limited.needed, limited.scaled.roles) == (9, {"coder": 4, "tester": 2})
        free = await work.swarms.adapt(16, None, None)
        assert (free.scaled.roles, free.scaled.swarm.max_agents) == ({"coder": 7, "tester": 2}, 16)
        with pytest.raises(InvalidInput, match="sizes each of its roles by its own load; leave type out"):
            await work.swarms.adapt(16, "coder", None)
        await lawful(work)


async def test_a_role_without_load_keeps_its_agents_while_there_are_places(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=3, strategy=Strategy.SPECIALIZED)
        await work.swarms.spawn("writer", None, (), 2, None)
        await work.start(*coders(6))
        (packet,) = await work.claim(8)
        pass_seconds(work, 30)
        await work.report(packet)
        assert (await work.swarms.adapt(9, None, None)).scaled.roles == {"coder": 7, "writer": 2}
        assert (await work.swarms.adapt(8, None, None)).scaled.roles == {"coder": 7, "writer": 1}
        assert (await work.swarms.adapt(4, None, None)).scaled.roles == {"coder": 4}


async def test_a_target_too_small_for_every_role_that_a_run_needs_is_refused(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=4, strategy=Strategy.SPECIALIZED)
        await work.start(task("a"), task("b", "a", role="tester"))
        with pytest.raises(InvalidInput, match="is needed by an unfinished run"):
            await work.swarms.adapt(1, None, None)
        assert await sizes(work) == (2, 4)


async def test_agents_of_another_role_join_when_the_busy_ones_have_made_room(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=4, strategy=Strategy.SPECIALIZED)
        await work.start(*coders(3), *(task(f"x{number}", role="tester") for number in range(12)))
        await work.swarms.spawn("coder", None, (), 2, None)
        packets = await work.claim(4)
        pass_seconds(work, 60)
        for packet in packets:
            if packet.task.role == "tester":
                await work.report(packet)
        adapted = await work.swarms.adapt(4, None, None)
        assert [(each.need.load.role, each.size) for each in adapted.sized] == [("coder", 1), ("tester", 3)]
        assert (adapted.scaled.leaving, adapted.scaled.size, adapted.not_yet) == (2, 4, 2)
        await lawful(work)
        for packet in packets:
            if packet.task.role == "coder":
                await work.report(packet)
        again = await work.swarms.adapt(4, None, None)
        assert (again.scaled.roles, again.not_yet) == ({"coder": 1, "tester": 3}, 0)
        await lawful(work)


async def test_a_role_that_a_run_will_need_comes_before_one_without_work(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=5, strategy=Strategy.SPECIALIZED)
        await work.swarms.spawn("writer", None, (), 3, None)
        await work.start(task("a"), task("b", "a", role="tester"))
        assert (await work.swarms.adapt(2, None, None)).scaled.roles == {"coder": 1, "tester": 1}


async def test_agents_that_were_leaving_stay_when_their_role_grows_again(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=3, strategy=Strategy.SPECIALIZED)
        await work.start(*coders(9))
        packets = await work.claim(3)
        pass_seconds(work, 30)
        await work.report(packets[0])
        await work.claim(1)
        assert (await work.swarms.adapt(1, None, None)).scaled.leaving == 2
        again = await work.swarms.adapt(4, None, None)
        assert (again.scaled.kept, len(again.scaled.added), again.scaled.leaving) == (2, 1, 0)
        await lawful(work)


async def test_of_each_role_the_idle_leave_before_the_busy(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=4, strategy=Strategy.SPECIALIZED)
        await work.swarms.spawn("lead", None, (), 1, None)
        await work.start(*coders(6), task("end", "t5", role="lead"))
        await work.swarms.spawn("coder", None, (), 2, None)
        packets = {packet.task.task_id: packet for packet in await work.claim(3)}
        pass_seconds(work, 30)
        held = await work.one("SELECT task_id FROM agent WHERE role = 'coder' ORDER BY joined LIMIT 1")
        await work.report(packets[held])
        adapted = await work.swarms.adapt(3, None, None)
        assert adapted.scaled.roles == {"coder": 2, "lead": 1}
        assert (adapted.scaled.left, adapted.scaled.leaving) == (1, 0), "the first coder is idle, and not the hub"


async def test_tasks_that_only_one_agent_may_take_or_that_pause_between_attempts_are_no_backlog(
    tmp_path: Path,
) -> None:
    async with hosted(tmp_path) as work:
        await work.init()
        await work.start(task("merge", hub=True), *coders(4))
        assert whole(await work.swarms.adapt(8, None, None))[:2] == (5, 4)
        await work.write(f"UPDATE task SET not_before_ns = {work.clock.ns + 1} WHERE key = 't0'")
        assert whole(await work.swarms.adapt(8, None, None))[:2] == (5, 3)
        await work.write("UPDATE run SET shape = 'solo'")
        assert whole(await work.swarms.adapt(8, None, None))[:2] == (5, 0)


async def test_attempts_that_were_cut_off_or_ended_long_ago_do_not_say_how_long_one_takes(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=4)
        await work.start(*coders(5))
        await four_at_a_time(work, 1, 20)
        for number, status in enumerate(("lost", "cancelled", "expired")):
            await work.write(f"UPDATE attempt SET status = '{status}' WHERE task_id LIKE '%_{number}'")
        await work.write(
            "INSERT INTO attempt (task_id, number, epoch, agent_id, status, claimed_ns, committed_ns)"
            " SELECT task_id, 1, 1, 'a', 'failed', 1, 2 FROM task WHERE key = 't4'"
        )
        assert whole(await work.swarms.adapt(8, None, None))[2:6] == (1, 0, 0, 20.0)


async def test_runs_of_one_process_share_its_backend_and_each_process_has_its_own(tmp_path: Path) -> None:
    gate = anyio.Event()
    async with swarmed(tmp_path, ScriptedBackend(max_parallel=3, gate=gate, together=2)) as swarm:
        await swarm.init(max_agents=4)
        first, second = await swarm.start(task("a")), await swarm.start(task("b"))
        await swarm.backend.met.wait()
        assert (await swarm.swarms.adapt(4, None, None)).at_once == 3
        await swarm.database.write(
            lambda tx: tx.rows("UPDATE run SET lease_owner = 'elsewhere' WHERE run_id = :id", {"id": second})
        )
        assert (await swarm.swarms.adapt(4, None, None)).at_once == 6
        gate.set()
        for run_id in (first, second):
            await swarm.runs.wait(run_id, None)
        assert (await swarm.swarms.adapt(4, None, None)).at_once == 3, "known from the runs that ended"


KNOWN = Experience(rows=90, pays=5, best=6, told="by 90 own runs …")


async def test_without_load_a_swarm_comes_to_what_pays_by_history_at_most_the_target(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=8)
        assert (await work.swarms.adapt(16, None, None, KNOWN)).scaled.size == 5
        assert (await work.swarms.adapt(3, None, None, KNOWN)).scaled.size == 3
        assert (await work.swarms.adapt(16, None, None, KNOWN)).scaled.size == 5
        untold = Experience(0, None, None, "history does not tell")
        assert (await work.swarms.adapt(16, None, None, untold)).scaled.size == 5, "as it is"
        await lawful(work)


async def test_a_load_takes_no_swarm_beyond_where_throughput_falls_but_who_is_busy_stays(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=4)
        await work.start(*coders(60))
        await four_at_a_time(work, 1, 20)
        without = await work.swarms.adapt(7, None, None)
        assert (without.needed, without.scaled.size) == (49, 7)
        adapted = await work.swarms.adapt(40, None, None, KNOWN)
        assert (adapted.needed, adapted.scaled.size) == (6, 6)
        assert adapted.sized[0].need.reason == "the load needs 49, but beyond 6 throughput falls: by 90 own runs …"
        await work.swarms.scale(8, None, None)
        assert len(await work.claim(8)) == 8
        busy = await work.swarms.adapt(40, None, None, KNOWN)
        assert (busy.needed, busy.scaled.size, busy.scaled.leaving) == (8, 8, 0)
        await lawful(work)


async def test_history_limits_all_roles_of_a_specialized_swarm_together_and_each_with_work_keeps_one(
    tmp_path: Path,
) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=4, strategy=Strategy.SPECIALIZED)
        assert (await work.swarms.adapt(16, None, None, KNOWN)).scaled.size == 0, "which roles, history does not tell"
        await work.swarms.scale(8, "coder", None)
        assert (await work.swarms.adapt(16, None, None, KNOWN)).scaled.size == 8, "nor who should go"
        await work.swarms.scale(0, None, None)
        await work.start(*coders(30), *(task(f"x{number}", role="tester") for number in range(30)))
        for role in ("coder", "tester"):
            (packet,) = await work.claim(1, role=role)
            pass_seconds(work, 20)
            await work.report(packet)
        adapted = await work.swarms.adapt(40, None, None, KNOWN)
        assert adapted.places == 6
        assert adapted.scaled.roles == {"coder": 3, "tester": 3}
        alone = await work.swarms.adapt(40, None, None, Experience(90, 1, 1, "one is best"))
        assert (alone.places, alone.scaled.roles) == (2, {"coder": 1, "tester": 1})
        await lawful(work)

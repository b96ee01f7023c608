"""Runs of known shape: every figure is the value that the comments work out by hand."""

from pathlib import Path

import pytest

from swarmtally.domain.clock import NS_PER_S, iso
from swarmtally.domain.errors import BackendFailure
from swarmtally.domain.run import RunKind
from swarmtally.domain.swarm import Strategy
from swarmtally.domain.topology import Shape
from swarmtally.domain.usage import TokenUsage
from swarmtally.insight import figures
from swarmtally.insight.performance import Report
from tests.core.harness import task
from tests.core.hosted import HandClock, failed, hosted, made
from tests.insight.history import reported
from tests.insight.test_explained import assert_agree
from tests.insight.virtual import Driven, HeldBackend, driven


def values(report: Report) -> dict[str, tuple[float | None, int]]:
    return {name: (figure.value, figure.n) for name, figure in report.figures.items()}


def about(value: float) -> object:
    return pytest.approx(value, rel=1e-12)


async def do_the_known_run(work: Driven) -> str:
    """Two agents, four calls at once:

    a  0-10  →  c 10-15 (fails, is due again at 16.5), 17-47  →  f 47-57
    b  0-20  →  d 20-25 (fails for good)                      →  e is cancelled
    """
    await work.swarm.init(max_agents=2)
    plan = [task("a"), task("b"), task("c", "a"), task("d", "b"), task("e", "d"), task("f", "c")]
    run_id = await work.start(*plan)
    await work.under_way("a", "b")
    await work.at(10, "a")
    await work.under_way("b", "c")
    await work.at(15, "c", failing=BackendFailure("busy", transient=True))
    await work.at(17)
    await work.under_way("b", "c")
    await work.at(20, "b")
    await work.under_way("c", "d")
    await work.at(25, "d", failing=BackendFailure("no", transient=False))
    await work.at(47, "c")
    await work.under_way("f")
    await work.at(57, "f")
    assert await work.finished(run_id) == "failed"
    return run_id


FIRST = {
    "tasks_ended": (6, 6),
    "success_rate": (4 / 5, 5),
    "retry_rate": (1 / 6, 6),
    "cancelled_rate": (1 / 6, 6),
    "makespan_s": (57.0, 1),
    "work_s": (75.0, 1),  # 10 + 20 + 30 + 5 + 10
    "critical_path_s": (50.0, 1),  # a, c, f: 10 + 30 + 10
    "parallelism": (about(75 / 57), 1),
    "schedule_efficiency": (about(50 / 57), 1),  # the path is longer than 75 s over two places
    "speed_multiplier": (None, 0),
    "agent_utilisation": (about(80 / 114), 6),  # the failed 5 s too; two agents for 57 s
    "token_efficiency": (None, 0),
}


async def test_every_figure_of_a_run_with_a_retry_a_failure_and_a_cancelled_task(tmp_path: Path) -> None:
    async with driven(tmp_path) as work:
        await do_the_known_run(work)
        report = await work.report()
        assert values(report) == FIRST
        assert report.figures["success_rate"].interval == pytest.approx((0.3755, 0.9638), abs=5e-5)
        # f ran alone, and of the others none.
        assert "only 1 calls ran alone" in str(report.figures["speed_multiplier"].reason)
        waits, execs = report.spreads["waits"], report.spreads["execs"]
        assert (waits.n, waits.p50_ns, waits.max_ns, waits.p95_ns) == (6, 0, NS_PER_S // 2, None)
        assert (execs.n, execs.p50_ns, execs.max_ns) == (6, 10 * NS_PER_S, 30 * NS_PER_S)
        assert (report.spreads["assignments"].n, report.spreads["updates"].n, report.spreads["errors"].n) == (6, 4, 2)
        # Only f is done by another agent than what it needs.
        assert report.spreads["transfers"].n == 1
        assert [(row["key"], row["status"]) for row in report.timeline] == [
            ("a", "succeeded"),
            ("b", "succeeded"),
            ("c", "succeeded"),
            ("d", "failed"),
            ("f", "succeeded"),
        ]
        assert_agree(report)


async def test_a_window_counts_what_ended_in_it_also_while_the_run_goes_on(tmp_path: Path) -> None:
    async with driven(tmp_path) as work:
        await do_the_known_run(work)

        def moment(second: int) -> str:
            return iso(work.begun_ns + second * NS_PER_S)

        report = await work.report(timeframe=f"{moment(10)}/{moment(25)}")
        # After 10 and up to 25: c failed at 15, b succeeded at 20, d failed at 25, and e was cancelled.
        assert values(report) == {
            **dict.fromkeys(FIRST, (None, 0)),
            "tasks_ended": (3, 3),
            "success_rate": (1 / 2, 2),
            "retry_rate": (1 / 3, 3),
            "cancelled_rate": (1 / 3, 3),
            # b 10, c 5 and 8, d 5 of two agents' 15 s
            "agent_utilisation": (about(28 / 30), 4),
        }
        assert_agree(report)


async def test_a_retried_run_is_measured_again_and_what_was_said_of_the_past_stays(tmp_path: Path) -> None:
    async with driven(tmp_path) as work:
        run_id = await do_the_known_run(work)
        await work.at(60)
        then = await work.report()
        await work.at(100)
        await work.swarm.runs.retry(run_id)
        await work.under_way("d")
        under_way = await work.report()
        assert under_way.figures["success_rate"].n == 5
        assert under_way.figures["agent_utilisation"].value == about(80 / 200)
        await work.at(105, "d")
        await work.under_way("e")
        await work.at(112, "e")
        assert await work.finished(run_id) == "succeeded"
        report = await work.report()
        assert values(report) == {
            "tasks_ended": (8, 8),
            "success_rate": (about(6 / 7), 7),
            "retry_rate": (about(1 / 8), 8),
            "cancelled_rate": (about(1 / 8), 8),
            "makespan_s": (12.0, 2),  # the lower of 12 and 57
            "work_s": (12.0, 2),
            "critical_path_s": (12.0, 2),
            "parallelism": (about(87 / 69), 2),
            "schedule_efficiency": (about(62 / 69), 2),
            "speed_multiplier": (None, 0),
            "agent_utilisation": (about(92 / 224), 8),
            "token_efficiency": (None, 0),
        }
        assert_agree(report)
        again = await work.report(as_of=iso(work.begun_ns + 60 * NS_PER_S))
        assert again == then


async def test_an_attempt_that_is_lost_when_its_process_ends_keeps_its_agent_busy_until_then(tmp_path: Path) -> None:
    clock = HandClock()
    begun_ns = clock.ns
    async with driven(tmp_path, clock) as work:
        await work.swarm.init(max_agents=1)
        run_id = await work.start(task("a"))
        await work.under_way("a")
        await work.at(4)
    async with driven(tmp_path, clock, begun_ns=begun_ns) as work:
        await work.at(20)
        await work.swarm.runs.resume(run_id)
        await work.under_way("a")
        await work.at(30, "a")
        await work.finished(run_id)
        report = await work.report()
        assert values(report) | {"token_efficiency": (None, 0), "speed_multiplier": (None, 0)} == {
            **dict.fromkeys(FIRST, (None, 0)),
            "tasks_ended": (1, 1),
            "success_rate": (1.0, 1),
            "retry_rate": (0.0, 1),
            "cancelled_rate": (0.0, 1),
            "makespan_s": (30.0, 1),
            "work_s": (10.0, 1),
            "critical_path_s": (10.0, 1),
            "parallelism": (about(1 / 3), 1),
            "schedule_efficiency": (about(1 / 3), 1),
            "agent_utilisation": (about(14 / 30), 2),
        }
        assert report.spreads["waits"].n == 2
        assert_agree(report)


async def test_an_attempt_whose_lease_was_taken_over_counts_until_the_take_over(tmp_path: Path) -> None:
    clock = HandClock()
    async with driven(tmp_path, clock) as first:
        await first.swarm.init(max_agents=1)
        run_id = await first.start(task("a"))
        await first.under_way("a")
        async with driven(tmp_path, clock, begun_ns=first.begun_ns) as second:
            await second.at(16)  # the lease is of 15 s
            await second.swarm.runs.resume(run_id)
            await second.under_way("a")
            await second.at(26, "a")
            await second.finished(run_id)
            report = await second.report()
            assert values(report)["agent_utilisation"] == (1.0, 2)
            assert values(report)["retry_rate"] == (0.0, 1)
            assert values(report)["makespan_s"] == (26.0, 1)
            assert values(report)["work_s"] == (10.0, 1)
            assert_agree(report)


async def test_packets_that_expire_or_are_reported_late(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=1)
        run_id = await work.start(task("a"), task("b", "a"))
        late = await work.claim_one()  # its lease is of 900 s
        work.clock.ns += 1_000 * NS_PER_S
        await work.report(late, made(usage=TokenUsage(10, 5, source="client")))
        await work.claim_one()
        work.clock.ns += 950 * NS_PER_S  # expired at 1,900
        again = await work.claim_one()
        work.clock.ns += 60 * NS_PER_S
        await work.report(again)
        assert (await work.runs.get(run_id)).status == "succeeded"
        report = await reported(work.database, "test")
        assert values(report) == {
            "tasks_ended": (2, 2),
            "success_rate": (1.0, 2),
            "retry_rate": (0.0, 2),
            "cancelled_rate": (0.0, 2),
            "makespan_s": (2_010.0, 1),
            "work_s": (1_060.0, 1),
            "critical_path_s": (1_060.0, 1),
            "parallelism": (about(1_060 / 2_010), 1),
            "schedule_efficiency": (about(1_060 / 2_010), 1),
            "speed_multiplier": (None, 0),
            # An agent is free again when the lease ends: 900, 900 and 60.
            "agent_utilisation": (about(1_860 / 2_010), 3),
            "token_efficiency": (None, 0),
        }
        assert report.figures["speed_multiplier"].reason == figures.HOST_CALLS
        assert report.spreads["waits"].n == 2, "the packet that nobody reported says nothing"
        assert report.spreads["assignments"].n == 0
        assert_agree(report)


async def test_a_packet_that_expired_before_a_run_was_retried_is_not_counted_again(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=1)
        run_id = await work.start(task("a"))
        await work.claim_one()
        work.clock.ns += 1_000 * NS_PER_S
        again = await work.claim_one()
        work.clock.ns += 10 * NS_PER_S
        await work.report(again, failed())
        assert (await work.runs.get(run_id)).status == "failed"
        work.clock.ns += 1_000 * NS_PER_S
        await work.runs.retry(run_id)
        await work.claim_one()
        work.clock.ns += 20 * NS_PER_S
        await work.cancel(run_id)
        report = await reported(work.database, "test")
        assert values(report)["agent_utilisation"] == (about((900 + 10 + 20) / 2_030), 3)
        assert values(report)["tasks_ended"] == (2, 2)
        measured = await work.rows("SELECT ended_ns - begun_ns AS lasted FROM run_measure ORDER BY ended_ns")
        assert [row["lasted"] for row in measured] == [1_010 * NS_PER_S, 20 * NS_PER_S]
        assert_agree(report)


async def test_places_in_a_specialized_swarm_are_its_agents_of_the_roles_wanted(tmp_path: Path) -> None:
    async with driven(tmp_path) as work:
        await work.swarm.init(max_agents=3, strategy=Strategy.SPECIALIZED)
        await work.swarm.swarms.spawn("writer", None, (), 1, None)
        run_id = await work.start(task("a"), task("b"), task("t", role="tester"))
        await work.under_way("a", "t")
        await work.at(10, "a", "t")
        await work.under_way("b")
        await work.at(20, "b")
        await work.finished(run_id)
        # One coder, one tester, and a writer that nothing wants: 30 s over two places.
        assert (await work.report()).figures["schedule_efficiency"].value == about(15 / 20)


async def test_a_solo_run_has_one_place(tmp_path: Path) -> None:
    async with driven(tmp_path) as work:
        await work.swarm.init(max_agents=8)
        run_id = await work.start(task("a"), task("b", "a"), shape=Shape.SOLO)
        await work.under_way("a")
        await work.at(10, "a")
        await work.under_way("b")
        await work.at(20, "b")
        await work.finished(run_id)
        report = await work.report()
        assert report.figures["schedule_efficiency"].value == 1.0
        assert report.figures["parallelism"].value == 1.0


async def test_places_of_a_retried_run_are_those_it_has_then(tmp_path: Path) -> None:
    async with driven(tmp_path) as work:
        await work.swarm.init(max_agents=1)
        run_id = await work.start(task("a"), task("b"))
        await work.under_way("a")
        await work.at(10, "a", failing=BackendFailure("no", transient=False))
        await work.under_way("b")
        await work.at(20, "b", failing=BackendFailure("no", transient=False))
        await work.finished(run_id)
        await work.swarm.swarms.scale(2, None, None)
        await work.swarm.runs.retry(run_id)
        await work.under_way("a", "b")
        await work.at(30, "a", "b")
        await work.finished(run_id)
        # 20 s in 20 on one place, then 20 s in 10 on two; nobody had looked in between.
        report = await work.report()
        assert report.figures["schedule_efficiency"].value == about(30 / 30)
        assert values(report)["success_rate"] == (1 / 2, 4)
        assert_agree(report)


async def test_a_backend_that_takes_less_when_a_run_is_retried_gives_it_fewer_places(tmp_path: Path) -> None:
    clock = HandClock()
    no = BackendFailure("no", transient=False)
    async with driven(tmp_path, clock) as work:
        await work.swarm.init(max_agents=2)
        run_id = await work.start(task("a"), task("b"))
        await work.under_way("a", "b")
        await work.at(10, "a", "b", failing=no)
        await work.finished(run_id)
    async with driven(tmp_path, clock, HeldBackend(max_parallel=1), work.begun_ns) as work:
        await work.swarm.runs.retry(run_id)
        await work.under_way("a")
        await work.at(20, "a")
        await work.under_way("b")
        await work.at(30, "b")
        await work.finished(run_id)
        # 20 s in 10 on two places, then 20 s in 20 on one.
        assert (await work.report()).figures["schedule_efficiency"].value == about(30 / 30)


def alone_s(uncached: int, output: int) -> float:
    return 0.01 * uncached + 0.1 * output + 2


async def test_the_speed_multiplier_is_what_the_calls_would_take_alone(tmp_path: Path) -> None:
    tokens = {f"l{number}": (100 * number, 10 + number * number % 7) for number in range(9)}
    usage = {key: TokenUsage(given, made, 0, 0, 0) for key, (given, made) in tokens.items()}
    async with driven(tmp_path, backend=HeldBackend(usage=usage)) as work:
        await work.swarm.init(max_agents=4)
        plan = [task(key, *([f"l{number - 1}"] if number else [])) for number, key in enumerate(tokens)]
        lone = await work.start(*plan, kind=RunKind.CALIBRATION, shape=Shape.SOLO)
        second = 0.0
        for key in tokens:
            await work.under_way(key)
            second += alone_s(*tokens[key])
            await work.at(second, key)
        await work.finished(lone)
        run_id = await work.start(*(task(f"t{number}") for number in range(4)))
        await work.under_way("t0", "t1", "t2", "t3")
        await work.at(second + 5, "t0", "t1", "t2", "t3")
        await work.finished(run_id)
        report = await work.report()
        multiplier = report.figures["speed_multiplier"]
        # Four calls of 100 tokens in and 10 out: 4 s alone each, done in 5 s; their times add up to 20 s.
        assert multiplier.value == pytest.approx(4 * alone_s(100, 10) / 5, rel=1e-6)
        assert multiplier.interval == pytest.approx((16 / 5, 16 / 5), rel=1e-4)
        assert report.figures["parallelism"].value == about(4)
        assert report.figures["tasks_ended"].n == 4, "a calibration counts in no other figure"
        assert_agree(report)

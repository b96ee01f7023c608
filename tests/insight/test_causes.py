"""Each cause, planted in a run's rows, is found first, with the seconds that a reader can work out by hand."""

import shlex

import pytest

from swarmtally.domain.run import BackendChoice
from swarmtally.domain.swarm import Strategy
from swarmtally.domain.timeframe import Timeframe
from swarmtally.insight.bottleneck import Analysis, Asked, analyze
from swarmtally.insight.sampled import NO_SAMPLES, Metric
from swarmtally.insight.study import Cause, Component
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from tests.core.harness import task
from tests.insight.planting import Limits, Planted, Sampled, Try, in_turn, later, ns, plant, sample

CODERS = dict.fromkeys(range(8), "coder")
ALL = Timeframe(0, ns(10_000))


async def analysed(database: Database, *metrics: Metric, component: Component | None = None) -> Analysis:
    return await analyze(database, Asked("test", ALL, None, component, metrics))


async def first(database: Database) -> Cause:
    found = await analysed(database)
    assert found.replay_error == pytest.approx(0, abs=1e-6)
    return found.causes[0]


def many(number: int, role: str = "coder") -> list[Planted]:
    return in_turn([task(f"t{at}", role=role) for at in range(number)], 2, 10)


def command(cause: Cause) -> str | None:
    assert cause.what_if is not None
    return cause.what_if.command


def place(database: Database) -> str:
    """The options that lead a command in any folder to the same work."""
    return f" --project test --db {shlex.quote(str(database.path))}"


def predicted_s(cause: Cause) -> float:
    assert cause.what_if is not None
    return cause.what_if.makespan_ns / 1e9


async def test_a_backend_that_takes_too_few_calls_at_once(database: Database) -> None:
    await plant(database, Limits(max_parallel=2), many(8), CODERS)
    cause = await first(database)
    # Eight tasks of 10 s: 40 s two at a time, 10 s all at once.
    assert (cause.name, cause.lost_ns / 1e9, predicted_s(cause)) == ("backend_saturation", 30, 10)
    assert command(cause) == "export SWARMTALLY_MAX_PARALLEL=8"
    assert [(one.figure, one.value, one.threshold, one.n) for one in cause.evidence] == [
        ("calls_at_once_max", 2, 2, 8),
        ("all_places_taken_s", 40, 0, 8),
    ]


async def test_a_program_s_own_backend_has_no_command(database: Database) -> None:
    own = BackendChoice("own", "mine", None, "planted", None)
    await plant(database, Limits(max_parallel=2, choice=own), many(8), CODERS)
    cause = await first(database)
    assert (cause.name, command(cause)) == ("backend_saturation", None)


async def test_a_swarm_that_may_hold_too_few_agents(database: Database) -> None:
    await plant(database, Limits(max_agents=2), many(8), {0: "coder", 1: "coder"})
    cause = await first(database)
    assert (cause.name, cause.lost_ns / 1e9, predicted_s(cause)) == ("agent_starvation", 30, 10)
    assert command(cause) == f"swarmtally mcp swarm_scale --target-size 8 --swarm-id s_1{place(database)}"


async def test_a_swarm_and_a_backend_that_limit_alike(database: Database) -> None:
    await plant(database, Limits(max_parallel=2, max_agents=2), many(8), {0: "coder", 1: "coder"})
    cause = await first(database)
    assert (cause.name, cause.lost_ns / 1e9) == ("agents_and_backend", 30)
    assert command(cause) == (
        f"swarmtally mcp swarm_scale --target-size 8 --swarm-id s_1{place(database)}"
        " && export SWARMTALLY_MAX_PARALLEL=8"
    )


async def test_a_role_with_too_few_agents(database: Database) -> None:
    testers = in_turn([task(f"t{at}", role="tester") for at in range(4)], 1, 10, first_agent=1)
    coder = Planted(task("c"), (Try(0, 0, 0, 10),))
    limits = Limits(max_agents=2, strategy=Strategy.SPECIALIZED)
    await plant(database, limits, [coder, *testers], {0: "coder", 1: "tester"})
    cause = await first(database)
    assert (cause.name, cause.lost_ns / 1e9, predicted_s(cause)) == ("role_shortage", 30, 10)
    assert command(cause) == (
        f"swarmtally mcp swarm_scale --target-size 5 --type tester --swarm-id s_1{place(database)}"
    )


async def test_a_chain_of_tasks(database: Database) -> None:
    chain = [
        Planted(task("a"), (Try(0, 0, 0, 10),)),
        Planted(task("b", "a"), (Try(0, 10, 10, 11),)),
        Planted(task("c", "b"), (Try(0, 21, 21, 12),)),
    ]
    await plant(database, Limits(), chain, CODERS)
    cause = await first(database)
    assert (cause.name, cause.tasks) == ("critical_path", ("a", "b", "c"))
    # 33 s of chain, 33 s of work spread over as many places as tasks; half of c is 6 s.
    assert cause.lost_ns / 1e9 == pytest.approx(33 - 33 / 3)
    assert predicted_s(cause) == pytest.approx(33 - 6)


async def test_what_a_task_made_possible_waited_for_it(database: Database) -> None:
    planted = [Planted(task("plan", expands=True), (Try(0, 0, 0, 10),)), Planted(task("x"), (Try(1, 10, 10, 5),))]
    await plant(database, Limits(), planted, CODERS)
    await database.write(lambda tx: tx.rows("UPDATE task SET created_ns = :made WHERE key = 'x'", {"made": ns(10)}))
    cause = await first(database)
    assert (cause.name, cause.tasks, predicted_s(cause)) == ("critical_path", ("plan", "x"), 10)


async def test_what_outlived_a_cancelled_task_waited_for_what_that_had_waited_for(database: Database) -> None:
    planted = [
        Planted(task("bad"), (Try(0, 0, 0, 10),)),
        Planted(task("never", "bad"), (Try(1, 10, 10, 1),)),
        Planted(task("review", "never", tolerates_failure=True), (Try(2, 10, 10, 5),)),
    ]
    await plant(database, Limits(), planted, CODERS)

    async def cancelled(tx: Connection) -> None:
        await tx.rows("DELETE FROM attempt WHERE task_id IN (SELECT task_id FROM task WHERE key = 'never')")
        await tx.rows("UPDATE task SET finished_ns = :at WHERE key IN ('bad', 'never')", {"at": ns(10)})

    await database.write(cancelled)
    cause = await first(database)
    assert (cause.name, cause.tasks, predicted_s(cause)) == ("critical_path", ("bad", "review"), 10)


async def test_calls_that_the_provider_refused(database: Database) -> None:
    planted = [Planted(task(f"t{at}"), (Try(at, 0, 0, 10),)) for at in range(3)]
    refused = Try(3, 0, 0, 1, cause="rate_limit")
    planted.append(Planted(task("t3"), (refused, Try(3, 41, 41, 10))))
    await plant(database, Limits(), planted, CODERS)
    cause = await first(database)
    # Without refusals all four end at 10 s. With three at once, as was never refused, the fourth begins at 10 s.
    assert (cause.name, cause.lost_ns / 1e9, predicted_s(cause)) == ("rate_limit", 41, 20)
    assert command(cause) == "export SWARMTALLY_MAX_PARALLEL=3"


async def test_a_call_refused_alone_is_no_matter_of_calls_at_once(database: Database) -> None:
    await plant(
        database,
        Limits(),
        [Planted(task("t"), (Try(0, 0, 0, 1, cause="rate_limit"), Try(0, 41, 41, 10)))],
        CODERS,
    )
    cause = await first(database)
    assert (cause.name, cause.what_if) == ("rate_limit", None)
    assert "refused even alone" in (cause.reason or "")


@pytest.mark.parametrize("kind", ["network", "timeout", "server"])
async def test_calls_that_failed_on_their_way(database: Database, kind: str) -> None:
    planted = [Planted(task(f"t{at}"), (Try(at, 0, 0, 10),)) for at in range(3)]
    planted.append(Planted(task("t3"), (Try(3, 0, 0, 30, cause=kind), Try(3, 35, 35, 10))))
    await plant(database, Limits(), planted, CODERS)
    cause = await first(database)
    assert (cause.name, cause.component, cause.lost_ns / 1e9) == ("network", Component.NETWORK, 35)
    assert [(one.figure, one.value, one.n) for one in cause.evidence] == [(f"attempts_failed_{kind}", 1, 5)]


async def test_tasks_that_nobody_claimed(database: Database) -> None:
    planted = [Planted(task(f"t{at}"), (Try(at, 0, 0, 10),)) for at in range(3)]
    planted.append(Planted(task("t3"), (Try(3, 0, 30, 10),)))
    await plant(database, Limits(), planted, CODERS)
    cause = await first(database)
    assert (cause.name, cause.lost_ns / 1e9) == ("queue_wait", 30)
    assert [(one.value, one.n) for one in cause.evidence] == [(30, 1)]


async def test_what_waits_for_its_turn_is_no_queue_wait(database: Database) -> None:
    await plant(database, Limits(max_parallel=2), many(8), CODERS)
    assert "queue_wait" in (await analysed(database)).ruled_out


async def test_time_around_the_calls(database: Database) -> None:
    planted = [Planted(task(f"t{at}"), (Try(at, 0, 0, 1, before=5, after=4),)) for at in range(8)]
    await plant(database, Limits(), planted, CODERS)
    cause = await first(database)
    assert (cause.name, cause.lost_ns / 1e9) == ("overhead", 9)


@pytest.mark.parametrize(("where", "quiet"), [("after", 1), ("before", 9)])
async def test_a_database_that_others_lock(database: Database, where: str, quiet: int) -> None:
    planted = [later(Planted(task(f"t{at}"), (Try(at, 0, 0, 1),)), **{where: 8}) for at in range(8)]
    await plant(database, Limits(), planted, CODERS)
    # Three quarters of the eight seconds in which nothing is called.
    await sample(database, *(Sampled(at, lock_ns=0 if at == quiet else 750_000_000) for at in range(1, 10)))
    cause = await first(database)
    assert (cause.name, cause.lost_ns / 1e9) == ("lock_wait", 6)
    # What locks explain is not counted as overhead again.
    rest = {each.name: each.lost_ns / 1e9 for each in (await analysed(database)).causes}
    assert rest["overhead"] == 2


async def test_a_machine_short_of_memory(database: Database) -> None:
    local = BackendChoice("local", "local:tiny", None, "planted", None)
    planted = in_turn([task(f"t{at}") for at in range(3)], 1, 10)
    await plant(database, Limits(1, 1, "compute", choice=local), planted, {0: "coder"})
    await sample(database, *(Sampled(at, stall_ns=500_000_000) for at in range(1, 31)))
    cause = await first(database)
    assert (cause.name, cause.lost_ns / 1e9) == ("memory", 15)
    figures = {one.figure: one for one in cause.evidence}
    assert (figures["memory_stall_s"].value, figures["memory_stall_s"].n) == (15, 30)
    assert (figures["rss_bytes_max"].threshold or 0) > 1_000_000


async def test_memory_does_not_slow_calls_to_elsewhere(database: Database) -> None:
    await plant(database, Limits(max_parallel=2), many(8), CODERS)
    await sample(database, *(Sampled(at, stall_ns=500_000_000) for at in range(1, 41)))
    assert "memory" in (await analysed(database)).ruled_out


async def test_an_attempt_lost_with_its_process(database: Database) -> None:
    planted = [Planted(task(f"t{at}"), (Try(at, 0, 0, 10),)) for at in range(3)]
    planted.append(Planted(task("t3"), (Try(3, 0, 0, 40, status="lost"), Try(3, 40, 40, 10))))
    await plant(database, Limits(), planted, CODERS)
    cause = await first(database)
    assert (cause.name, cause.lost_ns / 1e9) == ("interruption", 40)


async def test_a_pause_is_not_held_against_the_scheduler(database: Database) -> None:
    planted = [Planted(task(f"t{at}"), (Try(at, 0, 0, 10),)) for at in range(3)]
    planted.append(Planted(task("t3"), (Try(3, 0, 30, 10),)))
    await plant(database, Limits(), planted, CODERS)
    events = [{"at": ns(0), "kind": "run.paused"}, {"at": ns(30), "kind": "run.unpaused"}]
    await database.write(
        lambda tx: tx.many(
            "INSERT INTO event (at_ns, kind, project, run_id) VALUES (:at, :kind, 'test', 'r_1')", events
        )
    )
    found = await analysed(database)
    assert (found.causes[0].name, found.causes[0].lost_ns / 1e9) == ("interruption", 30)
    assert "queue_wait" in found.ruled_out


async def test_more_agents_or_calls_gain_nothing_where_calls_share_a_machine(database: Database) -> None:
    # Four calls at once on one machine: 40 s each, which would take 10 s alone.
    planted = [Planted(task(f"t{at}"), (Try(at % 4, 0, at // 4 * 40, 40),)) for at in range(8)]
    await plant(database, Limits(4, 4, "compute"), planted, dict.fromkeys(range(4), "coder"))
    found = await analysed(database)
    assert found.replay_error == pytest.approx(0, abs=1e-6)
    assert {"agent_starvation", "agents_and_backend"} <= set(found.ruled_out)
    cause = found.causes[0]
    # 80 s; on machines of their own four at a time would take 20 s.
    assert (cause.name, cause.lost_ns / 1e9, cause.what_if) == ("backend_saturation", 60, None)
    assert "gain nothing on a compute-bound backend" in (cause.reason or "")


async def test_clients_that_work_on_too_few_packets_at_once(database: Database) -> None:
    host = BackendChoice("host", "host", None, "planted", None)
    await plant(database, Limits(None, 8, None, choice=host), many(8), CODERS)
    cause = await first(database)
    assert (cause.name, cause.lost_ns / 1e9, predicted_s(cause)) == ("backend_saturation", 30, 10)
    assert command(cause) == f"swarmtally mcp work_claim --limit 6 --swarm-id s_1{place(database)}"


async def test_a_client_that_claims_late(database: Database) -> None:
    host = BackendChoice("host", "host", None, "planted", None)
    planted = [Planted(task(f"t{at}"), (Try(0, 0, at * 30, 10),)) for at in range(4)]
    await plant(database, Limits(None, 8, None, choice=host), planted, CODERS)
    found = {cause.name: cause for cause in (await analysed(database)).causes}
    assert found["queue_wait"].lost_ns / 1e9 == 60
    assert "no client claimed them" in found["queue_wait"].summary


async def test_a_fresh_database_has_no_causes_and_says_why(database: Database) -> None:
    found = await analysed(database, Metric.CPU)
    assert (found.causes, found.makespan_ns, found.replay_error) == ((), None, None)
    assert found.reasons == {"causes": "no run of the timeframe had begun", "cpu": NO_SAMPLES}


async def test_what_no_sample_tells_of_is_unknown_and_not_ruled_out(database: Database) -> None:
    await plant(database, Limits(max_parallel=2), many(8), CODERS)
    found = await analysed(database)
    assert {"lock_wait": NO_SAMPLES, "memory": NO_SAMPLES}.items() <= found.reasons.items()
    await sample(database, Sampled(5))
    found = await analysed(database)
    assert "lock_wait" in found.ruled_out
    assert "this system does not tell" in found.reasons["memory"]


async def test_only_the_component_asked_for_is_looked_at(database: Database) -> None:
    await plant(database, Limits(max_parallel=2), many(8), CODERS)
    assert (await analysed(database, component=Component.SWARM)).causes == ()


async def test_resource_figures_are_means_over_the_sampled_time(database: Database) -> None:
    await plant(database, Limits(), many(2), CODERS)
    await sample(database, Sampled(1, 500_000_000, 100, 10, 20), Sampled(2, 1_500_000_000, 300, None, None))
    figures = (await analysed(database, *Metric)).figures
    found = {metric: (one.mean, one.most, one.n) for metric, one in figures.items()}
    assert found == {Metric.CPU: (1.0, 1.5, 2), Metric.MEMORY: (200, 300, 2), Metric.NETWORK: (30, 30, 1)}


async def test_a_run_of_an_older_version_is_left_out_with_the_reason(database: Database) -> None:
    await plant(database, Limits(max_parallel=None), many(4), CODERS)
    found = await analysed(database)
    assert [one.run_id for one in found.left_out] == ["r_1"]
    assert "older version" in found.left_out[0].reason
    assert found.reasons["causes"] == "no run of the timeframe can be replayed; see left_out"


async def test_a_run_of_a_deleted_swarm_is_left_out_with_the_reason(database: Database) -> None:
    await plant(database, Limits(), many(4), CODERS)
    await database.write(lambda tx: tx.rows("DELETE FROM swarm"))
    assert "swarm was deleted" in (await analysed(database)).left_out[0].reason


async def test_a_run_under_way_counts_as_far_as_it_had_come(database: Database) -> None:
    await plant(database, Limits(max_parallel=2), many(8), CODERS)
    frame = Timeframe(0, ns(15))
    found = await analyze(database, Asked("test", frame))
    # Two tasks had ended at 10 s and two had been under way for 5 s.
    assert (found.tasks, found.makespan_ns) == (4, 15_000_000_000)


async def test_what_the_swarm_may_hold_by_now_is_not_suggested_again(database: Database) -> None:
    await plant(database, Limits(max_agents=2), many(8), {0: "coder", 1: "coder"})
    await database.write(lambda tx: tx.rows("UPDATE swarm SET max_agents = 8"))
    cause = await first(database)
    assert (cause.name, command(cause)) == ("agent_starvation", None)
    assert cause.what_if is not None
    assert cause.what_if.note == "it may hold 8 agents by now"

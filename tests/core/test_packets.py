"""Packets: whose they are, until when, and what a report does."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from swarmtally.core.packets import Packet
from swarmtally.domain.errors import NotFound, PacketRefused
from swarmtally.domain.run import NewRun, RunKind
from swarmtally.domain.swarm import Strategy
from swarmtally.domain.usage import TokenUsage
from swarmtally.store.connection import Unit
from tests.core.harness import CHOICE, task
from tests.core.hosted import Hosted, failed, hosted, made, packets_over
from tests.core.invariants import broken


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Hosted]:
    async with hosted(tmp_path) as host:
        yield host


async def busy(host: Hosted) -> list[str]:
    """The tasks that agents are busy with."""
    return [row["task_id"] for row in await host.rows("SELECT task_id FROM agent WHERE status = 'busy' ORDER BY 1")]


async def test_a_packet_is_claimed_once_and_reported_once(host: Hosted) -> None:
    run_id = await host.start(task("a"))
    packet = await host.claim_one()
    assert await host.claim() == []
    assert await busy(host) == [packet.task.task_id]
    reported = await host.report(packet, made("the cart"))
    assert (reported.run.status, reported.artefact and reported.artefact.text) == ("succeeded", "the cart")
    assert await busy(host) == []
    before = await host.contents()
    with pytest.raises(PacketRefused, match="reported already; nothing was recorded: go on with work_claim"):
        await host.report(packet, made("another cart"))
    assert await host.contents() == before
    assert (await host.runs.get(run_id)).status == "succeeded"


async def test_packets_of_a_cancelled_claim_are_there_for_the_next(
    host: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    await host.start(task("a"))
    write, handed = host.database.write, anyio.Event()

    async def write_and_wait(unit: Unit[Any]) -> Any:
        result = await write(unit)
        if not handed.is_set() and isinstance(result, list) and result and isinstance(result[0], Packet):
            handed.set()
            await anyio.sleep_forever()
        return result

    monkeypatch.setattr(host.database, "write", write_and_wait)
    async with anyio.create_task_group() as group:
        group.start_soon(host.claim)
        await handed.wait()
        assert len(await busy(host)) == 1
        group.cancel_scope.cancel()
    assert await busy(host) == []
    assert (await host.claim_one()).task.key == "a"


async def test_an_error_fails_the_task_and_retry_hands_it_out_again(host: Hosted) -> None:
    run_id = await host.start(task("a"), task("b", "a"))
    first = await host.claim_one()
    reported = await host.report(first, failed("no such library"))
    assert (reported.run.status, reported.artefact) == ("failed", None)
    assert await host.status(run_id) == {"a": "failed", "b": "cancelled"}
    assert await host.runs.retry(run_id) == 2
    with pytest.raises(PacketRefused, match="reported already"):
        await host.report(first)
    assert (await host.finish(run_id)).status == "succeeded"


async def test_a_late_report_counts_whose_end_nobody_noticed(host: Hosted) -> None:
    run_id = await host.start(task("a"))
    packet = await host.claim_one()
    host.clock.pass_minutes(16)
    await host.report(packet)
    assert await host.status(run_id) == {"a": "succeeded"}
    assert await host.one("SELECT attempts FROM task") == 1


async def test_a_late_report_counts_also_when_others_have_claimed_other_packets_since(host: Hosted) -> None:
    run_id = await host.start(task("a"), task("b", priority=9))
    (b, a) = await host.claim(2)
    assert (b.task.key, a.task.key) == ("b", "a")
    host.clock.pass_minutes(16)
    (again,) = (await (await host.another_client()).claim(1)).packets
    assert again.task.key == "b"
    assert await host.one("SELECT attempts FROM task WHERE key = 'a'") == 0, "expiry is not an attempt"
    await host.report(a, made("late"))
    assert await host.status(run_id) == {"a": "succeeded", "b": "running"}
    assert await busy(host) == [again.task.task_id]
    assert await host.one("SELECT attempts FROM task WHERE key = 'a'") == 1


@pytest.mark.parametrize("elsewhere", [False, True], ids=["idle since", "busy with another task"])
@pytest.mark.parametrize("good", [True, False], ids=["done", "failed"])
async def test_an_agent_counts_what_its_client_reported_late(host: Hosted, good: bool, elsewhere: bool) -> None:
    await host.init(max_agents=1)
    await host.start(task("a"), task("b", priority=-1))
    a = await host.claim_one()
    host.clock.pass_minutes(16)
    await host.start(task("c", priority=9))
    c = await host.claim_one()
    if not elsewhere:
        await host.report(c)
    await host.report(a, made("late") if good else failed())
    assert await host.database.read(broken) == {}
    counted = await host.one("SELECT tasks_succeeded || ' ' || tasks_failed FROM agent")
    assert counted == f"{good + (not elsewhere)} {1 - good}"
    assert await busy(host) == ([c.task.task_id] if elsewhere else [])


async def test_who_reports_late_what_another_has_finished_counts_nowhere(host: Hosted) -> None:
    run_id = await host.start(task("a"))
    await host.init(max_agents=2)
    old = await host.claim_one()
    host.clock.pass_minutes(16)
    await host.finish(run_id)
    before = await host.contents()
    with pytest.raises(PacketRefused):
        await host.report(old, made("late"))
    assert await host.contents() == before
    assert await host.one("SELECT SUM(tasks_succeeded) FROM agent") == 1
    assert await host.database.read(broken) == {}


async def test_a_late_report_is_refused_when_the_packet_was_claimed_again(host: Hosted) -> None:
    run_id = await host.start(task("a"))
    old = await host.claim_one()
    host.clock.pass_minutes(15)
    (new,) = (await (await host.another_client()).claim(1)).packets
    before = await host.contents()
    with pytest.raises(PacketRefused, match="another client has claimed it since; nothing was recorded") as refusal:
        await host.report(old, made("late"))
    assert "\n" not in str(refusal.value)
    with pytest.raises(PacketRefused, match="another client has claimed it since"):
        await host.packets.renew(old.task.task_id, old.lease)
    assert await host.contents() == before
    await host.report(new, made("in time"))
    with pytest.raises(PacketRefused, match="another client has claimed it since"):
        await host.report(old, made("late"))
    assert await host.one("SELECT text FROM artefact") == "in time"
    assert (await host.runs.get(run_id)).status == "succeeded"


async def test_a_packet_expires_at_its_end_and_not_before(host: Hosted) -> None:
    await host.start(task("a"))
    packet = await host.claim_one()
    host.clock.ns = packet.expires_ns - 1
    assert await host.claim() == []
    host.clock.ns += 1
    assert (await host.claim_one()).task.task_id == packet.task.task_id


async def test_renewing_gives_the_whole_time_again(host: Hosted) -> None:
    await host.start(task("a"), task("b"))
    packet, _ = await host.claim(2)
    host.clock.pass_minutes(14)
    renewed = await host.packets.renew(packet.task.task_id, packet.lease)
    assert renewed.expires_ns == packet.expires_ns + 14 * 60 * 1_000_000_000
    host.clock.pass_minutes(2)
    assert [one.task.key for one in await host.claim(2)] == ["b"]
    await host.report(packet)


@pytest.mark.parametrize("noticed", [False, True])
async def test_an_expired_packet_is_not_renewed(host: Hosted, noticed: bool) -> None:
    await host.start(task("a"), task("b", role="tester", mode="tester"))
    packet = next(one for one in await host.claim(2) if one.task.key == "a")
    host.clock.pass_minutes(15)
    if noticed:
        await host.claim(role="tester")
    before = await host.contents()
    with pytest.raises(PacketRefused, match="its lease has ended and others may claim it"):
        await host.packets.renew(packet.task.task_id, packet.lease)
    assert await host.contents() == before
    await host.report(packet)


async def test_what_is_no_packet_of_this_project_is_refused_and_nothing_recorded(host: Hosted) -> None:
    await host.start(task("a"), task("b"))
    a, b = await host.claim(2)
    elsewhere = packets_over(host.database, host.clock, host.packer, host.shelf, "other")
    before = await host.contents()
    for packets, task_id, lease in (
        (host.packets, a.task.task_id, "l_wrong"),
        (host.packets, a.task.task_id, b.lease),
        (host.packets, "t_unknown_0", a.lease),
        (elsewhere, a.task.task_id, a.lease),
    ):
        with pytest.raises(NotFound, match=r"has no packet of task .* with that lease; claim one with work_claim"):
            await packets.report(task_id, lease, made())
        with pytest.raises(NotFound, match="has no packet"):
            await packets.renew(task_id, lease)
    for where in ({"run_id": "r_unknown"}, {"swarm_id": "s_unknown"}):
        with pytest.raises(NotFound, match="list them with run_status"):
            await host.claim(**where)
    with pytest.raises(NotFound):
        await elsewhere.claim(1, run_id=a.run.run_id)
    assert (await elsewhere.claim(1)).packets == ()
    assert await host.contents() == before


async def test_a_cancelled_run_takes_no_report_and_no_renewal_not_even_after_a_retry(host: Hosted) -> None:
    run_id = await host.start(task("a", priority=9), task("b", mode="tester", role="tester"))
    expired = await host.claim_one()
    host.clock.pass_minutes(16)
    early = await host.claim_one(role="tester")
    assert await host.cancel(run_id) == 2
    assert await busy(host) == []
    before = await host.contents()
    for packet in (early, expired):
        with pytest.raises(PacketRefused, match="its run was cancelled; nothing was recorded"):
            await host.report(packet)
        with pytest.raises(PacketRefused, match="its run was cancelled"):
            await host.packets.renew(packet.task.task_id, packet.lease)
    assert await host.claim() == []
    assert await host.contents() == before
    await host.runs.retry(run_id)
    with pytest.raises(PacketRefused, match="its run was cancelled"):
        await host.report(early)
    assert (await host.finish(run_id)).status == "succeeded"


async def test_a_paused_run_hands_nothing_out_but_takes_reports(host: Hosted) -> None:
    run_id = await host.start(task("a"), task("b"))
    packet = await host.claim_one()
    await host.runs.pause(run_id)
    claimed = await host.packets.claim(5)
    assert (claimed.packets, claimed.rest.ready, claimed.rest.out) == ((), 0, 1)
    await host.report(packet)
    await host.runs.resume(run_id)
    assert (await host.finish(run_id)).status == "succeeded"


async def test_no_more_packets_are_out_than_the_swarm_may_have_agents(host: Hosted) -> None:
    await host.init(max_agents=2)
    await host.start(task("a"), task("b", mode="tester", role="tester"), task("c"), task("d"))
    first = await host.claim(10)
    assert len(first) == 2
    assert (await host.packets.claim(10)).rest.ready == 2
    await host.report(first[0])
    assert len(await host.claim(10)) == 1
    assert await host.one("SELECT agents FROM swarm") == await host.one("SELECT COUNT(*) FROM agent") == 2


async def test_expired_packets_free_their_agents_for_other_host_driven_runs(host: Hosted) -> None:
    await host.init(max_agents=1)
    await host.start(task("a"))
    other = await host.start(task("b"))
    await host.claim_one()
    assert await host.claim(run_id=other) == []
    host.clock.pass_minutes(15)
    assert (await host.claim_one(run_id=other)).task.key == "b"


async def test_expired_packets_free_their_agents_for_runs_that_a_model_does(host: Hosted) -> None:
    swarm_id = await host.init(max_agents=1)
    await host.start(task("a"))
    await host.claim_one()
    host.clock.pass_minutes(15)
    swarm, _ = await host.swarms.find_or_make(swarm_id)
    run_id = await host.runs.start(NewRun(RunKind.BATCH, "t", (), None, CHOICE), [task("b")], swarm, ["coder"])
    async with anyio.create_task_group() as group:
        group.start_soon(host.scheduler.run)
        with anyio.fail_after(20):
            progress = await host.runs.wait(run_id, None)
        group.cancel_scope.cancel()
    assert progress.status == "succeeded"


async def test_a_swarm_whose_agents_are_busy_hides_no_packet_of_another(host: Hosted) -> None:
    full = await host.init(max_agents=1)
    await host.start(task("a"), task("b", priority=9), swarm_id=full)
    await host.claim_one()
    await host.start(task("c"), swarm_id=await host.init(max_agents=1))
    assert (await host.claim_one()).task.key == "c"


async def test_a_role_that_is_busy_hides_no_other_in_a_specialized_swarm(host: Hosted) -> None:
    await host.init(max_agents=2, strategy=Strategy.SPECIALIZED)
    coders = [task(f"c{number}", priority=9) for number in range(3)]
    await host.start(*coders, task("t", mode="tester", role="tester"))
    assert (await host.claim_one()).task.key == "c0"
    assert (await host.claim_one()).task.key == "t"
    assert await host.claim() == []


async def test_a_role_asked_for_is_the_only_one_handed_out(host: Hosted) -> None:
    await host.start(task("a", priority=9), task("t", mode="tester", role="tester"))
    assert [packet.task.key for packet in await host.claim(10, role="tester")] == ["t"]
    assert await host.claim(10, role="painter") == []


async def test_clients_that_claim_at_once_all_get_a_packet_of_their_own(host: Hosted) -> None:
    await host.start(*(task(f"k{number}") for number in range(6)))
    clients = [host.packets, *[await host.another_client() for _ in range(2)]]
    got: list[str] = []

    async def claim(number: int) -> None:
        claimed = await clients[number % 3].claim(1)
        got.extend(packet.task.key for packet in claimed.packets)

    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(claim, number)
    assert sorted(got) == [f"k{number}" for number in range(6)]


async def test_figures_are_the_client_s_or_unknown_with_the_reason(host: Hosted) -> None:
    run_id = await host.start(*(task(key) for key in "abcd"))
    with_figures, without, expired, late = await host.claim(4)
    await host.report(with_figures, made(usage=TokenUsage(100, 20, 5, source="client")))
    await host.report(without)
    assert await host.one("SELECT COUNT(*) FROM usage WHERE status = 'open'") == 2
    host.clock.pass_minutes(15)
    (again,) = await host.claim(1)
    await host.report(
        late if again.task.key == expired.task.key else expired, made(usage=TokenUsage(7, 3, source="client"))
    )
    found = await host.rows("SELECT status, source, input_tokens, output_tokens, reason FROM usage ORDER BY usage_id")
    assert [tuple(row) for row in found][:2] == [
        ("reported", "client", 100, 20, None),
        ("unknown", None, None, None, "the client that did the work gave no figures"),
    ]
    assert sorted(row["status"] for row in found[2:]) == ["open", "reported", "unknown"]
    assert "its packet expired before a report came" in {row["reason"] for row in found}
    await host.report(again)
    assert await host.one("SELECT COUNT(*) FROM usage WHERE status = 'open'") == 0
    assert (await host.runs.show(run_id)).usage.calls == 5


ARCHITECTURE = "# Architecture\n\n## Components\n\n- cart\n- search\n"


@pytest.mark.parametrize(
    "fault", ["UPDATE OF status ON task WHEN NEW.status = 'succeeded'", "INSERT ON task", "UPDATE ON usage"]
)
async def test_a_report_is_recorded_whole_or_not_at_all(host: Hosted, fault: str) -> None:
    run_id = await host.pipeline("Build a shop")
    await host.report(await host.claim_one(), made("# Specification"))
    arch = await host.claim_one()
    before = await host.contents()
    await host.write(f"CREATE TRIGGER fault BEFORE {fault} BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(sqlite3.IntegrityError):
        await host.report(arch, made(ARCHITECTURE))
    assert await host.contents() == before
    await host.write("DROP TRIGGER fault")
    await host.report(arch, made(ARCHITECTURE))
    status = await host.status(run_id)
    assert [key for key, one in status.items() if one == "ready"] == ["code_1", "code_2"]
    assert {"spec", "arch", "done", *(f"{name}_{n}" for name in ("code", "test", "doc", "review") for n in (1, 2))} <= {
        *status
    }


async def test_components_may_stand_in_a_file(host: Hosted) -> None:
    run_id = await host.pipeline("Build a shop")
    await host.report(await host.claim_one())
    listed = ("architecture.md", "# Architecture\n\n## Components\n\n- cart\n- search\n- payment\n")
    await host.report(await host.claim_one(), made("See the file.", listed))
    assert [key for key, one in (await host.status(run_id)).items() if one == "ready"] == ["code_1", "code_2", "code_3"]

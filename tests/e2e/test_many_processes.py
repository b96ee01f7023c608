"""Two servers and a shell on one database: a run is steered from a process that does not execute it."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.wire import Hold, OpenAIWire, answer, failure, held
from tests.core.invariants import assert_lawful
from tests.e2e.processes import WAIT_S, Processes, complaint, concurrent, view, waited


@pytest.fixture
def all_(tmp_path: Path, wire: OpenAIWire) -> Iterator[Processes]:
    processes = Processes(tmp_path, wire)
    yield processes
    processes.clean_up()


@pytest.mark.parametrize("by", ["server", "shell"])
async def test_a_run_is_cancelled_from_another_process(all_: Processes, wire: OpenAIWire, by: str) -> None:
    hold = Hold()
    wire.script(held(hold), held(hold))
    one = all_.server()
    run_id = concurrent(one, "A", "B")
    wire.wait_for_requests(2)
    if by == "server":
        cancelled = view(all_.server().call("run_control", run_id=run_id, action="cancel"))
    else:
        cancelled = all_.shell("runs", "cancel", run_id)
    assert (cancelled["status"], cancelled["changed"], cancelled["tasks"]["cancelled"]) == ("cancelled", 2, 2)
    assert all_.statuses("task") == {"cancelled"}
    assert all_.statuses("attempt") == {"cancelled"}
    assert all_.statuses("agent") == {"idle"}
    assert all_.rows("SELECT DISTINCT status, reason, input_tokens FROM usage") == [
        ("unknown", "the run was cancelled before an answer was recorded", None)
    ]
    wire.wait_for_disconnects(2)  # the executing process closes its connections, within seconds
    hold.release()
    assert waited(one, run_id)["status"] == "cancelled"
    assert all_.rows("SELECT 1 FROM artefact") == []
    assert waited(one, concurrent(one, "C"))["status"] == "succeeded"
    await assert_lawful(all_.database, at_rest=True)


async def test_a_late_result_of_a_cancelled_run_is_refused_and_what_it_used_is_seen(
    all_: Processes, wire: OpenAIWire
) -> None:
    """The executing process is stopped while the run is cancelled, so it goes on with an answer in its hands."""
    hold = Hold()
    wire.script(held(hold))
    one, two = all_.server(), all_.server()
    run_id = concurrent(one, "A")
    wire.wait_for_requests(1)
    all_.stop(one)
    view(two.call("run_control", run_id=run_id, action="cancel"))
    hold.release()
    one.process.send_signal(signal.SIGCONT)
    assert waited(one, concurrent(one, "B"))["status"] == "succeeded"
    assert waited(one, run_id)["status"] == "cancelled"
    assert all_.rows(f"SELECT 1 FROM artefact WHERE run_id = '{run_id}'") == []
    await assert_lawful(all_.database, at_rest=True)


async def test_a_paused_run_records_its_calls_and_goes_on_in_the_process_that_has_it(
    all_: Processes, wire: OpenAIWire
) -> None:
    hold = Hold()
    wire.script(held(hold))
    one, two = all_.server(), all_.server()
    view(one.call("swarm_init", max_agents=1))
    run_id = concurrent(one, "A", "B")
    wire.wait_for_requests(1)
    assert view(two.call("run_control", run_id=run_id, action="pause"))["status"] == "paused"
    hold.release()
    paused = waited(one, run_id)
    assert (paused["status"], paused["tasks"]["succeeded"], paused["tasks"]["queued"]) == ("paused", 1, 1)
    assert "run_control with run_id" in paused["next_step"]
    assert len(wire.requests) == 1
    owner = all_.rows("SELECT lease_owner, lease_epoch FROM run")
    assert all_.shell("runs", "resume", run_id)["status"] == "succeeded"
    epochs = all_.rows("SELECT DISTINCT epoch FROM attempt")
    assert epochs == [(owner[0][1],)], "the process that held it went on"
    await assert_lawful(all_.database, at_rest=True)


async def test_a_paused_run_whose_process_is_gone_goes_on_in_the_one_that_resumes_it(
    all_: Processes, wire: OpenAIWire
) -> None:
    wire.script(held(Hold()))
    one, two = all_.server(), all_.server()
    run_id = concurrent(one, "A")
    wire.wait_for_requests(1)
    view(two.call("run_control", run_id=run_id, action="pause"))
    one.process.kill()
    one.process.wait(WAIT_S)
    assert waited(two, run_id)["status"] == "paused"
    view(two.call("run_control", run_id=run_id, action="resume"))
    assert waited(two, run_id)["status"] == "succeeded"
    await assert_lawful(all_.database, at_rest=True)


async def test_a_killed_servers_run_says_how_it_goes_on_and_does(all_: Processes, wire: OpenAIWire) -> None:
    wire.script(answer("done A"), held(Hold()))
    one, two = all_.server(), all_.server()
    view(one.call("swarm_init", max_agents=1))
    run_id = concurrent(one, "A", "B")
    wire.wait_for_requests(2)
    one.process.kill()
    one.process.wait(WAIT_S)
    run = waited(two, run_id)
    assert (run["status"], run["tasks"]["succeeded"]) == ("interrupted", 1)
    assert f"run_control with run_id {run_id} and action resume" in run["next_step"]
    assert f"`swarmtally runs resume {run_id} --db {all_.database} --project test`" in run["next_step"]
    view(two.call("run_control", run_id=run_id, action="resume"))
    assert waited(two, run_id)["status"] == "succeeded"
    assert len(wire.requests) == 3, "what had succeeded was not done again"
    await assert_lawful(all_.database, at_rest=True)


async def test_a_stopped_server_whose_run_went_elsewhere_records_nothing_and_works_on(
    all_: Processes, wire: OpenAIWire
) -> None:
    hold = Hold()
    wire.script(held(hold), answer("by the second"))
    one, two = all_.server(), all_.server()
    run_id = concurrent(one, "A")
    wire.wait_for_requests(1)
    all_.stop(one)  # a zombie, which believes that it holds the run
    assert "is executed by another process" in complaint(two.call("run_control", run_id=run_id, action="resume"))
    all_.rows("UPDATE run SET lease_expires_ns = 0")
    view(two.call("run_control", run_id=run_id, action="resume"))
    assert waited(two, run_id)["status"] == "succeeded"
    hold.release()
    one.process.send_signal(signal.SIGCONT)
    assert waited(one, concurrent(one, "B"))["status"] == "succeeded"
    assert waited(one, run_id)["status"] == "succeeded"
    attempts = f"SELECT epoch, attempt.status FROM attempt JOIN task USING (task_id) WHERE run_id = '{run_id}'"
    assert all_.rows(f"{attempts} ORDER BY number") == [(1, "lost"), (2, "succeeded")]
    assert all_.rows(f"SELECT text FROM artefact WHERE run_id = '{run_id}'") == [("by the second",)]
    calls = all_.rows(f"SELECT status, reason FROM usage WHERE run_id = '{run_id}' ORDER BY usage_id")
    assert len(calls) == 2, "what the first has spent is still seen"
    await assert_lawful(all_.database, at_rest=True)


async def test_a_failed_run_is_retried_from_another_process_and_what_succeeded_stays(
    all_: Processes, wire: OpenAIWire
) -> None:
    wire.script(answer("done A"), failure(400))
    one, two = all_.server(), all_.server()
    view(one.call("swarm_init", max_agents=1))
    run_id = concurrent(one, "A", "B")
    assert waited(one, run_id)["status"] == "failed"
    retried = view(two.call("run_control", run_id=run_id, action="retry"))
    assert retried["changed"] == 1
    run = waited(two, run_id)
    assert (run["status"], run["tasks"]["succeeded"], run["reason"]) == ("succeeded", 2, None)
    assert len(wire.requests) == 3
    assert "has no failed or cancelled task" in complaint(one.call("run_control", run_id=run_id, action="retry"))
    await assert_lawful(all_.database, at_rest=True)


async def test_a_run_under_way_is_retried_by_the_process_that_executes_it(all_: Processes, wire: OpenAIWire) -> None:
    hold = Hold()
    wire.script(failure(400), held(hold))
    one, two = all_.server(), all_.server()
    view(one.call("swarm_init", max_agents=1))
    run_id = concurrent(one, "A", "B")
    wire.wait_for_requests(2)
    assert view(two.call("run_control", run_id=run_id, action="retry"))["changed"] == 1
    hold.release()
    assert waited(two, run_id)["status"] == "succeeded"
    assert len(wire.requests) == 3
    assert all_.rows("SELECT DISTINCT epoch FROM attempt") == [(1,)], "it stayed where it was"
    await assert_lawful(all_.database, at_rest=True)


async def test_two_processes_that_scale_one_swarm_leave_what_the_later_asked_for(all_: Processes) -> None:
    one, two = all_.server(), all_.server()
    view(one.call("swarm_init", max_agents=2))
    asked = [
        (server, server.call_soon("swarm_scale", target_size=size)) for size in range(1, 9) for server in (one, two)
    ]
    for server, request in asked:
        assert not server.receive(request)["result"]["isError"]
    (last,) = all_.rows("SELECT detail FROM event WHERE kind = 'swarm.scaled' ORDER BY event_id DESC LIMIT 1")
    assert all_.rows("SELECT agents FROM swarm") == [(int(last[0].split(" to ")[1]),)]
    await assert_lawful(all_.database, at_rest=True)


def test_wrong_input_is_answered_in_one_line(all_: Processes) -> None:
    server = all_.server()
    for action in ("cancel", "pause", "resume", "retry"):
        text = complaint(server.call("run_control", run_id="r_none", action=action))
        assert text == "project test has no run 'r_none'; list them with run_status"
    assert "action" in complaint(server.call("run_control", run_id="r_none", action="stop"))

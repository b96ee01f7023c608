"""Ctrl-C, signals and hang-ups: what a process leaves behind when it is asked to end."""

import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.wire import Hold, OpenAIWire, held
from tests.core.invariants import assert_lawful
from tests.e2e.processes import WAIT_S, Processes, concurrent, view, waited


@pytest.fixture
def all_(tmp_path: Path, wire: OpenAIWire) -> Iterator[Processes]:
    processes = Processes(tmp_path, wire)
    yield processes
    processes.clean_up()


def only_run(all_: Processes) -> str:
    ((run_id,),) = all_.rows("SELECT run_id FROM run")
    return str(run_id)


async def test_ctrl_c_pauses_what_the_shell_executes_and_resume_goes_on(all_: Processes, wire: OpenAIWire) -> None:
    wire.script(held(Hold()), held(Hold()))
    shell = all_.start("sparc", "concurrent", "coder", "A,B")
    wire.wait_for_requests(2)
    shell.send_signal(signal.SIGINT)
    _, err = shell.communicate(timeout=WAIT_S)
    run_id = only_run(all_)
    assert (shell.returncode, err) == (
        130,
        f"swarmtally: run {run_id} is paused; continue it with: swarmtally runs resume {run_id}\n",
    )
    assert all_.rows("SELECT status, reason FROM run") == [("paused", "paused by Ctrl-C")]
    assert all_.statuses("agent") == {"idle"}
    resumed = all_.shell("runs", "resume", run_id)
    assert (resumed["status"], resumed["tasks"]["succeeded"]) == ("succeeded", 2)
    await assert_lawful(all_.database, at_rest=True)


async def test_ctrl_c_only_stops_following_what_another_process_executes(all_: Processes, wire: OpenAIWire) -> None:
    hold = Hold()
    wire.script(held(hold))
    server = all_.server()
    run_id = concurrent(server, "A")
    wire.wait_for_requests(1)
    view(server.call("run_control", run_id=run_id, action="pause"))
    shell = all_.start("--log-level", "info", "runs", "resume", run_id)
    while all_.rows("SELECT 1 FROM run WHERE status = 'paused'"):
        assert shell.poll() is None
    shell.send_signal(signal.SIGINT)
    _, err = shell.communicate(timeout=WAIT_S)
    assert shell.returncode == 130
    assert "is paused" not in err
    assert all_.statuses("run") == {"running"}
    hold.release()
    assert waited(server, run_id)["status"] == "succeeded"
    await assert_lawful(all_.database, at_rest=True)


def test_a_second_ctrl_c_leaves_at_once_although_the_database_is_locked(all_: Processes, wire: OpenAIWire) -> None:
    wire.script(held(Hold()))
    shell = all_.start("sparc", "run", "coder", "A")
    wire.wait_for_requests(1)
    lock = sqlite3.connect(all_.database, timeout=WAIT_S, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    shell.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        shell.wait(timeout=1)  # the pause waits for the lock
    shell.send_signal(signal.SIGINT)
    _, err = shell.communicate(timeout=5)
    lock.close()
    assert shell.returncode == 130
    assert err == "swarmtally: left at once; what was under way shows as paused or interrupted\n"
    assert all_.shell("runs", "show", only_run(all_))["status"] == "interrupted"


async def test_sigterm_leaves_the_shells_run_interrupted(all_: Processes, wire: OpenAIWire) -> None:
    wire.script(held(Hold()))
    shell = all_.start("sparc", "run", "coder", "A")
    wire.wait_for_requests(1)
    shell.terminate()
    shell.communicate(timeout=WAIT_S)
    run_id = only_run(all_)
    assert all_.shell("runs", "show", run_id)["status"] == "interrupted"
    assert all_.shell("runs", "resume", run_id)["status"] == "succeeded"
    await assert_lawful(all_.database, at_rest=True)


async def test_a_client_that_hangs_up_leaves_its_run_interrupted(all_: Processes, wire: OpenAIWire) -> None:
    wire.script(held(Hold()))
    server = all_.server()
    run_id = concurrent(server, "A")
    wire.wait_for_requests(1)
    server.hang_up()
    server.process.wait(WAIT_S)
    assert all_.rows("SELECT status, lease_owner FROM run") == [("running", None)]
    assert all_.shell("runs", "show", run_id)["status"] == "interrupted"
    assert all_.shell("runs", "resume", run_id)["status"] == "succeeded"
    await assert_lawful(all_.database, at_rest=True)

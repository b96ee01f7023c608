"""Ctrl-C in the middle of a run, and going on with it."""

import signal
from pathlib import Path

import pytest

from tests.backends.wire import Hold, OpenAIWire, held
from tests.cli.conftest import Shell, finish, start


def test_ctrl_c_pauses_the_run_and_says_how_to_continue(shell: Shell, wire: OpenAIWire) -> None:
    hold = Hold()
    wire.script(held(hold), held(hold))
    running = start("sparc", "concurrent", "coder", "Feature A,Feature B")
    wire.wait_for_requests(2)
    running.send_signal(signal.SIGINT)
    ended = finish(running)

    (run,) = shell("runs", "list").document["runs"]
    assert (ended.status, ended.out) == (130, "")
    assert ended.err == (
        f"swarmtally: run {run['run_id']} is paused; continue it with: swarmtally runs resume {run['run_id']}\n"
    )
    assert run["status"] == "paused"

    hold.release()
    resumed = shell("runs", "resume", run["run_id"])
    assert (resumed.status, resumed.document["status"]) == (0, "succeeded")
    assert resumed.document["tasks"]["succeeded"] == 2
    assert resumed.document["usage"]["unknown_calls"] == 2


def test_ctrl_c_names_the_database_when_an_option_did(
    wire: OpenAIWire, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SWARMTALLY_DB")
    wire.script(held(Hold()))
    running = start("sparc", "run", "coder", "x", "--db", "my swarm.db")
    wire.wait_for_requests(1)
    running.send_signal(signal.SIGINT)
    assert finish(running).err.endswith(" --db 'my swarm.db'\n")


def test_ctrl_c_where_no_run_is_under_way_says_nothing() -> None:
    waiting = start("mcp", "memory_usage", "--action", "store", "--key", "k", "--value", "-", stdin=-1)
    # It reads stdin only after its modules are there; more than a pipe holds proves that it reads.
    assert waiting.stdin is not None
    waiting.stdin.write("x" * 200_000)
    waiting.stdin.flush()
    waiting.send_signal(signal.SIGINT)
    ended = finish(waiting)
    assert (ended.status, ended.out, ended.err) == (130, "", "")

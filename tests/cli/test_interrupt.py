"""Ctrl-C in the middle of a run, and going on with it."""

import re
import shlex
import signal
from pathlib import Path

import pytest

from swarmtally.cli.live import LiveLine
from swarmtally.cli.options import Options
from swarmtally.cli.session import _farewell, _Watch
from swarmtally.settings import Settings
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


def test_what_a_shown_run_says_to_do_meets_its_database_from_anywhere(
    shell: Shell, wire: OpenAIWire, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = Hold()
    wire.script(held(hold))
    db = str(place / "my swarm.db")
    running = start("sparc", "run", "coder", "x", "--db", db, "--project", "it's")
    wire.wait_for_requests(1)
    running.send_signal(signal.SIGINT)
    finish(running)
    hold.release()
    (run,) = shell("runs", "list", "--db", db, "--project", "it's").document["runs"]
    step = shell("runs", "show", run["run_id"], "--db", db, "--project", "it's").document["next_step"]
    (command,) = re.findall("`swarmtally (.*)`", step)

    monkeypatch.chdir(place)
    monkeypatch.delenv("SWARMTALLY_DB")
    resumed = shell(*shlex.split(command))
    assert (resumed.status, resumed.document["status"]) == (0, "succeeded"), resumed


def test_the_usual_database_is_not_named(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWARMTALLY_DB")
    assert Settings.gather("shell", project="p").named() == " --project p"


def test_who_stops_waiting_for_another_s_run_is_told_where_to_see_it() -> None:
    watch = _Watch(LiveLine())
    watch.run_id = "r_1"
    assert _farewell(watch, Options(db="a b.db")).endswith("see it with: swarmtally runs show r_1 --db 'a b.db'")


def test_ctrl_c_where_no_run_is_under_way_says_nothing() -> None:
    waiting = start("mcp", "memory_usage", "--action", "store", "--key", "k", "--value", "-", stdin=-1)
    # It reads stdin only after its modules are there; more than a pipe holds proves that it reads.
    assert waiting.stdin is not None
    waiting.stdin.write("x" * 200_000)
    waiting.stdin.flush()
    waiting.send_signal(signal.SIGINT)
    ended = finish(waiting)
    assert (ended.status, ended.out, ended.err) == (130, "", "")

"""Watching a swarm from the shell: one JSON document in a pipe, a picture on a terminal, and an end with Ctrl-C."""

import io
import json
import signal

import pytest
from rich.console import Console

from swarmtally.cli.frame import frame
from swarmtally_tools.monitor_views import KINDS, MonitorView, RunProgressView, SampleView, sample_view
from tests.backends.wire import Hold, OpenAIWire, held
from tests.cli.conftest import Shell, finish, start
from tests.cli.screen import Screen
from tests.tools.test_monitor import full


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LINES", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_piped_there_is_one_document_at_the_end(shell: Shell) -> None:
    shell("mcp", "swarm_init")
    seen = shell("mcp", "swarm_monitor", "--interval", "0.5", "--duration", "0.5")
    assert (seen.status, seen.document["samples_taken"], seen.document["remaining_s"]) == (0, 2, 0)


def test_without_a_swarm_the_remedy_is_told(shell: Shell) -> None:
    assert "make one with swarm_init" in shell("mcp", "swarm_monitor").complaint


def test_a_wrong_bound_is_told_before_anything_is_opened(shell: Shell) -> None:
    assert "interval" in shell("mcp", "swarm_monitor", "--interval", "0.1").complaint


def test_ctrl_c_in_a_pipe_ends_it_with_what_was_sampled(shell: Shell) -> None:
    shell("mcp", "swarm_init")
    live = Screen()
    watching = start("mcp", "swarm_monitor", "--interval", "60", "--duration", "3600", stderr=live.theirs)
    live.wait_for("agents busy")
    watching.send_signal(signal.SIGINT)
    ended = finish(watching)
    live.read_to_end()
    assert (ended.status, ended.document["samples_taken"], ended.document["remaining_s"]) == (0, 1, 3600)


def test_top_needs_a_terminal(shell: Shell) -> None:
    assert shell("top").complaint == (
        "top draws on a terminal, and stdout is none; for JSON use swarmtally mcp swarm_monitor"
    )


def test_top_shows_a_run_of_another_process_until_ctrl_c(shell: Shell, wire: OpenAIWire) -> None:
    hold = Hold()
    wire.script(held(hold))
    swarm = shell("mcp", "swarm_init").document["swarm_id"]
    running = start("sparc", "run", "coder", "Feature A")
    wire.wait_for_requests(1)
    screen = Screen()
    top = start("top", "--interval", "0.5", stdout=screen.theirs)
    screen.wait_for("0 of 1")
    screen.wait_for("backends 9")  # a share above 90 %: the other process waits for its model
    hold.release()
    assert finish(running).status == 0
    screen.wait_for("1 succeeded")
    top.send_signal(signal.SIGINT)
    ended = finish(top)
    shown = screen.read_to_end()
    assert (ended.status, ended.err) == (0, "")
    assert swarm in shown
    assert "1 busy, 0 idle, 0 leaving" in shown
    assert "0 busy, 1 idle, 0 leaving" in shown
    assert shown.rstrip().endswith("\x1b[?25h"), "the cursor is back"


def test_the_monitor_on_a_terminal_draws_and_prints_no_json(shell: Shell) -> None:
    shell("mcp", "swarm_init")
    screen = Screen()
    ended = finish(start("mcp", "swarm_monitor", stdout=screen.theirs))
    shown = screen.read_to_end()
    assert (ended.status, ended.err) == (0, "")
    assert "throughput" in shown
    assert "{" not in shown


def drawn(sample: SampleView, *runs: RunProgressView) -> str:
    view = MonitorView(
        swarm_id="s_1",
        project="evil \x1b[2J [bold]name",
        database="/d",
        interval_s=1,
        duration_s=0,
        watched_s=2,
        remaining_s=0,
        next_step=None,
        samples=[sample],
        samples_taken=3,
        runs=list(runs),
        unfinished_runs=12,
        as_of="2026-11-23T12:33:45.902Z",
    )
    console = Console(file=io.StringIO(), width=200, highlight=False, force_terminal=False)
    console.print(frame(view))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_every_figure_is_drawn_and_nothing_steers_the_terminal() -> None:
    run = RunProgressView(run_id="r_1", kind="batch", status="running", ended=3, known=6)
    text = drawn(sample_view(full()), run)
    assert "evil �[2J [bold]name" in text
    for part in (
        "10000 busy, 10000 idle, 10000 leaving",
        "oldest 123.457 s",
        "5 tasks/s (7 succeeded, 3 failed",
        "cpu 25 %, memory 123 MB",
        "waiting for memory 5 %",
        "unfinished runs, 11 more",
        "3 of 6",
        "host:1:2",
        "150 %",
        "store 20 %  scheduling 10 %  backends 40 %  rest 30 %",
        "9876.54 ms",
    ):
        assert part in text, part
    assert all(kind in text for kind in KINDS)


def test_what_is_not_known_is_a_dash() -> None:
    sample = json.loads(sample_view(full()).model_dump_json())
    sample["throughput_per_s"] = None
    sample["queue"]["oldest_s"] = None
    sample["process"]["rss_bytes"] = None
    sample["executors"] = []
    sample["reasons"] = {"executors": "nobody executed anything"}
    text = drawn(SampleView.model_validate(sample))
    assert "oldest –" in text
    assert "– tasks/s" in text
    assert "memory –" in text
    assert "nobody executed anything" in text
    assert "unfinished runs" not in text

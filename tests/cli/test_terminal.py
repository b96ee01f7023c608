"""On a terminal: tables on stdout, a live line on stderr; nothing there can steer it."""

import io
from typing import Any

import pytest
from pydantic import Field
from rich.console import Console

from swarmtally.cli import terminal
from swarmtally.cli.swarms import SwarmsView
from swarmtally_tools.definition import View
from swarmtally_tools.run_views import RunView
from swarmtally_tools.runs import RunStatusView
from tests.backends.wire import Hold, OpenAIWire, answer, failure, held, tokens
from tests.cli.conftest import Shell, process, start
from tests.cli.screen import Screen


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_terminal_gets_a_table_and_no_json() -> None:
    screen = Screen()
    done = process("mcp", "swarm_init", "--topology", "mesh", stdout=screen.theirs)
    shown = screen.read_to_end()
    assert (done.status, done.err) == (0, "")
    assert "topology" in shown
    assert "mesh" in shown
    assert "{" not in shown


def test_a_terminal_sees_the_run_live_and_its_report_at_the_end(wire: OpenAIWire) -> None:
    hold = Hold()
    wire.script(held(hold))
    screen, live = Screen(), Screen()
    running = start("sparc", "run", "coder", "Feature A", stdout=screen.theirs, stderr=live.theirs)
    live.wait_for("0 of 1 tasks, running coder_1")
    hold.release()
    assert running.wait(30) == 0
    shown = screen.read_to_end()
    live.read_to_end()
    assert "succeeded" in shown
    for part in ("timeline", "coder_1", "usage.raw_tokens", "artefacts", "Next:"):
        assert part in shown


def test_piped_nothing_is_on_stderr(wire: OpenAIWire) -> None:
    done = process("sparc", "run", "coder", "Feature A")
    assert (done.status, done.err) == (0, "")


def _shown(view: Any, width: int = 250) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    terminal.show(view, console)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_a_failed_run_shows_why(shell: Shell, wire: OpenAIWire) -> None:
    wire.script(answer("spec"), answer("# Components\n- Cart", tokens(4, 4)), failure(401))
    run = shell("sparc", "pipeline", "A shop")
    assert run.status == 1
    text = _shown(RunView.model_validate(run.document))
    assert text.startswith("failed  pipeline r_")
    assert "2 of 7 tasks succeeded, 1 failed, 4 cancelled" in text.splitlines()[0]
    assert "401" in text


def test_a_list_of_runs_is_a_table(shell: Shell, wire: OpenAIWire) -> None:
    run_id = shell("sparc", "run", "coder", "x").document["run_id"]
    shown = _shown(RunStatusView.model_validate(shell("mcp", "run_status").document))
    assert shown.count("run_id") == shown.count("swarm_id") == 1
    assert run_id in shown


def test_ids_stay_on_one_line_and_the_other_columns_give_way(shell: Shell) -> None:
    wide = ("mcp", "swarm_init", "--topology", "hierarchical", "--strategy", "specialized")
    made = [shell(*wide).document["swarm_id"] for _ in range(2)]
    shown = _shown(SwarmsView.model_validate(shell("swarms", "list").document), 80)
    assert max(map(len, shown.splitlines())) <= 80
    # Where no name was given it is the id too.
    assert [shown.count(swarm_id) for swarm_id in made] == [2, 2], shown
    assert "current" in shown


class _Row(View):
    name: str
    note: str | None = None
    tags: list[str] = Field(default_factory=list)


class _Inner(View):
    size: int
    reasons: dict[str, str]


class _Everything(View):
    text: str
    flag: bool
    nothing: None = None
    names: list[str]
    value: Any
    inner: _Inner
    rows: list[_Row]
    empty: list[_Row]


def test_every_kind_of_field_has_a_form() -> None:
    view = _Everything(
        text="evil \x1b[2J [bold]text[/bold]",
        flag=True,
        names=["a", "b"],
        value={"deep": [1]},
        inner=_Inner(size=3, reasons={}),
        rows=[_Row(name="one"), _Row(name="two")],
        empty=[],
    )
    text = _shown(view)
    assert "evil �[2J [bold]text[/bold]" in text
    assert "yes" in text
    assert "a, b" in text
    assert '"deep"' in text
    assert "inner.size  3" in text
    assert "nothing" not in text
    assert "note" not in text
    assert "two" in text
    assert "reasons" not in text


def test_the_terminal_is_told_a_run_of_run_status_as_a_run(shell: Shell, wire: OpenAIWire) -> None:
    run_id = shell("sparc", "run", "coder", "x").document["run_id"]
    screen = Screen()
    process("mcp", "run_status", "--run-id", run_id, stdout=screen.theirs)
    assert "Next:" in screen.read_to_end()

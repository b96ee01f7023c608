"""The performance report on a terminal: what is drawn stands in the report, and what is not known says so."""

from io import StringIO

import pytest
from rich.console import Console

from swarmtally.cli import report, terminal
from swarmtally_tools.performance import PerformanceView
from tests.backends.wire import OpenAIWire, answer
from tests.cli.conftest import Shell


def drawn(view: PerformanceView, width: int = 140) -> str:
    console = Console(file=StringIO(), width=width, highlight=False)
    terminal.show(view, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_report_is_drawn_from_its_figures(shell: Shell, wire: OpenAIWire) -> None:
    wire.script(*[answer("done", {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12})] * 2)
    run = shell("sparc", "batch", "coder", "Login,Search").document
    view = PerformanceView.model_validate(shell("mcp", "performance_report", "--format", "detailed").document)
    text = drawn(view)
    (line,) = (line for line in text.splitlines() if line.startswith("Success rate"))
    assert "█" * report.BAR in line
    assert "100.0%" in line
    assert "n 2, 34.2% to 100.0%" in line
    assert f"Run {run['run_id']}, succeeded" in text
    assert "coder_1  coder" in text
    assert f"{view.parallelism:.2f}x" in text
    # Nothing is shared and nothing lies upstream: separate requests would be the same.
    (line,) = (line for line in text.splitlines() if line.startswith("Token efficiency"))
    assert (view.token_efficiency, "0.0%" in line) == (0.0, True)
    assert view.reasons["speed_multiplier"] in text


def test_a_report_on_nothing_draws_no_bar(shell: Shell) -> None:
    text = drawn(PerformanceView.model_validate(shell("mcp", "performance_report").document))
    assert "█" not in text
    assert "no task has ended in this time" in text


def test_the_format_json_is_json_on_a_terminal_too(shell: Shell) -> None:
    view = PerformanceView.model_validate(shell("mcp", "performance_report", "--format", "json").document)
    assert PerformanceView.model_validate_json(drawn(view)) == view


@pytest.mark.parametrize(
    ("share", "shown"), [(None, ""), (0.0, "|"), (0.5, "|" + "█" * 20), (1.5, "|" + "█" * 40 + "+")]
)
def test_a_bar_is_as_long_as_its_share(share: float | None, shown: str) -> None:
    assert report.bar(share).plain == shown


@pytest.mark.parametrize("width", [80, 100, 140])
def test_a_later_task_is_drawn_further_right(shell: Shell, wire: OpenAIWire, width: int) -> None:
    shell("mcp", "swarm_init", "--max-agents", "1")
    shell("sparc", "concurrent", "coder", "A,B,C,D")
    view = PerformanceView.model_validate(shell("mcp", "performance_report", "--format", "detailed").document)
    lines = [line for line in drawn(view, width).splitlines() if line.startswith("coder_")]
    assert len(lines) == 4
    begins = [line.index("█") for line in lines]
    assert begins == sorted(begins)
    assert begins[-1] > begins[0]

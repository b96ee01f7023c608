"""Patterns on a terminal: what is drawn stands in the answer."""

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from swarmtally.cli import terminal
from swarmtally.cli.patterns import HEIGHT, WIDTH
from swarmtally_tools.patterns import PatternsView
from tests.cli.conftest import Shell
from tests.learning.test_scalability import law

SIZES = (1, 2, 4, 8, 16)


def drawn(view: PatternsView, width: int = 100) -> list[str]:
    console = Console(file=StringIO(), width=width, highlight=False)
    terminal.show(view, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def patterns(shell: Shell, place: Path, kappa: float) -> PatternsView:
    """Of given rows that follow the law, from the shell."""
    rows = [{"duration_s": 100 / law(n, 0.05, kappa), "agents": n} for n in SIZES * 7]
    path = place / "work" / "rows.json"
    path.write_text(json.dumps(rows))
    assert shell("mcp", "neural_train", "--training-data", f"@{path}").status == 0
    return PatternsView.model_validate(shell("mcp", "neural_patterns").document)


@pytest.mark.parametrize("width", [60, 100])
def test_the_plot_has_every_size_where_it_was_seen(shell: Shell, place: Path, width: int) -> None:
    view = patterns(shell, place, 0.02)
    lines = drawn(view, width)
    columns = WIDTH if width == 100 else WIDTH // 2
    begin = next(n for n, line in enumerate(lines) if line.startswith("Throughput of given rows against one agent, 35"))
    grid = [line.partition("|")[2].ljust(columns) for line in lines[begin + 1 : begin + 1 + HEIGHT]]
    seen = {column: row for row, line in enumerate(grid) for column, sign in enumerate(line) if sign == "●"}
    assert sorted(seen) == [round((n - 1) / 15 * (columns - 1)) for n in SIZES]
    # Throughput rises to 8 agents and falls to 16; the line above is the higher one.
    heights = [seen[column] for column in sorted(seen)]
    assert heights[0] > heights[1] > heights[2] > heights[3] == min(heights) < heights[4]
    assert all(any(line[column] in "·●" for line in grid) for column in range(columns)), "the curve has no gap"


def test_figures_and_what_is_missing_stand_below(shell: Shell, place: Path) -> None:
    view = patterns(shell, place, 0.02)
    (curve,) = (curve for curve in view.curves if curve.of == "given")
    assert curve.best_agents is not None
    text = "\n".join(drawn(view))
    assert f"{curve.best_agents.value:.3g} ({curve.best_agents.low:.3g} to {curve.best_agents.high:.3g})" in text
    assert "make at least 8 runs with 1 agent" in text
    assert "History is observational" in text
    assert "agents doubled (against 1 to 16)" in text


def test_a_best_number_that_is_not_known_is_not_drawn_as_one(shell: Shell, place: Path) -> None:
    lines = drawn(patterns(shell, place, 0.0))
    (best,) = (line for line in lines if line.startswith("best agents"))
    assert best.split()[-1] == "–"
    assert any(line.startswith("at least 16; try 32: ") for line in lines)


def test_an_empty_history_is_words_only(shell: Shell) -> None:
    text = "\n".join(drawn(PatternsView.model_validate(shell("mcp", "neural_patterns").document)))
    assert "insufficient_data" in text
    assert "●" not in text

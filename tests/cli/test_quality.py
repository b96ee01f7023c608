"""`swarmtally mcp quality_assess`: the document when piped, bars and findings on a terminal."""

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console

from swarmtally.cli import terminal
from swarmtally_tools.quality import QualityView
from tests.cli.conftest import TIMEOUT_S, Shell, process
from tests.quality.written import written


def test_the_command_of_the_seed_document_prints_one_document(place: Path) -> None:
    written(place / "work", {"context.json": "{}"})
    command = "mcp quality_assess --target current-project --criteria performance,efficiency,scalability"
    result = process(*command.split())
    assert (result.status, result.err) == (0, "")
    rows = result.document["criteria"]
    assert [row["criterion"] for row in rows] == ["performance", "efficiency", "scalability"]
    assert all(row["score"] is None and row["reason"] for row in rows)
    assert result.document["left_out"] == [{"path": "*.json", "reason": "1 file of a kind that is not read"}]


def test_a_module_of_the_target_that_is_named_like_one_of_pythons_is_not_imported(place: Path) -> None:
    trap = "from pathlib import Path\nPath('trapped').touch()\n"
    names = ("json", "ast", "swarmtally/__init__", "swarmtally/quality/__init__", "sitecustomize", "conftest", "setup")
    written(place / "work", {f"{name}.py": trap for name in names})
    written(place / "work", {"ruff.toml": "select = []\n", "pyproject.toml": "[tool.ruff]\nextend-exclude = ['*']\n"})
    # Not `python -m`, which itself would look here for what it imports.
    program = Path(sys.executable).with_name("swarmtally")
    out = subprocess.run(
        [program, "mcp", "quality_assess"], check=True, stdout=subprocess.PIPE, timeout=TIMEOUT_S
    ).stdout
    assert json.loads(out)["files"] == len(names)
    assert not (place / "work" / "trapped").exists()


def test_what_is_outside_is_refused_until_it_is_allowed(shell: Shell, place: Path) -> None:
    other = written(place / "other", {"a.py": "a = 1\n"})
    asked = ("mcp", "quality_assess", "--target", str(other), "--criteria", "testing")
    assert f"allow it with --allow {other}" in shell(*asked).complaint
    assert shell(*asked, "--allow", str(other)).document["kind"] == "path"


def test_the_home_folder_is_no_project(shell: Shell, place: Path) -> None:
    asked = ("mcp", "quality_assess", "--target", str(place), "--allow", str(place))
    assert "too wide" in shell(*asked).complaint


def test_an_unknown_criterion_is_refused_and_leaves_no_database(shell: Shell, place: Path) -> None:
    assert "criteria" in shell("mcp", "quality_assess", "--criteria", "speed").complaint
    assert not (place / "swarm.db").exists()


def test_a_terminal_gets_bars_figures_and_findings(shell: Shell, place: Path) -> None:
    files = {"a.py": '"""A."""\n\n\ndef one():\n    return 1\n', "README.md": "word " * 100, "b.png": "", "c.sql": ""}
    written(place / "work", files)
    view = QualityView.model_validate(
        shell("mcp", "quality_assess", "--criteria", "testing,documentation,security", "--limit", "1").document
    )
    console = Console(file=StringIO(), width=200, highlight=False)
    terminal.show(view, console)
    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue()
    lines = [line.rstrip() for line in shown.splitlines()]
    assert lines[0] == f"project {place / 'work'}: 1 files of code, 2 lines (python 2)"
    (testing,) = [line for line in lines if line.startswith("testing ")]
    assert "0.0  line coverage – (no coverage.xml or lcov.info; let the tests write one)" in testing
    (documentation,) = [line for line in lines if line.startswith("documentation ")]
    assert "6.2  public documented 50.0%; readme words 100; links intact – (no Markdown" in documentation
    assert documentation.count("█") == 12
    assert "documentation: 1 of 1 findings" in lines
    assert any(line.startswith("a.py:4  undocumented-public-function  function one is public") for line in lines)
    assert lines[-1] == "Left out: *.png: 1 file of a kind that is not read; *.sql: 1 file of a kind that is not read"

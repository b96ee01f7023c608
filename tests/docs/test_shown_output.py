"""What pages show beside commands: configurations that start a server, files that are read, output that comes so."""

import json
import re
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import anyio
import pytest
from rich.console import Console

from swarmtally.cli import terminal
from swarmtally_tools.patterns import PatternsView
from swarmtally_tools.performance import PerformanceView
from tests.backends.wire import OpenAIWire
from tests.cli.conftest import Shell
from tests.docs import stand_ins
from tests.docs.blocks import PAGES, ROOT, blocks, name
from tests.learning.test_scalability import law
from tests.mcp.conftest import connected
from tests.mcp.test_host_work import call

HERE = "tests/docs/test_shown_output.py"
LOOKED_AT = {
    ("README.md", "text"): ("tests/mcp/test_demo.py", HERE),
    ("docs/claude-desktop.md", "text"): (HERE,),
    ("docs/concepts.md", "markdown"): (HERE,),
    ("docs/http.md", "json"): (HERE, HERE),
    ("docs/install.md", "json"): ("tests/release/test_links.py", HERE, HERE),
    ("docs/patterns.md", "text"): (HERE,),
    ("docs/python.md", "python"): ("tests/e2e/test_python_api.py",) * 2,
    ("docs/python.md", "text"): ("tests/e2e/test_python_api.py",) * 2,
    ("docs/tasks.md", "json"): ("tests/mcp/test_tasks.py",) * 4,
}
"""By page and language: for each block the file that fails when it is not true any more. Of shell it is
test_shell_blocks.py, of the tools' pages test_tool_pages.py."""


def shown(page: str, language: str) -> list[str]:
    return [block.text for block in blocks(ROOT / page, language)]


def masked(text: str) -> str:
    """Without what differs from run to run: ids, figures."""
    return re.sub(r"\d[\d.,]*", "0", re.sub(r"\b([rsa])_[0-9a-z]{12}\b", r"\1_0", text))


def drawn(view: PatternsView | PerformanceView) -> list[str]:
    console = Console(file=StringIO(), width=100, highlight=False)
    terminal.show(view, console)
    assert isinstance(console.file, StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_every_block_is_looked_at() -> None:
    found: dict[tuple[str, str], int] = {}
    for page in PAGES:
        if page.parent.name != "tools":
            for block in blocks(page):
                if block.language != "sh":
                    key = (name(page), block.language)
                    found[key] = found.get(key, 0) + 1
    assert found == {key: len(files) for key, files in LOOKED_AT.items()}
    for (page_name, _), files in LOOKED_AT.items():
        for file in files:
            assert Path(page_name).name in (ROOT / file).read_text(encoding="utf-8"), f"{file} reads no {page_name}"


def test_the_report_of_the_readme_has_the_lines_that_a_report_has(shell: Shell, wire: OpenAIWire) -> None:
    shell("sparc", "pipeline", "Notes app with offline sync, search, and sharing", "--model", "openai:test")
    command, *lines = shown("README.md", "text")[1].splitlines()
    assert command == "$ swarmtally mcp performance_report --format detailed"
    view = PerformanceView.model_validate(shell("mcp", "performance_report", "--format", "detailed").document)
    labels = iter([line[:24].rstrip() for line in drawn(view)])
    for line in lines:
        assert line[:24].rstrip() in labels, "there is none, or not in this order"


def test_the_mode_of_the_concepts_is_a_mode(shell: Shell, wire: OpenAIWire, place: Path) -> None:
    (block,) = shown("docs/concepts.md", "markdown")
    folder = place / "work" / ".swarmtally" / "modes"
    folder.mkdir(parents=True)
    (place / "work" / ".git").mkdir()
    (folder / "poet.md").write_text(block)
    done = shell("sparc", "run", "poet", "The sea").document
    assert (done["status"], done["artefacts"][0]["name"]) == ("succeeded", "poet_1")
    assert "You write poems of four lines. Answer with the poem only." in str(wire.requests[-1].body["messages"])


@pytest.mark.parametrize("block", shown("docs/install.md", "json")[1:])
def test_the_entries_to_write_by_hand_start_a_server(block: str, place: Path) -> None:
    folders = {
        "to/swarmtally/.venv/bin": Path(sys.executable).parent,
        "to/my-project": place / "work",
        "to/output": place,
    }
    for path, folder in folders.items():
        block = block.replace(f"/absolute/path/{path}", str(folder))
    assert "/absolute/path" not in block
    found = json.loads(block)
    entry = (found.get("mcpServers") or found["servers"])["swarmtally"]
    stand_ins.starts([entry["command"], *entry["args"]])


def test_the_entries_over_http_name_what_the_server_listens_to_by_default() -> None:
    for block in shown("docs/http.md", "json"):
        found = json.loads(block)
        entry = (found.get("mcpServers") or found["servers"])["swarmtally"]
        assert entry["url"] == "http://127.0.0.1:8765/mcp"  # what the page's commands are run with, at another port
        assert re.fullmatch(
            r"Bearer \$\{(env:SWARMTALLY_TOKEN|input:swarmtally-token)\}", entry["headers"]["Authorization"]
        )
        assert [each["id"] for each in found.get("inputs", [])] in ([], ["swarmtally-token"])


def test_the_plot_of_the_patterns_is_drawn_so(shell: Shell) -> None:
    rows = [
        {"duration_s": 100 / law(n, 0.1, 0.01) + again, "agents": n} for again in range(8) for n in (1, 2, 4, 8, 16)
    ]
    Path("rows.json").write_text(json.dumps(rows))
    assert shell("mcp", "neural_train", "--training-data", "@rows.json").status == 0
    lines = drawn(PatternsView.model_validate(shell("mcp", "neural_patterns").document))
    (block,) = shown("docs/patterns.md", "text")
    begin = next(n for n, line in enumerate(lines) if line.startswith("Throughput of given rows"))
    expected = block.splitlines()
    assert [masked(line) for line in lines[begin : begin + len(expected)]] == [masked(line) for line in expected]


ARCHITECTURE = "# Architecture\n\n## Components\n\n- sync\n- search\n- sharing\n"


async def test_the_steps_of_claude_desktop_come_so(tmp_path: Path) -> None:
    """Each line of the page: the call, what became of it, the next packet, and what lies on disk for it."""
    out = tmp_path / "out"
    async with connected(tmp_path, "auto", "--allow", str(out)) as client:
        run = await call(client, "sparc_pipeline", task="A notes app", out_dir=str(out))
        (packet,) = run["packets"]
        steps = [f"sparc_pipeline → {run['status']}, 0 of {run['tasks']['total']} tasks; packet {packet['key']}"]
        there: set[Path] = set()
        while packet is not None:
            made: dict[str, Any] = {"output": ARCHITECTURE if packet["key"] == "arch" else "done"}
            if packet["key"] == "code_1":
                made["files"] = {"src/notes.py": "print('notes')\n"}
            given = {"task_id": packet["task_id"], "lease": packet["lease"], "claim": 1}
            ended = await call(client, "work_report", **given, **made)
            before, there = there, {path async for path in anyio.Path(out).rglob("*") if await path.is_file()}
            new = sorted((path.relative_to(out) for path in there - before), key=lambda path: len(path.parts))
            files = " and ".join([f"out/{new[0]}", *(f"…/{'/'.join(path.parts[-2:])}" for path in new[1:])])
            done = f"{ended['task_status']}, {ended['tasks']['succeeded']} of {ended['tasks']['total']}"
            following = [f"next packet {each['key']}" for each in ended["packets"]]
            steps.append(f"work_report {packet['key']} → {'; '.join([done, *following])} {files}")
            packet = ended["packets"][0] if ended["packets"] else None
    steps.append(ended["next_step"])
    (block,) = shown("docs/claude-desktop.md", "text")
    lines = [" ".join(line.split()) for line in block.splitlines()]
    assert len(lines) == 9
    run_id = run["run_id"]
    for line in lines:
        assert line == "…" or re.sub(r"\br_\w{12}", run_id, line) in steps

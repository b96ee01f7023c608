"""The documentation pages are made from the definitions, and their examples run."""

import json
import re
import shlex
from pathlib import Path

import pytest

from swarmtally_tools import pages, registry
from swarmtally_tools.definition import Tool


def test_every_tool_has_a_page_and_an_example() -> None:
    made = pages.pages()
    assert made.keys() == {"index.md", *(f"{name}.md" for name in registry.MODULES)}
    assert list(pages.EXAMPLES) == list(registry.MODULES)


@pytest.mark.parametrize("tool", registry.load_all(), ids=lambda tool: tool.name)
def test_a_page_names_every_argument_and_every_field(tool: Tool) -> None:
    page = pages.pages()[f"{tool.name}.md"]
    for name in (*tool.input_schema["properties"], *tool.output_schema["properties"]):
        assert f"| `{name}` |" in page
    for line in page.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) in (4, 6)


@pytest.mark.parametrize("tool", registry.load_all(), ids=lambda tool: tool.name)
def test_the_mcp_example_is_a_valid_call(tool: Tool) -> None:
    block = re.search(r"```json\n(.*?)```", pages.pages()[f"{tool.name}.md"], re.DOTALL)
    assert block is not None
    call = json.loads(block[1])
    assert call["name"] == tool.name
    tool.check(call["arguments"])


def test_check_tells_what_differs_and_writing_mends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "tools"
    assert pages.main([str(folder)]) == 0
    assert pages.main([str(folder), "--check"]) == 0
    (folder / "swarm_init.md").write_text(f"{pages.NOTE}\nold")
    (folder / "gone_tool.md").write_text(f"{pages.NOTE}\nold")
    (folder / "run_status.md").unlink()
    (folder / "notes.md").write_text("somebody's own")
    assert pages.main([str(folder), "--check"]) == 1
    assert capsys.readouterr().err.startswith("gone_tool.md, run_status.md, swarm_init.md: write again with")
    assert pages.main([str(folder)]) == 0
    assert pages.main([str(folder), "--check"]) == 0
    assert not (folder / "gone_tool.md").exists()
    assert (folder / "notes.md").read_text() == "somebody's own"


def test_the_shell_example_is_one_command_line() -> None:
    assert shlex.split(pages.shell_example("sparc_batch"))[:5] == [
        "swarmtally",
        "mcp",
        "sparc_batch",
        "--modes",
        "coder,tester",
    ]


def test_a_bar_in_a_description_does_not_end_its_cell() -> None:
    table = pages._arguments({"properties": {"mode": {"type": "string", "description": "a | b"}}})
    assert table.splitlines()[-1].endswith("| a \\| b |")

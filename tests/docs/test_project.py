"""What the documents say is what the project is."""

import json
import re
import tomllib
from pathlib import Path

from swarmtally_tools import registry
from swarmtally_tools.pages import main as pages

ROOT = Path(__file__).parents[2]


def test_every_dependency_is_named_with_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = (ROOT / "docs" / "dependencies.md").read_text()
    wanted = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    for item in wanted:
        name = re.split(r"[\[<>=~ ]", item)[0]
        assert name == "swarmtally" or name in named, f"{name} is not in docs/dependencies.md"


def test_the_configurations_to_write_by_hand_are_json_and_name_the_server() -> None:
    by_hand = (ROOT / "docs" / "install.md").read_text().partition("## By hand")[2]
    blocks = re.findall(r"```json\n(.*?)```", by_hand, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        found = json.loads(block)
        server = (found.get("mcpServers") or found["servers"])["swarmtally"]
        assert server["args"][0] == "serve"
        assert server["command"].startswith("/")


def test_the_readme_lists_every_tool() -> None:
    text = (ROOT / "README.md").read_text()
    assert [name for name in registry.MODULES if f"`{name}`" not in text] == []


def test_the_documents_link_to_what_is_there() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_tool_pages_are_those_of_the_definitions() -> None:
    assert pages([str(ROOT / "docs" / "tools"), "--check"]) == 0

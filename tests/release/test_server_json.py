"""server.json is what the MCP registry takes: the rules of its schema 2025-12-11 that concern us, and its own."""

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest

from swarmtally.cli import options, serve
from swarmtally.version import __version__
from swarmtally_tools.toolsets import TOOLSETS

ROOT = Path(__file__).parents[2]
SERVER: dict[str, Any] = json.loads((ROOT / "server.json").read_text())
(PACKAGE,) = SERVER["packages"]
VARIABLES: dict[str, dict[str, Any]] = {one["name"]: one for one in PACKAGE["environmentVariables"]}


def test_it_has_the_members_the_schema_knows_in_the_lengths_it_allows() -> None:
    assert SERVER.keys() == {"$schema", "name", "title", "description", "version", "packages"}
    assert SERVER["$schema"] == "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", SERVER["name"])
    assert 3 <= len(SERVER["name"]) <= 200
    assert 1 <= len(SERVER["title"]) <= 100
    assert 1 <= len(SERVER["description"]) <= 100


def test_its_package_is_this_one_in_this_version() -> None:
    assert (SERVER["version"], PACKAGE["version"]) == (__version__, __version__)
    assert (PACKAGE["registryType"], PACKAGE["identifier"]) == ("pypi", "swarmtally")
    assert PACKAGE["registryBaseUrl"] == "https://pypi.org"
    assert PACKAGE["transport"] == {"type": "stdio"}
    assert PACKAGE["packageArguments"] == [{"type": "positional", "value": "serve"}]


def test_the_readme_names_it_so_that_the_registry_finds_the_owner_on_pypi() -> None:
    assert f"<!-- mcp-name: {SERVER['name']} -->" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_is_one_that_the_server_reads_and_is_described(name: str) -> None:
    told = " ".join(
        parameter.help or ""
        for parameter in (*options.shared_options(), *serve.command.params)
        if isinstance(parameter, click.Option)
    )
    assert name in told
    assert VARIABLES[name].keys() <= {"name", "description", "format", "default", "choices"}
    assert VARIABLES[name]["description"]
    assert VARIABLES[name]["format"] in ("string", "number", "boolean", "filepath")
    assert isinstance(VARIABLES[name].get("default", ""), str)


def test_choices_are_those_of_the_command() -> None:
    assert VARIABLES["SWARMTALLY_LOG_LEVEL"]["choices"] == list(options.LEVELS)
    assert ", ".join(TOOLSETS) in VARIABLES["SWARMTALLY_TOOLSETS"]["description"]

"""The bundle for Claude Desktop: what it says of itself is so, and a host can start it."""

import json
import tomllib
from pathlib import Path

import click
import pytest
from release.artefacts import Unfit
from release.bundle import as_host, stage
from release.manifest import ASKED, EXTRAS, manifest

from swarmtally.cli import options, serve
from swarmtally.version import __version__
from swarmtally_tools import registry

ROOT = Path(__file__).parents[2]


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    wheel = tmp_path / f"swarmtally-{__version__}-py3-none-any.whl"
    wheel.write_bytes(b"")
    stage(wheel, tmp_path / "bundle")
    return tmp_path / "bundle"


def test_it_lists_every_tool_in_this_version() -> None:
    assert [tool["name"] for tool in manifest()["tools"]] == list(registry.MODULES)
    assert manifest()["version"] == __version__


def test_everything_it_names_is_in_it(staged: Path) -> None:
    told = json.loads((staged / "manifest.json").read_text())
    for name in (told["icon"], told["server"]["entry_point"], *(icon["src"] for icon in told["icons"])):
        assert (staged / name).is_file()
    needs = tomllib.loads((staged / "pyproject.toml").read_text())
    assert (staged / needs["tool"]["uv"]["sources"]["swarmtally"]["path"]).is_file()
    assert needs["project"]["dependencies"] == [f"swarmtally[{EXTRAS}]"]


def test_its_extras_and_its_pythons_are_those_of_the_package(staged: Path) -> None:
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS.split(",")) <= ours["optional-dependencies"].keys()
    needs = tomllib.loads((staged / "pyproject.toml").read_text())["project"]
    assert needs["requires-python"] == ours["requires-python"]
    assert manifest()["compatibility"]["runtimes"] == {"python": ours["requires-python"]}


def test_what_it_asks_for_is_what_the_server_reads() -> None:
    told = " ".join(
        parameter.help or ""
        for parameter in (*options.shared_options(), *serve.command.params)
        if isinstance(parameter, click.Option)
    )
    for name, (variable, _) in ASKED.items():
        assert variable in told or name.endswith("_api_key"), variable


def test_a_host_fills_every_placeholder_from_the_one_answer_that_is_required(staged: Path) -> None:
    command, variables = as_host(staged, {"project": "/work/shop"})
    assert command == ["uv", "run", "--directory", str(staged), "start.py", "serve"]
    assert variables["SWARMTALLY_PROJECT"] == variables["SWARMTALLY_ALLOW"] == "/work/shop"
    assert (variables["SWARMTALLY_READ_ONLY"], variables["SWARMTALLY_MODEL"]) == ("false", "")


def test_a_question_that_must_be_answered_has_no_default(staged: Path) -> None:
    with pytest.raises(Unfit, match="nothing fills"):
        as_host(staged, {})
    for _, asked in ASKED.values():
        assert ("default" in asked) != asked["required"]


def test_keys_are_asked_for_as_secrets() -> None:
    for name, (_, asked) in ASKED.items():
        assert asked.get("sensitive", False) == name.endswith("_api_key")

"""The command of a tool, with a tool of the test's own where ours have no such argument."""

import json
import os
from typing import Annotated

import anyio.to_thread
import pytest
from pydantic import Field

from swarmtally.app import App
from swarmtally.cli.tool_command import tool_command
from swarmtally.core import progress
from swarmtally_tools.definition import View, tool
from tests.cli.conftest import Shell


class Echo(View):
    loud: bool
    """Whether it was asked for."""
    settings: dict[str, int]


@tool(title="Echo")
async def echo(
    app: App,
    settings: Annotated[dict[str, int], Field(description="Any settings")],
    loud: Annotated[bool, Field(description="Whether to be loud")] = False,
) -> Echo:
    """Say it again, and print what nobody asked for."""
    print("a library's banner")
    await anyio.to_thread.run_sync(os.write, 1, b"an extension's banner\n")
    await progress.report(1, None, "halfway")
    return Echo(loud=loud, settings=settings)


@pytest.mark.parametrize(("flags", "loud"), [((), False), (("--loud",), True), (("--no-loud",), False)])
def test_a_flag_and_an_object(capfd: pytest.CaptureFixture[str], flags: tuple[str, ...], loud: bool) -> None:
    command = tool_command(echo)
    assert command.main(["--settings", '{"a": 1}', *flags], standalone_mode=False) == 0
    captured = capfd.readouterr()
    assert json.loads(captured.out) == {"loud": loud, "settings": {"a": 1}}


def test_what_a_library_prints_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    tool_command(echo).main(["--settings", "{}"], standalone_mode=False)
    captured = capfd.readouterr()
    assert captured.err == "a library's banner\nan extension's banner\n"


def test_the_help_says_what_is_required() -> None:
    command = tool_command(echo)
    text = command.get_help(command.make_context("echo", [], resilient_parsing=True))
    assert "--settings JSON" in text
    assert "[required]" in text
    assert "--loud / --no-loud" in text


def test_every_action_of_memory_usage_works_in_the_shell(shell: Shell) -> None:
    def memory(action: str, *arguments: str) -> dict[str, object]:
        document: dict[str, object] = shell("mcp", "memory_usage", "--action", action, *arguments).document
        return document

    memory("store", "--key", "a/1", "--value", "one", "--tags", "x,y", "--tags", "z", "--ttl", "60")
    memory("store", "--key", "a/2", "--value", "[2]")
    assert memory("retrieve", "--key", "a/1")["tags"] == ["x", "y", "z"]
    assert memory("list")["total"] == 2
    assert memory("search", "--key", "a/*")["total"] == 2
    memory("delete", "--key", "a/2", "--if-version", "1")
    stats = memory("stats")["stats"]
    assert isinstance(stats, dict)
    assert stats["entries"] == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--action", "stats", "--key", "k"), "action stats takes no key; leave it out"),
        (("--action", "retrieve"), "action retrieve needs a key"),
        (("--action", "store", "--key", "k"), "action store needs a value"),
        (("--action", "store", "--key", "k", "--value", "v", "--if-version", "3"), "does not exist, not at version 3"),
    ],
)
def test_memory_usage_refuses_what_the_action_does_not_take(
    shell: Shell, arguments: tuple[str, ...], line: str
) -> None:
    assert line in shell("mcp", "memory_usage", *arguments).complaint

"""The examples of the tools' pages, one after the other in a new project, as they stand there: in a shell, over MCP."""

import json
import shlex
from pathlib import Path

import anyio

from swarmtally_tools import pages, registry
from tests.backends.wire import OpenAIWire
from tests.cli.conftest import Shell
from tests.docs.blocks import ROOT, blocks
from tests.mcp.conftest import Mode, in_memory
from tests.mcp.test_host_work import call


def example(tool: str, language: str) -> str:
    (block,) = blocks(ROOT / "docs" / "tools" / f"{tool}.md", language)
    return block.text


def test_the_examples_run_and_give_what_they_say(shell: Shell, wire: OpenAIWire) -> None:
    known = {}
    for name in registry.MODULES:
        if name == "work_claim":
            hosted = shell("sparc", "batch", "coder", "Login,Logout,Sign-up,Profile", "--model", "host").document
            packet = hosted["packets"][0]
            known = {pages.RUN_ID: hosted["run_id"], pages.TASK_ID: packet["task_id"], pages.LEASE: packet["lease"]}
        program, *arguments = shlex.split(example(name, "sh"))
        assert program == "swarmtally"
        result = shell(*(known.get(word, word) for word in arguments))
        assert result.status == 0, result
        assert isinstance(json.loads(result.out), dict)
    ended = shell("runs", "show", known[pages.RUN_ID]).document
    assert (ended["status"], ended["tasks"]["succeeded"], ended["tasks"]["cancelled"]) == ("cancelled", 1, 3)
    found = shell("mcp", "memory_usage", "--action", "retrieve", "--key", "project_context").document
    assert (found["value"], found["tags"]) == ({"language": "Python"}, ["context"])


async def test_the_examples_over_mcp_are_calls_that_succeed(tmp_path: Path, mode: Mode) -> None:
    known: dict[str, str] = {}
    project = tmp_path / "my-project"
    await anyio.Path(project, ".git").mkdir(parents=True)
    async with in_memory(project, mode) as client:
        for name in registry.MODULES:
            if name == "work_claim":
                hosted = await call(client, "sparc_batch", modes=["coder"], tasks=["Login", "Logout"])
                packet = hosted["packets"][0]
                known = {pages.RUN_ID: hosted["run_id"], pages.TASK_ID: packet["task_id"], pages.LEASE: packet["lease"]}
            asked = json.loads(example(name, "json"))
            assert asked["name"] == name
            await call(client, name, **{key: known.get(str(value), value) for key, value in asked["arguments"].items()})

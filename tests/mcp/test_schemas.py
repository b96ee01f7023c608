"""What the tools' schemas say of arguments is what the tools do with them."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mcp import Client
from swarmtally_tools import registry
from tests.mcp.conftest import in_memory, text_of, told
from tests.mcp.generated import arguments, wrong_arguments

EXAMPLES = int(os.environ.get("SWARMTALLY_EXAMPLES", "0"))
"""How many to make for each tool; unless given, few, and the same each time."""

SCHEMAS = {tool.name: tool.input_schema for tool in registry.load_all()}

AT_ONCE: Mapping[str, Any] = {"wait_s": 0, "duration": 0, "out_dir": None}
"""Arguments that would make a call wait, or write beside the test's own folder."""

pytestmark = pytest.mark.timeout(120 + 24 * EXAMPLES)

generating = settings(
    max_examples=EXAMPLES or 2,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class Server:
    """A server with a swarm, in another thread: hypothesis runs tests that are not async."""

    def __init__(self, portal: BlockingPortal, client: Client) -> None:
        self._portal = portal
        self._client = client

    def call(self, tool: str, given: Mapping[str, Any]) -> Any:
        return self._portal.call(self._client.call_tool, tool, dict(given))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(in_memory(tmp_path)) as client:
        server = Server(portal, client)
        server.call("swarm_init", {"max_agents": 4})
        server.call("agent_spawn", {"type": "coder"})
        yield server


def at_once(tool: str, made: dict[str, Any]) -> dict[str, Any]:
    return made | {name: value for name, value in AT_ONCE.items() if name in SCHEMAS[tool]["properties"]}


def test_arguments_the_schema_allows_never_meet_an_internal_error(server: Server) -> None:
    @generating
    @given(data=st.data())
    def never(tool: str, data: st.DataObject) -> None:
        made = data.draw(arguments(SCHEMAS[tool]))
        Draft202012Validator(SCHEMAS[tool]).validate(made)
        result = server.call(tool, at_once(tool, made))
        if result.is_error:
            assert "internal error" not in told(result)
            assert len(text_of(result)) < 1_000

    for tool in SCHEMAS:
        never(tool)


def test_arguments_the_schema_refuses_are_refused_in_one_line_that_names_them(server: Server) -> None:
    @generating
    @given(data=st.data())
    def refused(tool: str, data: st.DataObject) -> None:
        name, made = data.draw(wrong_arguments(SCHEMAS[tool]))
        line = told(server.call(tool, made))
        assert "internal error" not in line
        assert name in line
        assert len(line) < 1_000

    for tool in SCHEMAS:
        refused(tool)

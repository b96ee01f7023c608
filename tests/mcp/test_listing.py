"""What a client sees before it calls anything."""

import json
from pathlib import Path
from typing import Any

from mcp_types import Tool
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from swarmtally.mcp.instructions import instructions
from swarmtally.version import __version__
from swarmtally_tools import registry
from swarmtally_tools.toolsets import Offer
from tests.mcp.conftest import Mode, connected, in_memory

TOKENS = 6_500
"""What names, descriptions and input schemas may take together."""


async def listed(place: Path) -> list[Tool]:
    async with in_memory(place) as client:
        return (await client.list_tools()).tools


def properties(schema: Any) -> list[dict[str, Any]]:
    """Every property of a schema, however deep."""
    if isinstance(schema, list):
        return [found for item in schema for found in properties(item)]
    if not isinstance(schema, dict):
        return []
    own = list(schema.get("properties", {}).values())
    return own + [found for value in schema.values() for found in properties(value)]


async def test_every_tool_is_listed_in_both_eras(tmp_path: Path, mode: Mode) -> None:
    async with connected(tmp_path, mode) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == list(registry.MODULES)


async def test_each_tool_has_a_title_a_short_description_and_all_annotations(tmp_path: Path) -> None:
    for tool in await listed(tmp_path):
        assert tool.title
        assert tool.description
        assert len(tool.description) <= 400
        hints = tool.annotations
        assert hints is not None
        assert None not in (
            hints.read_only_hint,
            hints.destructive_hint,
            hints.idempotent_hint,
            hints.open_world_hint,
        )


async def test_annotations_say_what_the_definitions_say(tmp_path: Path) -> None:
    hints = {tool.name: tool.annotations for tool in await listed(tmp_path)}
    search, memory, run = hints["memory_search"], hints["memory_usage"], hints["sparc_run"]
    assert search is not None
    assert memory is not None
    assert run is not None
    assert (search.read_only_hint, search.idempotent_hint) == (True, True)
    assert (memory.read_only_hint, memory.destructive_hint) == (False, True)
    assert run.open_world_hint is True


async def test_schemas_are_plain(tmp_path: Path) -> None:
    for tool in await listed(tmp_path):
        for schema in (tool.input_schema, tool.output_schema):
            assert schema is not None
            assert schema["type"] == "object"
            assert "$ref" not in json.dumps(schema)
            assert not [found for found in (schema, *properties(schema)) if isinstance(found.get("title"), str)]


async def test_the_list_leaves_room_in_a_model_s_context(tmp_path: Path) -> None:
    parts = [[tool.name, tool.description, tool.input_schema] for tool in await listed(tmp_path)]
    # The embedded model's tokenizer makes a token of 3.6 bytes of it, and larger vocabularies of more.
    assert len(json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()) / 3.5 <= TOKENS


async def test_the_server_says_who_it_is_and_how_to_begin(tmp_path: Path, mode: Mode) -> None:
    async with connected(tmp_path, mode) as client:
        assert client.server_info is not None
        assert (client.server_info.name, client.server_info.version) == ("swarmtally", __version__)
        assert client.instructions == instructions(Offer())


async def test_discovery_names_the_versions_of_both_eras(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        discovered = client.session.discover_result
        assert discovered is not None
        assert set(discovered.supported_versions) == {*HANDSHAKE_PROTOCOL_VERSIONS, *MODERN_PROTOCOL_VERSIONS}


async def test_both_eras_are_spoken(tmp_path: Path) -> None:
    versions = []
    for mode in ("legacy", "auto"):
        async with connected(tmp_path, mode) as client:
            versions.append(client.protocol_version)
    assert versions[0] < "2026" <= versions[1]

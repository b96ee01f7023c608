"""The registry names every tool and the module it lives in, and all of them keep the limits that hold for all."""

import json
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from benchmarks.embedded_tokenizer import embedded_counter

import swarmtally_tools
from swarmtally.backends.gguf import PulledModel
from swarmtally.domain.errors import InvalidInput
from swarmtally_tools import registry
from swarmtally_tools.definition import DESCRIPTION_LIMIT, Tool


def test_the_registry_agrees_with_the_modules() -> None:
    names = [module.name for module in pkgutil.iter_modules(swarmtally_tools.__path__)]
    found = {
        tool.name: name for name in names for tool in getattr(import_module(f"swarmtally_tools.{name}"), "TOOLS", ())
    }
    assert found == registry.MODULES


def test_an_unknown_tool_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidInput, match="no tool 'swarm_inti'; did you mean 'swarm_init'"):
        registry.load("swarm_inti")


def test_without_a_near_one_all_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"no tool 'zzz'; it takes swarm_init, agent_spawn"):
        registry.load("zzz")


@pytest.mark.parametrize("tool", registry.load_all(), ids=lambda tool: tool.name)
def test_a_tool_is_described_within_its_limits(tool: Tool) -> None:
    assert tool.title
    assert 0 < len(tool.description) <= DESCRIPTION_LIMIT
    assert not (tool.read_only and tool.destructive)
    schema = tool.input_schema
    assert schema["additionalProperties"] is False
    assert all(field.get("description") for field in schema["properties"].values())
    for text in (json.dumps(schema), json.dumps(tool.output_schema)):
        assert "$ref" not in text
        assert '"title": "' not in text


def test_all_definitions_together_leave_a_context_free(pulled: PulledModel) -> None:
    tools = registry.load_all()
    assert len(tools) <= 25
    parts = [[tool.name, tool.description, tool.input_schema] for tool in tools]
    # As they are sent. Larger models have larger vocabularies, and need fewer tokens than this one.
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    with embedded_counter(pulled.path) as count:
        assert count(text) <= 6_500


def test_every_property_of_every_result_is_described() -> None:
    def undescribed(schema: dict[str, Any], place: str) -> Iterator[str]:
        for name, property_ in schema.get("properties", {}).items():
            if "description" not in property_:
                yield f"{place}.{name}"
            for part in (property_, property_.get("items", {}), *property_.get("anyOf", ())):
                yield from undescribed(part, f"{place}.{name}")
                yield from undescribed(part.get("items", {}) if isinstance(part, dict) else {}, f"{place}.{name}")

    for tool in registry.load_all():
        assert list(undescribed(tool.output_schema, tool.name)) == []

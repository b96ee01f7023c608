"""Answers that name many things stay below what clients put before a model, and their pages lead to the rest."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from mcp import Client
from tests.mcp.conftest import answered, in_memory, text_of, told
from tests.mcp.test_host_work import call


async def measured(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The answer, when its text is all of it."""
    result = await client.call_tool(tool, arguments)
    assert json.loads(text_of(result)) == answered(result), "a larger answer's text would be its beginning only"
    return answered(result)


async def test_an_answer_names_no_more_new_agents_than_fit(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        await call(client, "swarm_init", topology="mesh", max_agents=1_000)
        spawned = await measured(client, "agent_spawn", type="coder", count=1_000)
        assert (spawned["spawned"], spawned["size"]) == (1_000, 1_000)
        assert 10 < len(spawned["agents"]) < 100
        assert {len(agent["neighbours"]) for agent in spawned["agents"]} == {100}
        refused = await client.call_tool("agent_spawn", {"type": "coder", "count": 9_001})
        assert told(refused).endswith("no swarm holds more than 10000: ask for fewer, or make another with swarm_init")
        one = await measured(client, "swarm_scale", target_size=1)
        assert one["size"] == 1
        talkers = ["x" * 199 + str(number) for number in range(10)]
        wordy = await measured(client, "agent_spawn", type="x" * 200, capabilities=talkers, count=100)
        assert wordy["spawned"] == 100


@pytest.mark.parametrize("strategy", ["balanced", "specialized"])
async def test_scaling_names_the_most_common_roles_that_fit(tmp_path: Path, strategy: str) -> None:
    async with in_memory(tmp_path) as client:
        await call(client, "swarm_init", max_agents=500, strategy=strategy)
        for number in range(300):
            await call(client, "agent_spawn", type=f"{number:03}" + "漢" * 197, count=1 + (number == 299))
        fixed = await measured(client, "swarm_scale", target_size=301)
        roles = list(fixed["roles"].items())
        assert (roles[0][0][:3], roles[0][1]) == ("299", 2)
        assert 10 < len(roles) < 300
        assert fixed["reasons"]["roles"] == f"the {len(roles)} most common of 300 roles fit"
        adaptive = await measured(client, "swarm_scale", target_size=301, strategy="adaptive")
        assert adaptive["roles"] == fixed["roles"]
        assert "roles" in adaptive["reasons"]
        assert len(adaptive["needs"]) > 5 or strategy == "balanced"


async def test_the_pages_of_a_search_fit_and_lead_to_every_entry(tmp_path: Path) -> None:
    tags = [f"{number:02}" + "é" * 98 for number in range(20)]
    async with in_memory(tmp_path) as client:
        for number in range(40):
            await call(
                client, "memory_usage", action="store", key=f"k{number:02}" + "k" * 500, value="apple", tags=tags
            )
        for pattern in ("k*", "apple"):
            page = await measured(client, "memory_search", pattern=pattern, limit=1_000)
            assert page["total"] == 40
            found = [entry["key"] for entry in page["entries"]]
            while page["next_cursor"] is not None:
                page = await measured(client, "memory_search", pattern=pattern, limit=1_000, cursor=page["next_cursor"])
                found += [entry["key"] for entry in page["entries"]]
            assert len(found) == len(set(found)) == 40
        listed = await measured(client, "memory_usage", action="list")
        assert (listed["total"], listed["next_step"]) == (40, "There is more: page on with memory_search.")


async def test_the_cursor_after_a_long_key_is_taken(tmp_path: Path) -> None:
    draw = random.Random(0)

    def words(count: int) -> str:
        return "".join(chr(draw.randrange(0x4E00, 0x9F00)) for _ in range(count))

    async with in_memory(tmp_path) as client:
        namespace = words(512)
        keys = sorted(f"k{words(511)}" for _ in range(3))
        for key in keys:
            await call(client, "memory_usage", action="store", namespace=namespace, key=key, value=1)
        found, cursor = [], None
        while not found or cursor is not None:
            page = await measured(client, "memory_search", pattern="k*", limit=1, cursor=cursor)
            found += [entry["key"] for entry in page["entries"]]
            cursor = page["next_cursor"]
        assert found == keys

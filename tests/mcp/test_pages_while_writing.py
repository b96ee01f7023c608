"""Who pages through memory while others write, delete and replace: what was there throughout comes once."""

from pathlib import Path
from random import Random

import pytest

from tests.mcp.conftest import in_memory
from tests.mcp.test_host_work import call


@pytest.mark.parametrize("pattern", ["k*", "*k*", "apple"])
async def test_pages_neither_lose_nor_repeat_what_was_there_throughout(tmp_path: Path, pattern: str) -> None:
    draw = Random(5)

    async with in_memory(tmp_path) as client:

        async def store(key: str) -> None:
            value = " ".join(["apple"] * draw.randint(1, 9) + ["pear"] * draw.randint(0, 9))
            await call(client, "memory_usage", action="store", key=key, value=value)

        stays = [f"k{number:03}" for number in range(0, 60, 2)]
        passing = [f"k{number:03}" for number in range(1, 60, 2)]
        for key in [*stays, *passing]:
            await store(key)
        page = await call(client, "memory_search", pattern=pattern, limit=7)
        found = [entry["key"] for entry in page["entries"]]
        while page["next_cursor"] is not None:
            for key in draw.sample(passing, 4):
                await call(client, "memory_usage", action="delete", key=key)
                passing.remove(key)
            for _ in range(3):
                await store(f"k{draw.randrange(61, 999, 2):03}a")
            page = await call(client, "memory_search", pattern=pattern, limit=7, cursor=page["next_cursor"])
            found += [entry["key"] for entry in page["entries"]]
            if len(passing) < 8:
                passing += [f"k{number:03}b" for number in range(40)]
                for key in passing[-40:]:
                    await store(key)
                break
        while page["next_cursor"] is not None:
            page = await call(client, "memory_search", pattern=pattern, limit=7, cursor=page["next_cursor"])
            found += [entry["key"] for entry in page["entries"]]
        assert len(found) == len(set(found))
        assert set(stays) <= set(found)

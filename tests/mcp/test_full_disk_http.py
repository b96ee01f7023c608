"""A small disk that is full, under several HTTP clients."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio

from mcp import Client
from swarmtally_tools import registry
from tests.faults.weather import small_disk
from tests.mcp.conftest import answered, told
from tests.mcp.http_harness import HttpServer, client_of
from tests.mcp.test_odd_arguments import BELONGS

CLIENTS = 6

FULL = "could not be written: the disk is full; free space and try again"


def entry(name: str, size: int) -> dict[str, Any]:
    return {"action": "store", "namespace": "n", "key": name, "value": "x" * size}


async def store_until_refused(client: Client, name: str, kept: set[str]) -> str:
    number, size = 0, 400_000
    while True:
        key = f"{name}_{number}"
        result = await client.call_tool("memory_usage", entry(key, size))
        if result.is_error:
            if size == 10:
                return told(result)
            size = 10
        else:
            answered(result)
            kept.add(key)
            number += 1


async def test_each_client_is_told_of_a_full_disk_and_all_go_on_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        server = HttpServer(tmp_path / "disk", "--transport", "http")
        try:
            async with AsyncExitStack() as stack:
                url = server.url
                clients = [await stack.enter_async_context(client_of(url, "auto")) for _ in range(CLIENTS)]
                answered(await clients[0].call_tool("swarm_init", {"max_agents": 9}))
                disk.fill(2_000_000, server.process.pid)
                kept: set[str] = set()
                lines: list[str] = []

                async def fill(number: int) -> None:
                    lines.append(await store_until_refused(clients[number], f"c{number}", kept))

                async with anyio.create_task_group() as group:
                    for number in range(CLIENTS):
                        group.start_soon(fill, number)
                assert all(line.endswith(FULL) for line in lines)
                for tool in registry.load_all():
                    result = await clients[1].call_tool(tool.name, BELONGS.get(tool.name, {}))
                    if tool.read_only:
                        assert not result.is_error or FULL not in told(result), tool.name
                    elif result.is_error:
                        assert "internal error" not in told(result), tool.name
                disk.free(server.process.pid)
                for number, client in enumerate(clients):
                    answered(await client.call_tool("memory_usage", entry(f"after{number}", 10)))
                found, cursor = set(), None
                while not found or cursor:
                    arguments = {"pattern": "c*", "namespace": "n", "limit": 1_000, "cursor": cursor}
                    page = answered(await clients[0].call_tool("memory_search", arguments))
                    found |= {each["key"] for each in page["entries"]}
                    cursor = page["next_cursor"]
                assert found == kept
        finally:
            server.clean_up()

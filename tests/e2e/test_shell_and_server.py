"""The shell and a running server see the same entries at once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import anyio
import anyio.to_thread

from mcp import Client, StdioServerParameters

PROGRAM = str(Path(sys.executable).with_name("swarmtally"))


def shell(place: Path, *arguments: str) -> dict[str, object]:
    command = [PROGRAM, "mcp", "memory_usage", *arguments, "--db", str(place / "swarm.db"), "--project", "p"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


async def test_an_entry_stored_by_one_is_seen_by_the_other_at_once(tmp_path: Path) -> None:
    server = StdioServerParameters(
        command=PROGRAM, args=["serve", "--db", str(tmp_path / "swarm.db"), "--project", "p"], env=dict(os.environ)
    )
    with anyio.fail_after(60):
        async with Client(server) as client:
            await client.call_tool("memory_usage", {"action": "store", "key": "by_server", "value": {"n": 1}})
            seen = await anyio.to_thread.run_sync(shell, tmp_path, "--action", "retrieve", "--key", "by_server")
            assert seen["value"] == {"n": 1}
            await anyio.to_thread.run_sync(shell, tmp_path, "--action", "store", "--key", "by_shell", "--value", "text")
            result = await client.call_tool("memory_usage", {"action": "retrieve", "key": "by_shell"})
            assert result.structured_content is not None
            assert result.structured_content["value"] == "text"

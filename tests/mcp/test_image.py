"""The Dockerfile, as far as it can be tried without a daemon."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import anyio.to_thread

from swarmtally.mcp.listening import Listening
from tests.mcp.http_harness import WAIT_S, served

DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"
IMAGE = DOCKERFILE.read_text().rpartition("\nFROM ")[2].replace("\\\n", " ")


def healthy(port: int) -> bool:
    """What the image's health check finds there."""
    found = re.search(r"^HEALTHCHECK .* CMD (\[.*\])$", IMAGE, re.MULTILINE)
    assert found
    python, *arguments = json.loads(found[1])
    assert python == "python"
    environ = {**os.environ, "SWARMTALLY_PORT": str(port), "http_proxy": "http://127.0.0.1:1"}
    done = subprocess.run([sys.executable, *arguments], env=environ, capture_output=True, timeout=WAIT_S, check=False)
    return done.returncode == 0


async def test_the_image_is_healthy_while_the_server_works(tmp_path: Path) -> None:
    async def check(listening: Listening) -> bool:
        return await anyio.to_thread.run_sync(healthy, listening.access.port)

    async with served(tmp_path) as listening:
        assert await check(listening)
    assert not await check(listening)
    await anyio.Path(tmp_path / "swarm.db").write_bytes(b"no database at all " * 100)
    async with served(tmp_path) as listening:
        assert not await check(listening)


def test_the_image_does_not_run_as_root_and_keeps_its_data_in_the_volume() -> None:
    (user,) = re.findall(r"^USER (\d+):(\d+)$", IMAGE, re.MULTILINE)
    assert "0" not in user
    environ = dict(re.findall(r"(\w+)=(\S+)", re.findall(r"^ENV (.*)$", IMAGE, re.MULTILINE)[0]))
    assert {environ["HOME"], environ["XDG_DATA_HOME"], environ["SWARMTALLY_ALLOW"]} == {"/data"}
    assert "VOLUME /data" in IMAGE
    assert "SWARMTALLY_TOKEN=" not in DOCKERFILE.read_text()

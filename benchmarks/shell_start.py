"""One memory command in the shell, beside importing the MCP SDK's server (limit: half of it)."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def run(smoke: bool) -> list[str]:
    rounds = 3 if smoke else 15
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "SWARMTALLY_DB": str(Path(folder, "swarm.db"))}
        program = str(Path(sys.executable).with_name("swarmtally"))
        store = [program, "mcp", "memory_usage", "--action", "store", "--key", "k", "--value", "v"]
        for _ in range(rounds + 1):
            ours.append(_seconds(store, environment))
            theirs.append(_seconds([sys.executable, "-c", "import mcp.server"], environment))
    mine, sdk = statistics.median(ours[1:]), statistics.median(theirs[1:])
    return [
        f"memory_usage store in the shell  {mine * 1e3:7.0f} ms",
        f"python -c 'import mcp.server'    {sdk * 1e3:7.0f} ms",
        f"ratio                            {mine / sdk:7.2f}    (limit 0.50)",
    ]


def _seconds(command: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started

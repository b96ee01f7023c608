"""A child of test_many_processes: waits for the start, stores its share, reports how long that took."""

import asyncio
import sys
import time
from pathlib import Path

from swarmtally.core.memory import Memory
from swarmtally.domain.clock import SystemClock
from swarmtally.store.database import open_database


async def main(path: str, name: str, count: int) -> None:
    async with open_database(Path(path), SystemClock()) as database:
        memory = Memory(database, SystemClock())
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        started = time.monotonic()
        for number in range(count):
            await memory.store("p", "n", f"{name}-{number}", number)
        print(time.monotonic() - started, flush=True)


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))

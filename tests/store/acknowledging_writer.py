"""A child of test_durability: writes at full speed and says each row on stdout once it is acknowledged."""

import asyncio
import itertools
import os
import sys
from pathlib import Path

from swarmtally.core.memory import Memory
from swarmtally.domain.clock import SystemClock
from swarmtally.store.database import open_database


async def main() -> None:
    async with open_database(Path(sys.argv[1]), SystemClock()) as database:
        memory = Memory(database, SystemClock())
        numbers = itertools.count()

        async def write() -> None:
            for number in numbers:
                key = f"{sys.argv[2]}-{number}"
                await memory.store("p", "n", key, {"number": number})
                # Straight to the pipe: what a buffer holds would be lost with the process, unseen.
                os.write(1, f"{key}\n".encode())

        await asyncio.gather(*(write() for _ in range(20)))


asyncio.run(main())

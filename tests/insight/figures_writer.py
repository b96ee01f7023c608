"""A child of tests/tools/test_performance.py: executes runs, some of whose tasks fail, and measures some."""

import sys
from pathlib import Path

import anyio

from swarmtally.core.bookkeeping import Bookkeeper
from swarmtally.domain.clock import SystemClock
from swarmtally.domain.errors import BackendFailure
from swarmtally.domain.retention import Retention
from tests.core.harness import Answer, ScriptedBackend, swarmed, task

PROJECT = "written"

RUNS = 10


def script(key: str, asked: int) -> Answer:
    if key == "t3":
        return BackendFailure("no", transient=False)
    if key == "t5" and asked % 2 == 0:
        return BackendFailure("busy", transient=True)
    return "done"


async def main(path: Path, name: str) -> None:
    async with swarmed(path.parent, ScriptedBackend(script), project=PROJECT) as swarm:
        books = Bookkeeper(swarm.database, SystemClock(), Retention())
        for number in range(RUNS):
            run_id = await swarm.start(*(task(f"t{each}", *(["t0"] if each == 7 else [])) for each in range(8)))
            await swarm.runs.wait(run_id, None)
            if number % 3 == 0:
                await books.measure_ended()


anyio.run(main, Path(sys.argv[1]), sys.argv[2]) if __name__ == "__main__" else None

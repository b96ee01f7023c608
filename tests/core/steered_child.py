"""A process that executes runs and does what it is told, line by line.

usage: python -m tests.core.steered_child FOLDER SEED. Each line on standard input is a JSON array, a command and what
it takes; the answer is one line too: `done`, or the error that refused it.
"""

import json
import random
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import structlog

from swarmtally.core.ports import Prompt, Reply
from swarmtally.domain.errors import BackendFailure, NoSwarm, SwarmError
from tests.core.harness import ScriptedBackend, Swarmed, swarmed, task


class MoodyBackend(ScriptedBackend):
    """A model that takes up to 30 ms, is busy at times and refuses at others."""

    def __init__(self, seed: int) -> None:
        super().__init__(max_parallel=3)
        self.random = random.Random(seed)

    async def execute(self, prompt: Prompt) -> Reply:
        await anyio.sleep(self.random.uniform(0, 0.03))
        mood = self.random.random()
        if mood < 0.15:
            raise BackendFailure("moody", transient=mood < 0.1)
        return await super().execute(prompt)


def a_plan(seed: int) -> list[Any]:
    draw = random.Random(seed)
    keys = [f"k{number}" for number in range(draw.randint(1, 8))]
    return [
        task(key, *draw.sample(keys[:at], min(at, draw.randint(0, 2))), tolerates_failure=draw.random() < 0.3)
        for at, key in enumerate(keys)
    ]


async def obey(swarm: Swarmed, command: str, given: Any) -> None:
    match command:
        case "start":
            await swarm.start(*a_plan(given))
        case "cancel" | "pause" | "resume" | "retry":
            found = await swarm.runs.newest(100)
            await getattr(swarm.runs, command)(found[given % len(found)][0].run_id)
        case "scale":
            await swarm.swarms.scale(given, None, None)
        case "spawn":
            await swarm.swarms.spawn("coder", None, (), given + 1, None)
        case "adopt":
            run = (await swarm.runs.newest(1))[0][0]
            await swarm.runs.adopt(run.backend)
        case "settle":
            await settle(swarm)


async def settle(swarm: Swarmed) -> None:
    """See every run to its end, whoever executes it."""
    while unfinished := [run for run, _, _ in await swarm.runs.newest(1000) if not run.status.final]:
        for run in unfinished:
            with suppress(SwarmError):  # it ended, or another process has it
                await swarm.runs.resume(run.run_id)
            await swarm.runs.wait(run.run_id, 1)


async def main(folder: Path, seed: int) -> None:
    async with swarmed(folder, MoodyBackend(seed)) as swarm:
        try:
            await swarm.swarms.find(None)
        except NoSwarm:
            await swarm.init(max_agents=3)
        print("ready", flush=True)  # stdout is for the answers alone
        while line := await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            try:
                await obey(swarm, *json.loads(line))
            except SwarmError as error:
                print(error, flush=True)
            else:
                print("done", flush=True)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    anyio.run(main, Path(sys.argv[1]), int(sys.argv[2]))

"""A process that starts a run of 40 tasks and is killed by the test that started it.

usage: python -m tests.core.child FOLDER [BUDGET_TOKENS]. Each line on its standard input lets one call be answered. It
prints `run RUN_ID` once, `ended N` whenever the database has acknowledged that N tasks have ended, and `calls N`
whenever N calls are under way.
"""

import sys
from pathlib import Path

import anyio
import anyio.to_thread

from swarmtally.core.ports import Prompt, Reply
from swarmtally.core.run_states import Progress
from swarmtally.domain.budget import Budget
from tests.core.harness import ScriptedBackend, forty_tasks, swarmed


class AskingBackend(ScriptedBackend):
    """Answers a call for each line it reads."""

    async def execute(self, prompt: Prompt) -> Reply:
        self.at_once += 1
        print(f"calls {self.at_once}", flush=True)
        try:
            await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
        finally:
            self.at_once -= 1
        return await super().execute(prompt)


async def tell(progress: Progress) -> None:
    print(f"ended {progress.ended}", flush=True)


async def main(folder: Path, budget: Budget) -> None:
    async with swarmed(folder, AskingBackend()) as swarm:
        run_id = await swarm.start(*forty_tasks(), budget=budget)
        print(f"run {run_id}", flush=True)
        await swarm.runs.wait(run_id, None, tell)


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), Budget(*map(int, sys.argv[2:])))

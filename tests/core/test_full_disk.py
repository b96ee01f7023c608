"""A database that cannot grow any more, as on a full disk."""

from pathlib import Path

import anyio
import anyio.lowlevel

from swarmtally.core.ports import Prompt, Reply
from swarmtally.domain.task import TaskStatus
from tests.core.harness import ScriptedBackend, Swarmed, swarmed, task


class StubbornBackend(ScriptedBackend):
    """Its call of `late` cannot be cancelled any more, as when the answer has just come; others answer at length."""

    async def execute(self, prompt: Prompt) -> Reply:
        if prompt.parts[-1] != "late":
            await self.met.wait()
            return Reply("long " * 20_000, self.usage)
        assert self.gate is not None
        with anyio.CancelScope(shield=True):
            self.met.set()
            await self.gate.wait()
        return Reply("done", self.usage)


async def pages(swarm: Swarmed, most: int) -> None:
    """Let the database have so many pages, or those that it has."""
    await swarm.database.write(lambda tx: tx.rows(f"PRAGMA max_page_count = {most}"))


async def test_what_an_answer_cost_that_came_after_the_disk_was_full_is_recorded(tmp_path: Path) -> None:
    backend = StubbornBackend(gate=anyio.Event(), max_parallel=2)
    async with swarmed(tmp_path, backend) as swarm:
        await pages(swarm, 1)
        run_id = await swarm.start(task("late"), task("long"))
        with anyio.fail_after(10):
            while swarm.scheduler.holds(run_id):
                await anyio.lowlevel.checkpoint()
            await pages(swarm, 1 << 20)
            backend.gate.set()
            while not await swarm.rows("SELECT 1 FROM usage WHERE status = 'reported'"):
                await anyio.lowlevel.checkpoint()
        late = (await swarm.tasks(run_id))["late"]
        (call,) = await swarm.rows(f"SELECT * FROM usage WHERE task_id = '{late.task_id}'")
        assert (call["status"], call["input_tokens"], call["output_tokens"]) == ("reported", 10, 5)
        assert late.status is TaskStatus.RUNNING, "whoever resumes the run does it again"


async def test_a_run_let_go_of_because_the_disk_was_full_goes_on_in_the_same_process_at_once(tmp_path: Path) -> None:
    backend = StubbornBackend(max_parallel=2)
    backend.met.set()
    async with swarmed(tmp_path, backend) as swarm:
        await pages(swarm, 1)
        run_id = await swarm.start(task("long"))
        with anyio.fail_after(10):
            while swarm.scheduler.holds(run_id):
                await anyio.lowlevel.checkpoint()
            await pages(swarm, 1 << 20)
            await swarm.runs.resume(run_id)
            assert (await swarm.runs.wait(run_id, None)).status == "succeeded"

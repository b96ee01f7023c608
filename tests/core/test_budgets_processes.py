"""Two real processes spend one budget at once."""

import subprocess
import sys
from pathlib import Path

import anyio
import anyio.to_thread

from swarmtally.domain.budget import Budget
from tests.core.harness import ScriptedBackend, swarmed, task
from tests.core.spender import HELD, SPENT

BUDGET = 3_000


async def test_two_processes_at_once_pass_no_budget(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(gate=anyio.Event(), together=2)) as swarm:
        run_id = await swarm.start(task("a"), task("b"), budget=Budget(BUDGET))
        await swarm.backend.met.wait()
        attempts = await swarm.rows("SELECT task_id FROM attempt WHERE status = 'running'")
        made = await anyio.to_thread.run_sync(both, tmp_path / "swarm.db", [row["task_id"] for row in attempts])
        spending = (await swarm.runs.show(run_id)).account.spending
        assert min(made) > 0
        assert spending.spent_tokens == sum(made) * SPENT
        # Both ended because the next call did not fit beside what is spent, held here, and held by the other.
        assert BUDGET - 2 * HELD < spending.tokens <= BUDGET


def both(path: Path, task_ids: list[str]) -> list[int]:
    """How many calls each of the two made."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.core.spender", str(path), task_id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for task_id in task_ids
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [int(process.communicate(timeout=60)[0]) for process in processes]

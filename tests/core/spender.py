"""A process that makes calls of one attempt until the run's budget has no room for another.

usage: python -m tests.core.spender DATABASE TASK_ID. It prints `ready`, begins with the first line on its standard
input, and prints in the end how many calls it made.
"""

import sys
from pathlib import Path

import anyio

from swarmtally.core import budgets
from swarmtally.core.budgets import Verdict
from swarmtally.domain.clock import SystemClock
from swarmtally.domain.run import Run
from swarmtally.domain.usage import TokenUsage
from swarmtally.store import budgets as store
from swarmtally.store import usage
from swarmtally.store.connection import Connection
from swarmtally.store.database import open_database
from swarmtally.store.usage import ClosedCall, OpenedCall

HELD, SPENT = 100, 15


async def main(path: Path, task_id: str) -> None:
    clock = SystemClock()
    async with open_database(path, clock) as database:
        row = await database.read(lambda tx: tx.row("SELECT * FROM run"))
        assert row is not None
        run = Run.from_row(row)

        async def send(tx: Connection) -> int | None:
            call = OpenedCall(run.run_id, task_id, 1, "a", "b", "m", 10, "", 0, reserved_tokens=HELD)
            if await budgets.admit(tx, run, call, clock.now_ns()) is not Verdict.SEND:
                return None
            (opened,) = await usage.open_calls(tx, [call], clock.now_ns())
            assert (await store.spending(tx, run.run_id)).tokens <= (run.budget.tokens or 0)
            return opened

        print("ready", flush=True)
        sys.stdin.readline()
        calls = 0
        while (usage_id := await database.write(send)) is not None:
            calls += 1
            closed = ClosedCall(usage_id, TokenUsage(SPENT, 0))
            await database.write(lambda tx: usage.close_calls(tx, [closed], clock.now_ns()))  # noqa: B023 - run at once
        print(calls)


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), sys.argv[2])

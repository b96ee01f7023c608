"""Arithmetic in worker threads: it ends soon after its call, and tells how far it is."""

import threading

import anyio
import anyio.from_thread
import pytest

from swarmtally.core import progress
from swarmtally.core.worker import Step, in_thread

WAIT_S = 10


async def test_work_whose_call_is_cancelled_ends_at_its_next_step() -> None:
    begun, ended = anyio.Event(), threading.Event()

    def work(step: Step) -> None:
        try:
            anyio.from_thread.run_sync(begun.set)
            while True:
                step(0, None, "on and on")
        finally:
            ended.set()

    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as group:
            group.start_soon(in_thread, work)
            await begun.wait()
            group.cancel_scope.cancel()
    assert ended.is_set()


async def test_how_far_it_is_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "TOLD_EVERY_S", 0.0)
    told = []

    async def hear(done: float, total: float | None, message: str) -> None:
        told.append((done, total, message))

    def work(step: Step) -> str:
        for part in range(3):
            step(part, 3, f"part {part}")
        return "done"

    with progress.listening(hear):
        assert await in_thread(work) == "done"
    assert told == [(part, 3, f"part {part}") for part in range(3)]


async def test_what_the_work_raises_is_raised() -> None:
    def work(_step: Step) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await in_thread(work)

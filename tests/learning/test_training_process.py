"""The process that trains ends with the call that asked for it, and its end without a model is told."""

from collections.abc import AsyncIterator

import anyio
import anyio.to_thread
import psutil
import pytest

from swarmtally.core import progress
from swarmtally.domain.errors import DatabaseBusy, TrainingBroken
from swarmtally.learning import child
from swarmtally.learning.given import encoded
from swarmtally.training_process import train_in_process
from tests.learning.worlds import world


async def pages(*more: Exception) -> AsyncIterator[bytes]:
    yield b"[" + b",".join(map(encoded, world(500))) + b"]\n"
    for error in more:
        raise error


def trainers() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if child.MODULE in " ".join(each.cmdline())]


async def begun() -> psutil.Process:
    with anyio.fail_after(20):
        while not (found := await anyio.to_thread.run_sync(trainers)):
            await anyio.lowlevel.checkpoint()
    return found[0]


async def test_a_cancelled_training_leaves_no_process_behind() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(train_in_process, pages(), "coordination", 0)
        process = await begun()
        group.cancel_scope.cancel()
    assert not process.is_running()


async def test_reading_many_rows_is_told_before_anything_is_learned_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "TOLD_EVERY_S", 0.0)
    told: list[tuple[float, str]] = []

    async def hear(done: float, total: float | None, message: str) -> None:
        assert total is None
        told.append((done, message))

    async def short() -> AsyncIterator[bytes]:
        rows = world(500)
        for first in range(0, len(rows), 5):
            yield b"[" + b",".join(map(encoded, rows[first : first + 5])) + b"]\n"

    with progress.listening(hear):
        await train_in_process(short(), "coordination", 0)
    assert [done for done, _ in told] == sorted({done for done, _ in told}), "each is more than the one before"
    assert told[0][1] == "reading rows: 0.0 MB"
    learning = [message.startswith("reading") for _, message in told].index(False)
    assert learning >= 2
    assert told[learning][0] == 1


async def test_a_process_that_was_killed_is_told() -> None:
    async def train() -> None:
        with pytest.raises(TrainingBroken, match="ended with status -9 before it was done; nothing was kept"):
            await train_in_process(pages(), "coordination", 0)

    async with anyio.create_task_group() as group:
        group.start_soon(train)
        (await begun()).kill()


async def test_rows_that_cannot_be_read_end_the_process_and_are_told_as_they_are() -> None:
    with pytest.raises(DatabaseBusy):
        await train_in_process(pages(DatabaseBusy("swarm.db", 30)), "coordination", 0)
    assert not await anyio.to_thread.run_sync(trainers)

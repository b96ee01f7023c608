"""The app behind the server: opened, opened again, and let go."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from structlog.typing import EventDict

from swarmtally.domain.errors import DatabaseCorrupt
from swarmtally.mcp.opening import Opening
from swarmtally.settings import Settings


@asynccontextmanager
async def opened(place: Path) -> AsyncIterator[Opening]:
    gathered = await anyio.to_thread.run_sync(lambda: Settings.gather("mcp", db=str(place / "swarm.db"), cwd=place))
    opening = Opening(gathered)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(opening.run)
            yield opening
            opening.close()


async def test_calls_share_one_app(tmp_path: Path) -> None:
    async with opened(tmp_path) as opening:
        assert await opening.app() is await opening.app()


async def test_an_app_that_could_not_be_opened_is_tried_again_with_each_call(tmp_path: Path) -> None:
    database = anyio.Path(tmp_path / "swarm.db")
    await database.write_bytes(b"no database at all " * 100)
    async with opened(tmp_path) as opening:
        for _ in range(2):
            with pytest.raises(DatabaseCorrupt):
                await opening.app()
        await database.unlink()
        assert await opening.app()


async def test_an_app_that_died_is_replaced(tmp_path: Path, logged: list[EventDict]) -> None:
    async def die() -> None:
        raise ZeroDivisionError

    async with opened(tmp_path) as opening:
        first = await opening.app()
        first._group.start_soon(die)
        while (second := await opening.app()) is first:
            await anyio.lowlevel.checkpoint()
        await second.swarms.states()
    assert "app.died" in [entry["event"] for entry in logged]

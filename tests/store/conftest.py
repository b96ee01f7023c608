"""A real database in `tmp_path`, and a clock that stands still until a test moves it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from swarmtally.core.memory import Memory
from swarmtally.store import location
from swarmtally.store.database import Database, open_database


class HandClock:
    """Time as the test sets it."""

    def __init__(self) -> None:
        self.ns = 1_700_000_000_000_000_000

    def now_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns

    def advance(self, seconds: float) -> None:
        self.ns += round(seconds * 1_000_000_000)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return location.prepare(tmp_path / "data" / "swarm.db")


@pytest.fixture
async def database(path: Path, clock: HandClock) -> AsyncIterator[Database]:
    async with open_database(path, clock) as opened:
        yield opened


@pytest.fixture
def memory(database: Database, clock: HandClock) -> Memory:
    return Memory(database, clock)

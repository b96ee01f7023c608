"""The store's own database and clock, and an empty database to copy."""

from pathlib import Path

import anyio
import pytest

from tests.insight.history import make_empty
from tests.store.conftest import clock, database, path

__all__ = ["clock", "database", "path"]


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without rows, to be copied: making one takes longer than a test's own part."""
    return anyio.run(make_empty, tmp_path_factory.mktemp("empty") / "swarm.db")

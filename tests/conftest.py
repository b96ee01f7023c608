"""What all tests share: warnings are errors, and blocking calls on the event loop fail the test."""

import logging
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest
import structlog
from blockbuster import BlockBuster, blockbuster_ctx
from structlog.typing import EventDict

from swarmtally.backends.gguf import PULL_REMEDY, PulledModel, find_model


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """Fail a test whose event loop calls something that blocks, within our own packages."""
    with blockbuster_ctx(["swarmtally", "swarmtally_tools"]) as guard:
        # Coverage locks its own data, now and then while another thread does.
        guard.functions["threading.Lock.acquire"].can_block_in("coverage/collector.py", "lock_data")
        yield guard


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[EventDict]]:
    """What the test's own process logged, kept from stdout. Commands that run in it set logging up for all of it: that
    is taken back."""
    handlers, level, config = list(logging.root.handlers), logging.root.level, structlog.get_config()
    with structlog.testing.capture_logs() as entries:
        yield entries
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    structlog.configure(**config)


@pytest.fixture
def pulled() -> PulledModel:
    found = find_model(Path(platformdirs.user_data_dir("swarmtally")), "smollm2")
    assert found is not None, f"these tests need the embedded model: {PULL_REMEDY}"
    return found

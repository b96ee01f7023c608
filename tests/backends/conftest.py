from collections.abc import Iterator
from pathlib import Path

import platformdirs
import pytest

from swarmtally.backends.gguf import PULL_REMEDY, PulledModel, find_model
from tests.backends.wire import OpenAIWire


@pytest.fixture
def wire() -> Iterator[OpenAIWire]:
    with OpenAIWire() as wire:
        yield wire


@pytest.fixture
def pulled() -> PulledModel:
    found = find_model(Path(platformdirs.user_data_dir("swarmtally")), "smollm2")
    assert found is not None, f"these tests need the embedded model: {PULL_REMEDY}"
    return found

from collections.abc import Iterator

import pytest

from tests.backends.wire import OpenAIWire


@pytest.fixture
def wire() -> Iterator[OpenAIWire]:
    with OpenAIWire() as wire:
        yield wire

"""The whole program in this process: real store, real scheduler, real modes, and a model server on loopback."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from swarmtally.app import App, open_app
from swarmtally.domain.retry import RetryPolicy
from swarmtally.settings import Settings
from tests.backends.wire import OpenAIWire

HASTY = RetryPolicy(max_attempts=3, base_s=0.001, cap_s=0.002)

OpenTestApp = Callable[..., AbstractAsyncContextManager[App]]


@pytest.fixture
def wire() -> Iterator[OpenAIWire]:
    with OpenAIWire() as server:
        yield server


@pytest.fixture
def open_test_app(tmp_path: Path, wire: OpenAIWire) -> OpenTestApp:
    """Opens a shell's app on the wire's model; failures are tried again after a millisecond."""
    (tmp_path / "repo" / ".git").mkdir(parents=True)

    settings = Settings.gather(
        "shell",
        db=str(tmp_path / "swarm.db"),
        model="openai:test",
        base_url=wire.base_url,
        environ={},
        cwd=tmp_path / "repo",
    )

    def opening(project: str | None = None, retry: RetryPolicy = HASTY) -> AbstractAsyncContextManager[App]:
        return open_app(replace(settings, project=project or settings.project), retry=retry)

    return opening

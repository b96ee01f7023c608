"""What a new swarm says of the backend that will do its work: only what can be opened."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from swarmtally.app import open_app
from swarmtally.domain.errors import SwarmError
from swarmtally.settings import Settings
from swarmtally_tools.sparc import sparc_run
from swarmtally_tools.swarm import SwarmView, swarm_init
from tests.backends.wire import OpenAIWire

KEY = {"OPENAI_API_KEY": "k3y"}


async def made(folder: Path, model: str, environ: Mapping[str, str] = KEY, **more: Any) -> SwarmView:
    gather = partial(Settings.gather, "mcp", db=str(folder / "swarm.db"), environ=environ, cwd=folder, **more)
    settings = await anyio.to_thread.run_sync(gather)
    async with open_app(settings) as app:
        view = await swarm_init.call(app, {"model": model})
        assert isinstance(view, SwarmView)
        if view.backend is None:
            with pytest.raises(SwarmError, match=r"cannot be used|not installed"):
                await sparc_run.call(app, {"mode": "coder", "task": "x"})
        return view


@pytest.mark.parametrize(
    ("model", "environ", "why"),
    [
        ("foo:bar", KEY, "Unknown model: foo:bar"),
        ("groq:llama", KEY, "needs a library that is not installed"),
        ("openai:gpt-5-mini", {}, "OPENAI_API_KEY"),
    ],
)
async def test_a_model_that_cannot_be_opened_is_no_backend_and_the_reason_says_why(
    tmp_path: Path, model: str, environ: Mapping[str, str], why: str
) -> None:
    view = await made(tmp_path, model, environ)
    assert view.backend is None
    assert why in view.reasons["backend"]


@pytest.mark.parametrize("model", ["openai:gpt-5-mini", "host"])
async def test_a_named_model_that_can_be_opened_is_shown_with_a_reason_true_of_every_caller(
    tmp_path: Path, model: str
) -> None:
    view = await made(tmp_path, model)
    assert (view.backend, view.reasons) == (model, {"backend": "it was named"})


async def test_a_server_of_one_s_own_is_not_called_for_it(tmp_path: Path, wire: OpenAIWire) -> None:
    view = await made(tmp_path, "m1", base_url=wire.base_url)
    assert (view.backend, wire.requests) == ("openai:m1", [])

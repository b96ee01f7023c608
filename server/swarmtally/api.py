"""The Python API: `swarmtally.open`. Its names are those of the package itself."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import anyio.to_thread

from swarmtally.app import App, open_app
from swarmtally.backends import own
from swarmtally.core.ports import Backend
from swarmtally.domain.errors import InvalidInput
from swarmtally.settings import Settings


@asynccontextmanager
async def open(  # noqa: A001 - `swarmtally.open`, like `gzip.open`
    *,
    db: str | os.PathLike[str] | None = None,
    project: str | None = None,
    model: str | None = None,
    base_url: str | None = None,
    max_output_tokens: int | None = None,
    max_parallel: int | None = None,
    allow: Sequence[str | os.PathLike[str]] = (),
    backends: Mapping[str, Backend] | None = None,
) -> AsyncIterator[App]:
    """The app whose operations the tools call, for as long as the `async with` lasts. Needs asyncio.

    What is not given is taken from the environment twins (`SWARMTALLY_DB`, …), then from the shell's defaults. Runs
    that are under way when it closes show as interrupted and can be resumed.

    Args:
        db: the database file; made when it is not there.
        project: whom work belongs to; else the git root of the working directory, else `default`.
        model: who does the work: `anthropic:…`, `openai:…`, `local`, or the name of one of `backends`.
        base_url: an OpenAI-compatible server, with `openai:NAME`.
        max_output_tokens: the most a model call may write. A backend of your own keeps its own limit.
        max_parallel: calls at once to a provider's model. A backend of your own keeps its own limit.
        allow: further folders that deliverables may be written to.
        backends: your own backends by name. A call or swarm whose model is that name uses it; a single one is used
            where no model is named. They are yours to close, after the app.

    Raises:
        InvalidInput: an argument or an environment variable holds nonsense.
        StoreError: the database cannot be opened.
    """
    brought = dict(backends or {})
    own.check(brought)
    if isinstance(allow, str):
        raise InvalidInput("allow is one text; give a list of folders")
    if max_parallel is not None and max_parallel < 1:
        raise InvalidInput(f"max_parallel is {max_parallel}; it must be 1 or more")
    gather = partial(
        Settings.gather,
        "shell",
        db=None if db is None else os.fspath(db),
        project=project,
        model=model,
        base_url=base_url,
        max_output_tokens=max_output_tokens,
        max_parallel=max_parallel,
        allow=[os.fspath(folder) for folder in allow],
    )
    settings = await anyio.to_thread.run_sync(gather)
    async with open_app(replace(settings, backends=brought)) as app:
        yield app

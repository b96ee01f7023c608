"""Training a model in a process of its own (`swarmtally.learning.child`), which is ended when the call is cancelled."""

import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterable, Mapping
from typing import Any

import anyio
from anyio.abc import Process

from swarmtally.core import progress
from swarmtally.domain.errors import StoreError, TrainingBroken
from swarmtally.learning import child

_RESULT = b'{"model":'


async def train_in_process(pages: AsyncIterable[bytes], pattern: str, seed: int) -> str:
    """The JSON of a model of rows; who listens to progress is told of each part that is done.

    Args:
        pages: lines of JSON, each a list of rows, as the child reads them.

    Raises:
        TrainingBroken: the process ended without one.
        StoreError: the rows could not be read.
    """
    # -P: nothing in the folder we happen to be in is taken for a module of ours.
    command = [sys.executable, "-P", "-m", child.MODULE, "--pattern", pattern, "--seed", str(seed)]
    unread: list[StoreError] = []
    async with await anyio.open_process(command, stdin=subprocess.PIPE, stderr=None) as process:
        async with anyio.create_task_group() as group:
            group.start_soon(_give, process, pages, unread)
            last = await _hear(process)
            group.cancel_scope.cancel()
        await process.wait()
    if unread:
        raise unread[0]
    if last is None:
        raise TrainingBroken(process.returncode)
    return last[len(_RESULT) : -1].decode()


async def _give(process: Process, pages: AsyncIterable[bytes], unread: list[StoreError]) -> None:
    assert process.stdin is not None
    try:
        # It may have been killed before it had all.
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            sent_bytes, pace = 0, progress.Pace()
            async for page in pages:
                await process.stdin.send(page)
                sent_bytes += len(page)
                # Below 1, which the first part is, and always more: how many there are is not known.
                share = sent_bytes / (sent_bytes + 2**20)
                await pace.report(share, None, f"reading rows: {sent_bytes / 2**20:.1f} MB")
            await process.stdin.aclose()
    except StoreError as error:
        # Not raised here, where the task group would wrap it; and nothing is learned from some of the rows.
        unread.append(error)
        with contextlib.suppress(ProcessLookupError):
            process.kill()


async def _hear(process: Process) -> bytes | None:
    """Pass on what is done; returns the line with the model, None when the process ended without one."""
    assert process.stdout is not None
    begun: list[bytes] = []
    done = 0
    async for chunk in process.stdout:
        *lines, rest = chunk.split(b"\n")
        for end in lines:
            line = b"".join([*begun, end])
            begun = []
            if line.startswith(_RESULT):
                return line
            done += 1
            await progress.report(done, None, _said(json.loads(line)))
        begun.append(rest)
    return None


def _said(told: Mapping[str, Any]) -> str:
    if "begun" in told:
        return f"learning {told['begun']}"
    learned = ", ".join(told["learned"]) or "nothing"
    return f"{told['rows']} {told['source']} {told['level']}s: learned {learned}"

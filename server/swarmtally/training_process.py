"""Training a model in a process of its own (`swarmtally.learning.child`), which is ended when the call is cancelled."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence

import anyio
from anyio.abc import Process

from swarmtally.core import progress
from swarmtally.domain.errors import TrainingBroken
from swarmtally.learning import child
from swarmtally.learning.given import as_list
from swarmtally.learning.rows import TrainingRow

_RESULT = b'{"model":'
_AT_ONCE = 100
"""Rows that are written down at once: less than a millisecond of the event loop."""


async def train_in_process(rows: Sequence[TrainingRow], pattern: str, seed: int) -> str:
    """The JSON of a model of `rows`; who listens to progress is told of each part that is done.

    Raises:
        TrainingBroken: the process ended without one.
    """
    # -P: nothing in the folder we happen to be in is taken for a module of ours.
    command = [sys.executable, "-P", "-m", child.MODULE, "--pattern", pattern, "--seed", str(seed)]
    async with await anyio.open_process(command, stdin=subprocess.PIPE, stderr=None) as process:
        async with anyio.create_task_group() as group:
            group.start_soon(_give, process, rows)
            last = await _hear(process)
            group.cancel_scope.cancel()
        await process.wait()
    if last is None:
        raise TrainingBroken(process.returncode)
    return last[len(_RESULT) : -1].decode()


async def _give(process: Process, rows: Sequence[TrainingRow]) -> None:
    assert process.stdin is not None
    # It may have been killed before it had all.
    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        for line in _lines(rows):
            await process.stdin.send(line)
        await process.stdin.aclose()


def _lines(rows: Sequence[TrainingRow]) -> Iterator[bytes]:
    for begin in range(0, len(rows), _AT_ONCE):
        yield json.dumps([as_list(row) for row in rows[begin : begin + _AT_ONCE]]).encode() + b"\n"


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
            told = json.loads(line)
            learned = ", ".join(told["learned"]) or "nothing"
            said = f"{told['rows']} {told['source']} {told['level']}s: learned {learned}"
            await progress.report(done, None, said)
        begun.append(rest)
    return None

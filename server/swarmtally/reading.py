"""Logs as `error_analysis` reads them: what was given, a file, stdin, or what failed in the project's own runs.

A log of more than `AT_ONCE_BYTES` is read by a process of its own (`swarmtally.logreading.child`), which is ended
when the call is cancelled.
"""

import contextlib
import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import Process
from pydantic import TypeAdapter

from swarmtally.core import progress
from swarmtally.domain.clock import Clock, iso
from swarmtally.domain.errors import AnalysisFailed, InvalidInput, PathRefused
from swarmtally.logreading import child
from swarmtally.logreading.likeness import same_as
from swarmtally.logreading.source import Log, read_log
from swarmtally.sparc.roots import expanded, real, refuse_outside
from swarmtally.store import failures, templates
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from swarmtally.store.failures import Failure
from swarmtally.store.templates import Met, Noted

AT_ONCE_BYTES = 256 * 1024
"""The largest log that is read in a thread: some hundredths of a second, in turns with the event loop."""

GIVEN_LIMIT_BYTES = 64 * 1024 * 1024
"""The largest log that is given in the call itself."""

FAILURES_LIMIT = 100_000
"""The most of the project's own failures that are read, the newest."""

NOTED_LIMIT = 10_000
"""The most templates of one log that are remembered, the most frequent."""

TEMPLATE_LIMIT = 4_000
"""What is remembered of a template's text, in characters."""

IDS_LIMIT = 20_000
"""The most ids found in a log that are looked up."""

STDIN = "-"

_COMPRESSED = {
    b"\x1f\x8b": "gzip -dc",
    b"\x28\xb5\x2f\xfd": "zstd -dc",
    b"\xfd7zXZ\x00": "xz -dc",
    b"BZh": "bzip2 -dc",
    b"PK\x03\x04": "unzip -p",
}
"""How compressed files begin, and what unpacks them."""

_PIECE_BYTES = 64 * 1024
_MB = 1_000_000
_RESULT = b'{"log":'


@dataclass(frozen=True, slots=True)
class _Answer:
    """The last line of the process that reads."""

    log: Log


_answer = TypeAdapter(_Answer)


@dataclass(frozen=True, slots=True)
class LogRequest:
    """What `error_analysis` asks for. With neither `given` nor `path` the project's own failures are read.

    `path` is a file inside an allowed root; for a shell any file, and `-` its stdin. `seconds` is how long to read.
    """

    given: str | Sequence[Any] | None = None
    path: str | None = None
    numbers: bool = False
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class LogReport:
    """A log that was read, and what the database knows about it."""

    source: str
    log: Log
    noted: Noted
    compared: int
    """Of how many templates, the first, it was looked up whether they are new."""
    related: Mapping[str, tuple[str, ...]]
    """By template's key the ids of the project's own tasks and agents that its entries are about or name."""
    as_of_ns: int


class LogReading:
    """Reads logs for one project.

    Args:
        folder: what paths are relative to.
        roots: the folders that files may lie in; None: anywhere, for a user who names them in a shell.
    """

    def __init__(
        self, database: Database, clock: Clock, project: str, folder: Path, roots: Sequence[Path] | None
    ) -> None:
        self._database = database
        self._clock = clock
        self._project = project
        self._folder = folder
        self._roots = roots

    async def analyse(self, request: LogRequest) -> LogReport:
        """The templates of a log, which of them are new, and which of the project's tasks they are about.

        Raises:
            InvalidInput: two logs are given, or it is too large or compressed.
            PathRefused: the file lies outside the allowed roots, or cannot be read.
            AnalysisFailed: the process that read it was ended.
        """
        if request.given is not None and request.path is not None:
            raise InvalidInput("logs and path are two logs; give one of them")
        if request.path is not None:
            source, log = await self._of_path(request, request.path)
        elif request.given is not None:
            content = await anyio.to_thread.run_sync(_as_bytes, request.given)
            source, log = "given", await _of_bytes(content, request, self._clock.now_ns())
        else:
            return await self._own(request)
        return await self._reported(source, log, await self._named(log))

    async def _own(self, request: LogRequest) -> LogReport:
        found = await self._database.read(lambda tx: failures.newest(tx, self._project, FAILURES_LIMIT))
        content = await anyio.to_thread.run_sync(_as_log, found)
        log = await _of_bytes(content, replace(request, numbers=True), self._clock.now_ns())
        related = {
            template.key: tuple(dict.fromkeys(_ids(found[line] for line in template.lines)))
            for template in log.reading.templates
        }
        if not request.numbers:
            bare = tuple(replace(template, lines=()) for template in log.reading.templates)
            log = replace(log, reading=replace(log.reading, templates=bare))
        if len(found) == FAILURES_LIMIT:
            log = replace(log, stopped=f"there are more failures than the newest {FAILURES_LIMIT}, which were read")
        return await self._reported("own failures", log, related)

    async def _of_path(self, request: LogRequest, path: str) -> tuple[str, Log]:
        now_ns = self._clock.now_ns()
        if path == STDIN and self._roots is None:
            return "stdin", await _in_process(None, None, request, now_ns)
        opened = await anyio.to_thread.run_sync(self._open, path)
        with opened.file:
            if opened.size is None or opened.size > AT_ONCE_BYTES:
                return f"file {opened.path}", await _in_process(opened.file, opened.size, request, now_ns)
            content = await anyio.to_thread.run_sync(opened.file.read, AT_ONCE_BYTES)
        return f"file {opened.path}", await _of_bytes(content or b"", request, now_ns)

    def _open(self, path: str) -> "_Opened":
        if not path.strip() or "\0" in path:
            raise PathRefused("path is empty or no path; name a log file")
        wanted = self._folder / expanded(path)
        if self._roots is not None:
            wanted = real(wanted)
        try:
            return _opened(wanted, self._roots)
        except OSError as error:
            raise PathRefused(f"log {str(wanted)[:300]} cannot be read ({error.strerror}); check the path") from None

    async def _named(self, log: Log) -> dict[str, tuple[str, ...]]:
        """The project's own ids among those that the log's lines name."""
        wanted = sorted({name for mention in log.mentions for name in mention.ids})[:IDS_LIMIT]
        if not wanted:
            return {}
        own = await self._database.read(lambda tx: failures.own_ids(tx, self._project, wanted))
        return {mention.key: tuple(name for name in mention.ids if name in own) for mention in log.mentions}

    async def _reported(self, source: str, log: Log, related: Mapping[str, tuple[str, ...]]) -> LogReport:
        first = log.reading.templates[:NOTED_LIMIT]
        met = [Met(one.key, one.template[:TEMPLATE_LIMIT], one.category, one.count) for one in first]

        known = await self._database.read(lambda tx: templates.texts(tx, self._project))
        wanted = {one.key: one.template for one in met if one.key not in known}
        same = await anyio.to_thread.run_sync(same_as, wanted, known)

        async def unit(tx: Connection) -> tuple[Noted, int]:
            now_ns = self._clock.now_ns()
            return await templates.note(tx, self._project, met, same, now_ns), now_ns

        noted, now_ns = await self._database.write(unit)
        return LogReport(source, log, noted, len(met), related, now_ns)


@dataclass(frozen=True, slots=True)
class _Opened:
    path: Path
    file: io.FileIO
    size: int | None
    """In bytes; None: not known, of a pipe."""


def _opened(path: Path, roots: Sequence[Path] | None) -> _Opened:
    """Open the file at `path`. In a shell it may be a pipe; else it must lie in `roots`, its links followed already."""
    if roots is not None:
        refuse_outside("log", path, roots, path.parent)
    file = io.FileIO(path, opener=None if roots is None else _open_at_once)
    try:
        status = os.fstat(file.fileno())
        regular = stat.S_ISREG(status.st_mode)
        # A link may have come in its way since links were followed.
        if roots is not None and not (regular and real(path) == path):
            raise PathRefused(f"log {path} is no file; name one")
        if regular:
            _refuse_compressed(path, file.read(8) or b"")
            file.seek(0)
        return _Opened(path, file, status.st_size if regular else None)
    except BaseException:
        file.close()
        raise


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for somebody to write to it, as a pipe would have it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _refuse_compressed(path: Path, beginning: bytes) -> None:
    for magic, command in _COMPRESSED.items():
        if beginning.startswith(magic):
            raise InvalidInput(
                f"log {path} is compressed; unpack it: {command} {path} | swarmtally mcp error_analysis --logs -"
            )


def _as_bytes(given: str | Sequence[Any]) -> bytes:
    """What was given as a file would hold it: of a list its JSON, because its texts may have several lines.

    Raises:
        InvalidInput: it is too large.
    """
    content = given.encode(errors="replace") if isinstance(given, str) else json.dumps(given).encode()
    if len(content) > GIVEN_LIMIT_BYTES:
        raise InvalidInput(f"logs holds {len(content)} bytes; at most {GIVEN_LIMIT_BYTES} go: name a file in path")
    return content


def _as_log(found: Sequence[Failure]) -> bytes:
    """The failures as a log: a JSON list, each an object as programs write them."""
    entries = [
        {"timestamp": iso(failure.at_ns), "level": "error", "logger": failure.mode, "message": failure.error}
        for failure in found
    ]
    return json.dumps(entries).encode()


def _ids(found: Iterable[Failure]) -> Iterator[str]:
    for failure in found:
        yield failure.task_id
        yield failure.agent_id


async def _of_bytes(content: bytes, request: LogRequest, now_ns: int) -> Log:
    if len(content) > AT_ONCE_BYTES:
        return await _in_process(content, len(content), request, now_ns)
    return await anyio.to_thread.run_sync(
        lambda: read_log(io.BytesIO(content).read, now_ns=now_ns, seconds=request.seconds, numbers=request.numbers)
    )


async def _in_process(source: bytes | io.FileIO | None, size: int | None, request: LogRequest, now_ns: int) -> Log:
    """Read what was given, a file or (None) our own stdin in a process of its own. `size` is in bytes, where known."""
    # -P: nothing in the folder we happen to be in is taken for a module of ours.
    command = [sys.executable, "-P", "-m", child.MODULE, "--now", str(now_ns)]
    command += ["--numbers"] if request.numbers else []
    command += [] if request.seconds is None else ["--seconds", str(request.seconds)]
    stdin = subprocess.PIPE if isinstance(source, bytes) else source
    async with await anyio.open_process(command, stdin=stdin, stderr=None) as process:
        async with anyio.create_task_group() as group:
            if isinstance(source, bytes):
                group.start_soon(_give, process, source)
            last = await _hear(process, size)
            group.cancel_scope.cancel()
        await process.wait()
    if last is None:
        raise _broken(process.returncode)
    return await anyio.to_thread.run_sync(lambda: _answer.validate_json(last).log)


def _broken(status: int | None) -> AnalysisFailed:
    how = f"was ended by signal {-status}" if status is not None and status < 0 else f"ended with status {status}"
    return AnalysisFailed(
        f"the process that read the log {how} before its end; see stderr, and try it with a part of the log"
    )


async def _give(process: Process, content: bytes) -> None:
    assert process.stdin is not None
    # It may have ended before it had all: because of its limit, or because it was killed.
    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        for begin in range(0, len(content), _PIECE_BYTES):
            await process.stdin.send(content[begin : begin + _PIECE_BYTES])
        await process.stdin.aclose()


async def _hear(process: Process, size: int | None) -> bytes | None:
    """Pass on how far the process is; returns the line with its result, None when it ended without one."""
    assert process.stdout is not None
    begun: list[bytes] = []
    async for chunk in process.stdout:
        *lines, rest = chunk.split(b"\n")
        for end in lines:
            line = b"".join([*begun, end])
            begun = []
            if line.startswith(_RESULT):
                return line
            await _pass_on(json.loads(line), size)
        begun.append(rest)
    return None


async def _pass_on(told: Mapping[str, int], size: int | None) -> None:
    read_mb, of = told["bytes"] / _MB, "" if size is None else f" of {size / _MB:.1f}"
    await progress.report(told["bytes"], size, f"{told['lines']} lines read, {read_mb:.1f}{of} MB")

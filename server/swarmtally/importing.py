"""Memory of claude-flow's brought into ours: read from its SQLite or JSON files, put in batches, told in a report.

Each batch is one transaction, so an import that is broken off has put the first of its entries, and one that is run
again finds those the same and goes on.
"""

import base64
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn, Protocol

import anyio
import anyio.to_thread

from swarmtally.core import memory, progress
from swarmtally.domain.clock import NS_PER_S, Clock
from swarmtally.domain.errors import InvalidInput, PathRefused
from swarmtally.domain.importing import LISTED, ForeignEntry, ImportReport, Refusal
from swarmtally.domain.memory import KEY_LIMIT, VALUE_LIMIT_BYTES
from swarmtally.sparc.roots import expanded
from swarmtally.store import claude_flow
from swarmtally.store.claude_flow import VALUE_READ_BYTES
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from swarmtally.store.importing import Incoming, Outcome, put_all

JSON_LIMIT_BYTES = 64 * 1024 * 1024
"""The largest JSON file: it is read whole. A database may have any size."""

_BATCH = 500
_BATCH_CHARACTERS = 4 * 1024 * 1024
_SQLITE, _ENCRYPTED = b"SQLite format 3\0", b"RFE1"
_PACKED = "__compressed__"
_MS = NS_PER_S // 1000
_INT64 = 2**63
_STORES = (
    ".swarm/memory.db",
    ".swarm/agentdb-memory.db",
    ".swarm/swarm-memory.db",
    ".hive-mind/memory.db",
    ".hive-mind/hive.db",
    "memory/memory-store.json",
)
"""Where claude-flow keeps memory, in the folder of a project."""


class Source(Protocol):
    """What entries are read from."""

    @property
    def names(self) -> Sequence[str]:
        """Where in the file."""
        ...

    @property
    def entries(self) -> int: ...

    @property
    def not_imported(self) -> dict[str, int]: ...

    def rows(self) -> Iterator[ForeignEntry]: ...


@dataclass(frozen=True, slots=True)
class _JsonStore:
    """`memory/memory-store.json`, or what `memory export` wrote: lists of entries by namespace."""

    spaces: Mapping[str, list[dict[str, Any]]]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.spaces)

    @property
    def entries(self) -> int:
        return sum(map(len, self.spaces.values()))

    @property
    def not_imported(self) -> dict[str, int]:
        return {}

    def rows(self) -> Iterator[ForeignEntry]:
        for namespace, entries in self.spaces.items():
            for entry in entries:
                yield _of_json(namespace, entry)


class _Reader:
    """A file that is read a batch at a time, by whichever thread of a pool, but by one of them at once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = Lock()
        self._open = ExitStack()
        self._rows: Iterator[ForeignEntry] = iter(())
        self._next: ForeignEntry | None = None

    def open(self) -> Source:
        with self._lock:
            source = self._open.enter_context(_opened(self._file))
            self._rows = source.rows()
            self._next = next(self._rows, None)
            return source

    def batch(self) -> list[ForeignEntry]:
        """The next entries, none of them at the end; no two of one key."""
        with self._lock:
            found: dict[tuple[str, str], ForeignEntry] = {}
            size = 0
            while (row := self._next) is not None and len(found) < _BATCH and size < _BATCH_CHARACTERS:
                if (row.namespace, row.key) in found:
                    break
                found[row.namespace, row.key] = row
                size += len(row.value or "")
                self._next = next(self._rows, None)
            return list(found.values())

    def close(self, error: BaseException | None = None) -> None:
        """Raises what the file says at its end, unless there is an `error` already."""
        with self._lock:
            self._open.__exit__(None if error is None else type(error), error, None)


class Importing:
    """Brings memory into one project's."""

    def __init__(self, database: Database, clock: Clock, project: str) -> None:
        self._database = database
        self._clock = clock
        self._project = project

    async def claude_flow(self, path: str, *, overwrite: bool, dry_run: bool) -> tuple[Path, ImportReport]:
        """Put every entry of the file that is not here; with `overwrite` also those that are here with other content.

        With `dry_run` nothing is written, and an entry that the file holds twice is counted as if it were two.

        Raises:
            PathRefused: the file cannot be read, was changed meanwhile, or holds nothing of claude-flow's.
        """
        file = await anyio.to_thread.run_sync(_file, path)
        reader = _Reader(file)
        try:
            source = await anyio.to_thread.run_sync(reader.open)
            report = ImportReport(tuple(source.names), source.not_imported)
            while batch := await anyio.to_thread.run_sync(reader.batch):
                await self._put(batch, report, overwrite=overwrite, dry_run=dry_run)
                await progress.report(report.read, source.entries, f"{report.read} of {source.entries} entries read")
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(reader.close, error)
            raise
        await anyio.to_thread.run_sync(reader.close)
        return file, report

    async def _put(
        self, batch: Sequence[ForeignEntry], report: ImportReport, *, overwrite: bool, dry_run: bool
    ) -> None:
        now_ns = self._clock.now_ns()
        report.read += len(batch)
        report.deleted += sum(one.deleted for one in batch)
        live = [one for one in batch if not one.deleted]
        kept = [one for one in live if one.expires_ns is None or one.expires_ns > now_ns]
        report.expired += len(live) - len(kept)
        fit = await anyio.to_thread.run_sync(_fitting, self._project, kept, report, now_ns)

        async def unit(tx: Connection) -> list[Outcome]:
            return await put_all(tx, fit, now_ns, overwrite=overwrite, dry_run=dry_run)

        outcomes = await (self._database.read(unit) if dry_run else self._database.write(unit))
        _count(report, fit, outcomes)


def _fitting(project: str, entries: Sequence[ForeignEntry], report: ImportReport, now_ns: int) -> list[Incoming]:
    """Those of `entries` that can be kept here; the others are refused in the report."""
    fit = []
    for one in entries:
        try:
            fit.append(_incoming(project, one, now_ns))
        except InvalidInput as error:
            report.refused += 1
            if len(report.refusals) < LISTED:
                report.refusals.append(Refusal(_shown(one.namespace), _shown(one.key), str(error)))
    return fit


def _count(report: ImportReport, fit: Sequence[Incoming], outcomes: Sequence[Outcome]) -> None:
    report.imported += outcomes.count("imported")
    report.replaced += outcomes.count("replaced")
    report.same += outcomes.count("same")
    report.different += outcomes.count("different")
    for one, outcome in zip(fit, outcomes, strict=True):
        if outcome == "different" and len(report.differing) < LISTED:
            report.differing.append((one.entry.namespace, one.entry.key))


def _incoming(project: str, found: ForeignEntry, now_ns: int) -> Incoming:
    """The entry as it is put here.

    Raises:
        InvalidInput: it cannot be kept here; the text says why.
    """
    for what, text in (("namespace", found.namespace), ("key", found.key), ("value", found.value or "")):
        if not _is_utf8(text):
            raise InvalidInput(f"its {what} is no UTF-8")
    if found.value is None:
        raise InvalidInput("it has no value")
    if len(found.value) >= VALUE_READ_BYTES:
        raise InvalidInput(f"its value has {VALUE_READ_BYTES} bytes or more; the limit is {VALUE_LIMIT_BYTES}")
    if found.expires_ns is not None and found.expires_ns - now_ns > memory.TTL_LIMIT_S * NS_PER_S:
        raise InvalidInput("it expires in more than ten years, which is as long as an entry with an end is kept")
    value = found.value if found.literal else _read(found.value)
    entry = memory.checked(project, found.namespace, found.key, value, _tags(found.tags))
    created_ns = now_ns if found.created_ns is None else found.created_ns
    return Incoming(replace(entry, expires_ns=found.expires_ns), created_ns)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[:KEY_LIMIT]


def _read(value: str) -> Any:
    """What claude-flow gives for a stored value: JSON where it is that, else the text."""
    text = value
    if value.startswith(_PACKED):
        # It calls that compressed, and it is base64.
        try:
            text = base64.b64decode(value.removeprefix(_PACKED), validate=True).decode()
        except ValueError:
            return value
    try:
        return json.loads(text, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return text


def _no_json(constant: str) -> NoReturn:
    raise ValueError(constant)


def _tags(text: str | None) -> list[str]:
    if not text:
        return []
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(tag, str) for tag in found):
        raise InvalidInput("its tags are no list of texts")
    return list(dict.fromkeys(tag for tag in found if tag))


def _file(path: str) -> Path:
    """The file that is named, in a shell any its user may read.

    Raises:
        PathRefused: there is none.
    """
    if not path.strip() or "\0" in path:
        raise PathRefused("PATH is empty or no path; name claude-flow's memory, such as .swarm/memory.db")
    file = Path(os.path.abspath(expanded(path)))  # noqa: PTH100 - links are followed when it is opened
    try:
        mode = file.stat().st_mode
    except OSError as error:
        raise PathRefused(f"{str(file)[:300]} cannot be read ({error.strerror}); check the path") from None
    if stat.S_ISDIR(mode):
        there = [name for name in _STORES if (file / name).is_file()]
        remedy = f"name one of its files: {', '.join(there)}" if there else f"it has none of {', '.join(_STORES)}"
        raise PathRefused(f"{file} is a folder; {remedy}")
    if not stat.S_ISREG(mode):
        raise PathRefused(f"{file} is no file; name one")
    return file


@contextmanager
def _opened(file: Path) -> Iterator[Source]:
    """What the file is read with.

    Raises:
        PathRefused: it cannot be read, or is nothing of claude-flow's.
    """
    try:
        with file.open("rb") as opened:
            begins = opened.read(len(_SQLITE))
    except OSError as error:
        raise PathRefused(f"{file} cannot be read ({error.strerror}); check its permissions") from None
    if begins == _SQLITE:
        with claude_flow.opened(file) as database:
            yield database
    elif begins.startswith(_ENCRYPTED):
        raise PathRefused(f"{file} is encrypted (CLAUDE_FLOW_ENCRYPT_AT_REST); have claude-flow write it in the clear")
    else:
        yield _json_store(file)


def _json_store(file: Path) -> _JsonStore:
    size = file.stat().st_size
    if size > JSON_LIMIT_BYTES:
        raise PathRefused(f"{file} has {size} bytes; of JSON at most {JSON_LIMIT_BYTES} are read: import it in parts")
    try:
        found = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        raise PathRefused(f"{file} is neither SQLite nor JSON; name claude-flow's memory file") from None
    if not isinstance(found, dict) or not all(map(_is_space, found.values())):
        raise PathRefused(f"{file} is JSON, but not claude-flow's lists of entries by namespace; check the path")
    return _JsonStore(found)


def _is_space(entries: object) -> bool:
    return isinstance(entries, list) and all(
        isinstance(one, dict) and isinstance(one.get("key"), str) for one in entries
    )


def _of_json(namespace: str, found: Mapping[str, Any]) -> ForeignEntry:
    value, named, stamp = found.get("value"), found.get("namespace"), found.get("timestamp")
    literal = isinstance(value, str)
    return ForeignEntry(
        namespace=named if isinstance(named, str) and named else namespace,
        key=found["key"],
        value=value if isinstance(value, str) else json.dumps(value),
        literal=literal,
        tags=None,
        created_ns=stamp * _MS if isinstance(stamp, int) and 0 < stamp * _MS < _INT64 else None,
        expires_ns=None,
    )

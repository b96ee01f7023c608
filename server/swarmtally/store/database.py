"""The database as the rest of the program sees it: `write` and `read`, each given a unit of work.

All writes of a process go through one connection, and everyone who waits is committed together (group commit): one
`BEGIN IMMEDIATE`, each caller's unit, one `COMMIT` with `synchronous=FULL`, then all are told. What `write` has
returned survives kill -9.
"""

import asyncio
import contextlib
import sqlite3
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import anyio
import anyio.to_thread

from swarmtally.domain.clock import Clock
from swarmtally.domain.errors import DatabaseMoved, NewerSchema, StoreError
from swarmtally.domain.timekeeping import Timekeeper
from swarmtally.store import faults, location
from swarmtally.store.connection import Connection, Unit
from swarmtally.store.migrations import SCHEMA_VERSION, migrate, refuse_foreign, version

T = TypeVar("T")

Item = TypeVar("Item")

UnitOfMany = Callable[[Connection, list[Item]], Awaitable[Sequence[T]]]
"""Does the same for many callers at once: it is given their items and returns what each of them is told."""

_READERS = 4
"""The most read-only connections a process keeps."""

_BATCH = 1_000
"""The most units one commit carries."""

_ITEMS_READ = 100
"""The most items one run of a shared unit reads for."""


LOG_KEPT_BYTES = 64 * 2**20
"""What is kept of the write-ahead log when it begins anew; usually it has 4 MiB. It grows while a reader holds an old
state of the database, and SQLite would leave it at that until the last process closes the file."""


class _Pending(Generic[T]):
    """An item that waits for what its unit does with it to be committed; `shared`: with those of others at once."""

    __slots__ = ("error", "item", "over", "result", "shared", "told", "unit")

    def __init__(self, unit: UnitOfMany[Any, T], item: Any, *, shared: bool) -> None:
        self.unit = unit
        self.item = item
        self.shared = shared
        self.result: T | None = None
        self.error: BaseException | None = None
        self.told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.over = False
        """The commit is done, or has failed; `told` is done then, or cancelled with its caller."""

    def tell(self) -> None:
        self.over = True
        if not self.told.done():
            self.told.set_result(None)


class Database:
    """One database file, opened by this process. Made with `open_database`."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.clock = clock
        self.timekeeper = Timekeeper(clock.monotonic_ns)
        """Where the time of this process goes while the database is open. Whoever works with it adds its own part."""
        self._writer: Connection | None = None
        self._file: tuple[int, int] | None = None
        self._committing: asyncio.Task[None] | None = None
        self._asking: dict[object, deque[tuple[Any, asyncio.Future[Any]]]] = {}
        self._reading: set[asyncio.Task[None]] = set()
        self._queue: deque[_Pending[Any]] = deque()
        self._idle_readers: list[Connection] = []
        self._readers = anyio.CapacityLimiter(_READERS)

    async def write(self, unit: Unit[T]) -> T:
        """Run `unit` in a write transaction and return its result once it is committed.

        A unit that raises leaves nothing behind and its error reaches only its caller. A caller cancelled before its
        unit began leaves nothing behind; one cancelled later may find it committed.
        """
        return await self._committed(_Pending(_each, unit, shared=False))

    async def write_item(self, unit: UnitOfMany[Item, T], item: Item) -> T:
        """Write `item` and return what `unit` says of it once that is committed. Whoever waits with items for the same
        `unit` shares one run of it; where that fails each has one of its own, so that an error reaches only its caller.
        """
        return await self._committed(_Pending(unit, item, shared=True))

    async def _committed(self, pending: _Pending[T]) -> T:
        assert self._writer is not None, "write after close"
        self._queue.append(pending)
        if self._committing is None:
            # A task of its own: a caller that is cancelled must not stop the others' commit.
            self._committing = asyncio.create_task(self._commit_all())
        try:
            await pending.told
        except asyncio.CancelledError:
            if pending in self._queue:
                self._queue.remove(pending)
            else:
                await self._ended(pending)
            raise
        if pending.error is not None:
            raise pending.error
        return pending.result  # type: ignore[return-value]

    async def _ended(self, pending: _Pending[Any]) -> None:
        """Wait until the commit is done that a cancelled caller's unit is part of: it can be asked then what it did.

        An anyio shield alone does not do: asyncio's own `Task.cancel` (`asyncio.timeout`, Ctrl-C) passes through it.
        """
        with anyio.CancelScope(shield=True):
            while not pending.over:
                pending.told = asyncio.get_running_loop().create_future()
                with contextlib.suppress(asyncio.CancelledError):
                    await pending.told

    async def read(self, unit: Unit[T]) -> T:
        """Run `unit` against one consistent state of the database, on a read-only connection."""
        async with self._readers:
            reader = self._idle_readers.pop() if self._idle_readers else await self._open_reader()
            try:
                result = await reader.patiently(lambda: reader.work(lambda tx: _in_snapshot(tx, unit)))
            except Exception:
                await self._keep(reader)
                raise
            except BaseException:
                # Cancelled: its last statement may still be running, so nobody else can have this connection.
                await reader.abandon()
                raise
            await self._keep(reader)
            return result

    async def read_item(self, unit: UnitOfMany[Item, T], item: Item) -> T:
        """Read what `unit` finds for `item`. Whoever asks for the same `unit` meanwhile shares one run of it."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        asking = self._asking.setdefault(unit, deque())
        asking.append((item, answer))
        if len(asking) == 1:
            # A task of its own: a caller that is cancelled must not stop what others wait for.
            reading = asyncio.create_task(self._read_items(unit, asking))
            self._reading.add(reading)
            reading.add_done_callback(self._reading.discard)
        return await answer

    async def _read_items(self, unit: UnitOfMany[Any, Any], asking: deque[tuple[Any, asyncio.Future[Any]]]) -> None:
        while asking:
            batch = list(islice(asking, _ITEMS_READ))
            try:
                answers = await self.read(lambda tx: unit(tx, [item for item, _ in batch]))  # noqa: B023 - run at once
                told = list(zip(batch, answers, strict=True))
            except Exception as error:  # noqa: BLE001 - each who asked is told
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
            else:
                for (_, answer), found in told:
                    if not answer.done():
                        answer.set_result(found)
            finally:
                # Also when broken off: whoever asks next must find nobody ahead that will never be answered.
                for _ in batch:
                    asking.popleft()

    async def _open_reader(self) -> Connection:
        if await anyio.to_thread.run_sync(self.moved):
            # It would answer from another file than the other readers do.
            raise DatabaseMoved(str(self.path))
        # `mode=ro` is all that makes it read-only: nothing is left to do that could fail and leak the connection.
        return await Connection.open(self.path, read_only=True, timekeeper=self.timekeeper)

    async def _keep(self, reader: Connection) -> None:
        if self._writer is None:
            await reader.close()
        else:
            self._idle_readers.append(reader)

    async def _commit_all(self) -> None:
        try:
            while self._queue:
                await self._commit_batch()
        finally:
            self._committing = None

    async def _commit_batch(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), _BATCH))]
        writer = self._writer
        assert writer is not None, "closed while writing"
        try:
            await writer.work(lambda tx: self._transaction(tx, batch))
        except BaseException as error:
            # It never began, or could not be rolled back.
            for pending in batch:
                pending.error = pending.error or error
            if not isinstance(error, Exception):
                raise
            if writer.in_transaction:
                with contextlib.suppress(sqlite3.Error, StoreError):
                    await writer.rows("ROLLBACK")
        finally:
            for pending in batch:
                pending.tell()

    async def _transaction(self, tx: Connection, batch: list[_Pending[Any]]) -> None:
        """Run the units of `batch` and commit; raises only where that did not begin, because the file is locked."""
        await tx.begin()
        try:
            await self._check_schema(tx)
            if self.moved():
                raise DatabaseMoved(str(self.path))
            groups = _together(batch)
            for group in groups:
                await _run_units(tx, group, alone=len(groups) == 1)
            await tx.rows("COMMIT")
        except BaseException as error:
            for pending in batch:
                pending.error = error
            if tx.in_transaction:
                await tx.rows("ROLLBACK")
            if not isinstance(error, Exception):
                raise

    async def _check_schema(self, writer: Connection) -> None:
        found = await version(writer)
        if found > SCHEMA_VERSION:
            raise NewerSchema(str(self.path), found, SCHEMA_VERSION)

    def moved(self) -> bool:
        """Whether the path names another file than the one that is open, or none. SQLite goes on all the same, and what
        is written then is gone when the last process closes the file. Blocks: a few µs."""
        return self._file != _identity(self.path)

    async def changes(self) -> tuple[int, int]:
        """Changes when another process has written, or this one has (a few µs; poll it, compare within a process)."""
        writer = self._writer
        assert writer is not None
        sql = "SELECT data_version AS others, total_changes() AS own FROM pragma_data_version"
        # Even that can find the file locked: another process recovers it when one was killed.
        row = await writer.patiently(lambda: writer.row(sql))
        assert row is not None
        return row["others"], row["own"]

    async def start(self) -> None:
        """Open the writer and bring the schema up to date."""
        writer = await Connection.open(self.path, read_only=False, timekeeper=self.timekeeper)
        try:
            await writer.patiently(lambda: refuse_foreign(writer))
            await writer.patiently(lambda: writer.rows("PRAGMA journal_mode = WAL"))
            await writer.rows("PRAGMA synchronous = FULL")
            await writer.rows(f"PRAGMA journal_size_limit = {LOG_KEPT_BYTES}")
            if sys.platform == "darwin":
                await writer.rows("PRAGMA fullfsync = 1")
            await migrate(writer, self.clock.now_ns())
            # Another process may have made the tables after we first looked for them. A statement that reads the schema
            # makes SQLite see that; preparing one that needs a table does so only sometimes (3.40: no such table).
            await writer.patiently(lambda: writer.rows("SELECT COUNT(*) FROM sqlite_master"))
            await writer.rows("PRAGMA foreign_keys = ON")
        except BaseException:
            await writer.close()
            raise
        self._file = await anyio.to_thread.run_sync(_identity, self.path)
        self._writer = writer

    async def close(self) -> None:
        """Close every connection. An unclosed one would keep the interpreter from exiting."""
        while self._committing is not None or self._reading:
            await asyncio.wait([*self._reading, *([self._committing] if self._committing else [])])
        for reader in self._idle_readers:
            await reader.close()
        self._idle_readers.clear()
        if self._writer is not None:
            writer, self._writer = self._writer, None
            await writer.close()


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from all others; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


async def _each(tx: Connection, units: list[Unit[T]]) -> list[T]:
    """What single units share: nothing."""
    return [await unit(tx) for unit in units]


def _together(batch: Sequence[_Pending[Any]]) -> list[list[_Pending[Any]]]:
    """Those of a batch that share a run of their unit."""
    groups: dict[object, list[_Pending[Any]]] = {}
    for pending in batch:
        groups.setdefault(pending.unit if pending.shared else pending, []).append(pending)
    return list(groups.values())


async def _run_units(tx: Connection, group: list[_Pending[Any]], *, alone: bool) -> None:
    """Run what waits in a group at once; one after the other when that fails."""
    if len(group) == 1:
        await _run_unit(tx, group[0], alone=alone)
        return
    await tx.rows("SAVEPOINT many")
    try:
        results = await group[0].unit(tx, [pending.item for pending in group])
    except StoreError:
        raise
    except Exception:
        if not tx.in_transaction:
            raise
        await tx.rows("ROLLBACK TO many")
        for pending in group:
            await _run_unit(tx, pending, alone=False)
    else:
        for pending, result in zip(group, results, strict=True):
            pending.result = result
    await tx.rows("RELEASE many")


async def _run_unit(writer: Connection, pending: _Pending[Any], *, alone: bool) -> None:
    """Run one unit of a batch so that its failure undoes only itself."""
    if not alone:
        await writer.rows("SAVEPOINT unit")
    try:
        (pending.result,) = await pending.unit(writer, [pending.item])
    except StoreError:
        # The disk or the file is at fault, and SQLite may have rolled the whole transaction back.
        raise
    except Exception as error:
        if alone or not writer.in_transaction:
            raise
        await writer.rows("ROLLBACK TO unit")
        pending.error = error
    if not alone:
        await writer.rows("RELEASE unit")


async def _in_snapshot(reader: Connection, unit: Unit[T]) -> T:
    await reader.rows("BEGIN")
    try:
        result = await unit(reader)
    except Exception:
        # Not when cancelled: the rollback would wait for the statement that nobody wants any more.
        if reader.in_transaction:
            await reader.rows("ROLLBACK")
        raise
    await reader.rows("COMMIT")
    return result


@asynccontextmanager
async def open_database(path: Path, clock: Clock) -> AsyncIterator[Database]:
    """Open (and create or migrate) the database at `path`, already prepared with `location.prepare`.

    Raises:
        StoreError: it cannot be opened, is damaged, or is newer than this program.
    """
    database = Database(path, clock)
    with faults.translated(str(path)):
        await database.start()
    try:
        yield database
    finally:
        with anyio.CancelScope(shield=True):
            await database.close()


__all__ = ["Database", "Unit", "location", "open_database"]

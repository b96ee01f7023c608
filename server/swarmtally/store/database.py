"""The database as the rest of the program sees it: `write` and `read`, each given a unit of work.

All writes of a process go through one connection. Whoever holds its lock commits for everyone who waits (group
commit): one `BEGIN IMMEDIATE`, each caller's unit, one `COMMIT` with `synchronous=FULL`, then all are told. What
`write` has returned survives kill -9.
"""

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import anyio

from swarmtally.domain.clock import Clock
from swarmtally.domain.errors import NewerSchema, StoreError
from swarmtally.domain.timekeeping import Timekeeper
from swarmtally.store import faults, location
from swarmtally.store.connection import Connection
from swarmtally.store.migrations import SCHEMA_VERSION, migrate, refuse_foreign, version

T = TypeVar("T")

Unit = Callable[[Connection], Awaitable[T]]

_READERS = 4
"""The most read-only connections a process keeps."""

_BATCH = 1_000
"""The most units one commit carries."""


LOG_KEPT_BYTES = 64 * 2**20
"""What is kept of the write-ahead log when it begins anew; usually it has 4 MiB. It grows while a reader holds an old
state of the database, and SQLite would leave it at that until the last process closes the file."""


class _Pending(Generic[T]):
    """A unit waiting for its commit."""

    __slots__ = ("done", "error", "result", "unit")

    def __init__(self, unit: Unit[T]) -> None:
        self.unit = unit
        self.done = False
        self.result: T | None = None
        self.error: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        self.error, self.done = error, True


class Database:
    """One database file, opened by this process. Made with `open_database`."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.clock = clock
        self.timekeeper = Timekeeper(clock.monotonic_ns)
        """Where the time of this process goes while the database is open. Whoever works with it adds its own part."""
        self._writer: Connection | None = None
        self._write_lock = anyio.Lock()
        self._queue: deque[_Pending[Any]] = deque()
        self._idle_readers: list[Connection] = []
        self._readers = anyio.CapacityLimiter(_READERS)

    async def write(self, unit: Unit[T]) -> T:
        """Run `unit` in a write transaction and return its result once it is committed.

        A unit that raises leaves nothing behind and its error reaches only its caller. A caller cancelled before its
        unit began leaves nothing behind; one cancelled later may find it committed.
        """
        pending = _Pending(unit)
        self._queue.append(pending)
        try:
            async with self._write_lock:
                while not pending.done:
                    await self._commit_unhindered()
        except BaseException:
            if not pending.done and pending in self._queue:
                self._queue.remove(pending)
            raise
        if pending.error is not None:
            raise pending.error
        return pending.result  # type: ignore[return-value]

    async def read(self, unit: Unit[T]) -> T:
        """Run `unit` against one consistent state of the database, on a read-only connection."""
        async with self._readers:
            reader = self._idle_readers.pop() if self._idle_readers else await self._open_reader()
            try:
                result = await reader.patiently(lambda: _in_snapshot(reader, unit))
            except Exception:
                await self._keep(reader)
                raise
            except BaseException:
                # Cancelled: its last statement may still be running, so nobody else can have this connection.
                await reader.abandon()
                raise
            await self._keep(reader)
            return result

    async def _open_reader(self) -> Connection:
        # `mode=ro` is all that makes it read-only: nothing is left to do that could fail and leak the connection.
        return await Connection.open(self.path, read_only=True, timekeeper=self.timekeeper)

    async def _keep(self, reader: Connection) -> None:
        if self._writer is None:
            await reader.close()
        else:
            self._idle_readers.append(reader)

    async def _commit_unhindered(self) -> None:
        """Commit a batch in a task of its own: who is cancelled while leading must not stop the others' commit.

        An anyio shield alone does not do: asyncio's own `Task.cancel` (`asyncio.timeout`, Ctrl-C) passes through it.
        """
        commit = asyncio.create_task(self._commit_batch())
        cancelled: asyncio.CancelledError | None = None
        with anyio.CancelScope(shield=True):
            while not commit.done():
                try:
                    await asyncio.wait([commit])
                except asyncio.CancelledError as error:
                    cancelled = error
        if cancelled is not None:
            raise cancelled
        commit.result()

    async def _commit_batch(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), _BATCH))]
        writer = self._writer
        assert writer is not None, "write after close"
        try:
            await writer.patiently(lambda: writer.rows("BEGIN IMMEDIATE"))
            await self._check_schema(writer)
            for pending in batch:
                await _run_unit(writer, pending, alone=len(batch) == 1)
            await writer.rows("COMMIT")
        except BaseException as error:
            # Before the rollback, which may fail too: a unit neither queued nor done would be waited for forever.
            for pending in batch:
                pending.fail(error)
            if writer.in_transaction:
                await writer.rows("ROLLBACK")
            if not isinstance(error, Exception):
                raise
        for pending in batch:
            pending.done = True

    async def _check_schema(self, writer: Connection) -> None:
        found = await version(writer)
        if found > SCHEMA_VERSION:
            raise NewerSchema(str(self.path), found, SCHEMA_VERSION)

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
        self._writer = writer

    async def close(self) -> None:
        """Close every connection. An unclosed one would keep the interpreter from exiting."""
        async with self._write_lock:
            for reader in self._idle_readers:
                await reader.close()
            self._idle_readers.clear()
            if self._writer is not None:
                await self._writer.close()
                self._writer = None


async def _run_unit(writer: Connection, pending: _Pending[Any], *, alone: bool) -> None:
    """Run one unit of a batch so that its failure undoes only itself."""
    if not alone:
        await writer.rows("SAVEPOINT unit")
    try:
        pending.result = await pending.unit(writer)
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

"""One SQLite connection as we use it: units of work run in its thread, our own lock retry, errors translated."""

import asyncio
import contextlib
import contextvars
import json
import random
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
import anyio

from swarmtally.domain.errors import DatabaseBusy
from swarmtally.domain.timekeeping import Part, Timekeeper
from swarmtally.store import faults

T = TypeVar("T")

Row = Mapping[str, Any]


def values(row: Row) -> tuple[Any, ...]:
    """The values of a row in the order of its columns: what it gives when it is gone through, being a `sqlite3.Row`."""
    return tuple(row)


LOCK_DEADLINE_S = 30.0
"""How long a locked database is waited for."""

_RETRY_S = (0.0002, 0.002)
_WAIT_S = (0.0005, 0.004)
_OVERDUE_S = (0.0001, 0.0005)
_OVERDUE_FROM_S, _OVERDUE_TO_S = 0.008, 0.25
_INTERRUPT_S = 0.005

# SQLite's own busy_timeout starves processes that write at full speed, because it pauses longer the longer one has
# waited; a short jittered pause does not.
_jitter = random.Random()  # noqa: S311 - spreads retries, decides nothing


Unit = Callable[["Connection"], Awaitable[T]]
"""What is done in one transaction. It awaits nothing but statements of its connection, and touches nothing that the
event loop changes meanwhile: it runs to its end in the connection's thread."""


class _Threaded(aiosqlite.Connection):
    """aiosqlite's connection, which also runs what it is given in its thread."""

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._execute(work, self._conn)  # type: ignore[no-any-return, no-untyped-call]

    def at_once(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The same for who is in that thread already."""
        return work(self._conn)


class Connection:
    """A connection and its path. Statements return all their rows; parameters are named."""

    def __init__(self, raw: _Threaded, path: str, timekeeper: Timekeeper) -> None:
        self._raw = raw
        self._timekeeper = timekeeper
        self._inside = 0
        """The thread that runs a unit on this connection now."""
        self.path = path

    @classmethod
    async def open(cls, path: Path, *, read_only: bool, timekeeper: Timekeeper | None = None) -> "Connection":
        """Open `path`, created when absent unless `read_only`. The time its statements take goes to `timekeeper`.

        Raises:
            StoreError: it cannot be opened.
        """
        uri = f"{path.as_uri()}?mode={'ro' if read_only else 'rwc'}"
        # Shielded: a connection opened for a caller that is gone would have nobody to close it.
        with faults.translated(str(path)), anyio.CancelScope(shield=True):
            connect = partial(sqlite3.connect, uri, uri=True, timeout=0, isolation_level=None, cached_statements=1024)
            raw = _Threaded(connect, iter_chunk_size=64)
            await raw
        raw.row_factory = sqlite3.Row
        return cls(raw, str(path), timekeeper or Timekeeper(time.monotonic_ns))

    async def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Run one statement and return its rows (with RETURNING: the rows it changed)."""
        return await self._run(lambda raw: raw.execute(sql, parameters or {}).fetchall())

    async def row(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Row | None:
        """The first row of one statement, or None."""
        found = await self.rows(sql, parameters)
        return found[0] if found else None

    async def many(self, sql: str, parameters: Iterable[Mapping[str, Any]]) -> None:
        """Run one statement for each set of parameters. Outcomes per row are not seen: use it for plain inserts."""
        await self._run(lambda raw: raw.executemany(sql, parameters))

    async def insert(self, into: str, rows: Sequence[Sequence[Any]]) -> None:
        """Write `rows`, each with a value for every column; `into` is a table and its columns, as in `fact (a, b)`."""
        await self._in_parts(partial(_insertion, into, into.count(",") + 1), rows)

    async def over(self, given: str, rows: Sequence[Sequence[Any]], statement: str) -> list[Row]:
        """Run `statement` over the table `given`, as in `given (a, b)`, that has these `rows`; returns what it returns.

        It may begin with further tables (`, more AS (…) SELECT …`). Much faster than rows given as JSON. They are taken
        250 at a time: what the statement does to one must not depend on another.
        """
        return await self._in_parts(partial(_set_statement, given, given.count(",") + 1, statement), rows)

    async def _in_parts(self, made: Callable[[int], str], rows: Sequence[Sequence[Any]]) -> list[Row]:
        found: list[Row] = []
        begin = 0
        for size in _AT_ONCE:
            while len(rows) - begin >= size:
                values = list(chain.from_iterable(rows[begin : begin + size]))
                found += await self._run(partial(_fetched, made(size), values))
                begin += size
        return found

    async def work(self, unit: Unit[T]) -> T:
        """Run the whole unit in the connection's thread: its statements take no way between threads each."""
        context = contextvars.copy_context()
        return await self._raw.run(lambda _: context.run(self._finish, unit))

    def _finish(self, unit: Unit[T]) -> T:
        self._inside = threading.get_ident()
        steps = unit(self).__await__()
        try:
            next(steps)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        finally:
            self._inside = 0
        steps.close()
        raise AssertionError("a unit of work awaited something else than a statement of its connection")

    async def _run(self, statement: Callable[[sqlite3.Connection], T]) -> T:
        with faults.translated(self.path), self._timekeeper.time(Part.STORE):
            if self._inside == threading.get_ident():
                return self._raw.at_once(statement)
            return await self._raw.run(statement)

    async def begin(self) -> None:
        """Begin a write transaction, and wait for the lock in the connection's thread while another process holds it.

        Raises:
            DatabaseBusy: the lock could not be had within `LOCK_DEADLINE_S`.
        """
        await self._run(self._take_lock)

    def _take_lock(self, raw: sqlite3.Connection) -> None:
        if _locked(raw):
            return
        started = time.monotonic()
        with self._timekeeper.lock_wait():
            while not _locked(raw):
                waited = time.monotonic() - started
                if waited > LOCK_DEADLINE_S:
                    raise DatabaseBusy(self.path, waited)
                time.sleep(_pause_s(waited))

    async def patiently(self, step: Callable[[], Awaitable[T]]) -> T:
        """Run `step` again after a jittered 0.2-2 ms while another connection holds the lock.

        For what is seldom refused: each attempt goes to the connection's thread and back. Write transactions `begin`.

        Raises:
            DatabaseBusy: the lock could not be had within `LOCK_DEADLINE_S`.
        """
        started = time.monotonic()
        try:
            return await step()
        except sqlite3.Error as error:
            if not faults.is_busy(error):
                raise
        # From the first refusal until the step is done.
        with self._timekeeper.lock_wait():
            while True:
                await anyio.sleep(_jitter.uniform(*_RETRY_S))
                try:
                    return await step()
                except sqlite3.Error as error:
                    if not faults.is_busy(error):
                        raise
                    waited = time.monotonic() - started
                    if waited > LOCK_DEADLINE_S:
                        raise DatabaseBusy(self.path, waited) from error

    @property
    def in_transaction(self) -> bool:
        return self._raw.in_transaction

    async def close(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._raw.close()

    async def abandon(self) -> None:
        """Close while a statement may still run for a caller that was cancelled: it is interrupted."""
        closing = asyncio.create_task(self._raw.close())
        with anyio.CancelScope(shield=True):
            while not closing.done():
                # Again and again: an interrupt reaches only a statement that has begun, and this one may be queued.
                with contextlib.suppress(ValueError, sqlite3.ProgrammingError):
                    await self._raw.interrupt()
                await asyncio.wait([closing], timeout=_INTERRUPT_S)
            closing.result()


_AT_ONCE = (250, 100, 40, 16, 8, 4, 2, 1)
"""How many rows one statement writes: each statement costs as much as three rows, and lets go of the interpreter, which
a busy event loop gives back only after milliseconds."""


@lru_cache(maxsize=512)
def _insertion(into: str, width: int, rows: int) -> str:
    return f"INSERT INTO {into} {_table(width, rows)}"


@lru_cache(maxsize=512)
def _set_statement(given: str, width: int, statement: str, rows: int) -> str:
    return f"WITH RECURSIVE {given} AS ({_table(width, rows)}) {statement}"


def _table(width: int, rows: int) -> str:
    row = f"({', '.join('?' * width)})"
    return f"VALUES {', '.join([row] * rows)}"


def _pause_s(waited_s: float) -> float:
    """How long to wait before asking for the lock again. Who has waited longer than a few transactions take asks more
    often, and so comes first; not for ever, since it takes processor time from whoever holds the lock."""
    overdue = _OVERDUE_FROM_S < waited_s < _OVERDUE_TO_S
    return _jitter.uniform(*(_OVERDUE_S if overdue else _WAIT_S))


def _locked(raw: sqlite3.Connection) -> bool:
    """Begin a write transaction, unless another connection is in one."""
    try:
        raw.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        if faults.is_busy(error):
            return False
        raise
    return True


def _fetched(statement: str, values: Sequence[Any], raw: sqlite3.Connection) -> list[Row]:
    return raw.execute(statement, values).fetchall()


def as_json(items: Sequence[object]) -> str:
    """`items` as a JSON array, the form in which set statements take them (`json_each`)."""
    return json.dumps(items, ensure_ascii=False, separators=(",", ":"))

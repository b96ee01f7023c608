"""One SQLite connection as we use it: rows back in one hop, our own lock retry, errors translated."""

import asyncio
import contextlib
import json
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
import anyio

from swarmtally.domain.errors import DatabaseBusy
from swarmtally.domain.timekeeping import Part, Timekeeper
from swarmtally.store import faults

T = TypeVar("T")

Row = Mapping[str, Any]

LOCK_DEADLINE_S = 30.0
"""How long a locked database is waited for."""

_RETRY_MIN_S = 0.0002
_RETRY_MAX_S = 0.002
_INTERRUPT_S = 0.005

# SQLite's own busy_timeout starves processes that write at full speed; a short jittered pause does not.
_jitter = random.Random()  # noqa: S311 - spreads retries, decides nothing


class Connection:
    """A connection and its path. Statements return all their rows; parameters are named."""

    def __init__(self, raw: aiosqlite.Connection, path: str, timekeeper: Timekeeper) -> None:
        self._raw = raw
        self._timekeeper = timekeeper
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
            raw = await aiosqlite.connect(uri, uri=True, timeout=0, isolation_level=None, cached_statements=256)
        raw.row_factory = sqlite3.Row
        return cls(raw, str(path), timekeeper or Timekeeper(time.monotonic_ns))

    async def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Run one statement and return its rows (with RETURNING: the rows it changed)."""
        with faults.translated(self.path), self._timekeeper.time(Part.STORE):
            return list(await self._raw.execute_fetchall(sql, parameters or {}))  # type: ignore[arg-type]

    async def row(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Row | None:
        """The first row of one statement, or None."""
        found = await self.rows(sql, parameters)
        return found[0] if found else None

    async def many(self, sql: str, parameters: Iterable[Mapping[str, Any]]) -> None:
        """Run one statement for each set of parameters. Outcomes per row are not seen: use it for plain inserts."""
        with faults.translated(self.path), self._timekeeper.time(Part.STORE):
            async with self._raw.executemany(sql, parameters):
                pass

    async def patiently(self, step: Callable[[], Awaitable[T]]) -> T:
        """Run `step` again after a jittered 0.2-2 ms while another connection holds the lock.

        Raises:
            DatabaseBusy: the lock could not be had within `LOCK_DEADLINE_S`.
        """
        started = time.monotonic()
        try:
            return await step()
        except sqlite3.Error as error:
            if not faults.is_busy(error):
                raise
        # From the first refusal until the step is done; a refused `BEGIN IMMEDIATE`, our usual one, does nothing else.
        with self._timekeeper.lock_wait():
            while True:
                await anyio.sleep(_jitter.uniform(_RETRY_MIN_S, _RETRY_MAX_S))
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


def as_json(items: Sequence[object]) -> str:
    """`items` as a JSON array, the form in which set statements take them (`json_each`)."""
    return json.dumps(items, ensure_ascii=False, separators=(",", ":"))

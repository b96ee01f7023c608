"""SQLite's errors translated to ours, in this one place."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swarmtally.domain.errors import (
    DatabaseCorrupt,
    DatabaseReadOnly,
    DatabaseUnavailable,
    DiskFull,
    StoreError,
)

_BUSY = {"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL"}
_NO_SPACE_BYTES = 256 * 1024
"""Less free space than this, and an I/O error is put down to it."""

_CORRUPT = {"SQLITE_CORRUPT", "SQLITE_NOTADB"}


def primary_name(error: sqlite3.Error) -> str:
    """The primary result code's name: `SQLITE_BUSY` for `SQLITE_BUSY_RECOVERY`, empty when SQLite gave none."""
    name: str = getattr(error, "sqlite_errorname", "") or ""
    return "_".join(name.split("_")[:2])


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection stood in the way, so that trying again can help."""
    return primary_name(error) in _BUSY


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Raise `translate`'s error for one of SQLite's; what has no translation passes as it is."""
    try:
        yield
    except sqlite3.Error as error:
        ours = translate(error, path)
        if ours is None:
            raise
        raise ours from error


def translate(error: sqlite3.Error, path: str) -> StoreError | None:
    """Our error for a condition outside the program, None for a fault of the program itself."""
    code = primary_name(error)
    if code == "SQLITE_FULL" or getattr(error, "sqlite_errorname", "") == "SQLITE_IOERR_WRITE":
        return DiskFull(path)
    if code == "SQLITE_IOERR" and _no_space(path):
        # A full disk shows under many names, such as SQLITE_IOERR_SHMSIZE when the -shm file cannot grow.
        return DiskFull(path)
    if code in _CORRUPT:
        return DatabaseCorrupt(path, str(error))
    if code == "SQLITE_READONLY":
        return DatabaseReadOnly(path)
    if code in {"SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_NOLFS"}:
        return DatabaseUnavailable(path, str(error))
    return None


def _no_space(path: str) -> bool:
    try:
        return shutil.disk_usage(Path(path).parent).free < _NO_SPACE_BYTES
    except OSError:
        return False

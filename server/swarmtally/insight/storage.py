"""Health of the database: its file, its schema, a real write, its write-ahead log, its disk."""

import os
import shlex
import shutil
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.to_thread
import psutil

from swarmtally.domain.health import Finding, Status, at_least, at_most, ok
from swarmtally.insight.health_limits import Limits
from swarmtally.store import health
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from swarmtally.store.migrations import SCHEMA_VERSION, version

_MIB = 1024 * 1024

_REMEDY_ALL = "swarmtally doctor"
"""Reads the whole file, however long that takes."""

_REMEDY_DAMAGE = "move it away, or restore a backup"


async def integrity(path: Path, limits: Limits) -> Finding:
    """SQLite's quick_check on a connection of its own: of the whole file, or of as many tables as time allows."""
    size = (await anyio.to_thread.run_sync(path.stat, abandon_on_cancel=True)).st_size
    subject = f"{path}, {size} bytes"
    whole = size <= limits.whole_bytes
    parts: Sequence[str | None] = [None]
    done = 0
    with anyio.move_on_after(limits.integrity_s) as scope:
        async with health.fresh(path, read_only=True) as connection:
            if not whole:
                parts = await health.tables(connection)
            for part in parts:
                found = await health.faults(connection, part)
                if found:
                    return Finding(Status.FAILED, f"{subject}: {found[0]}", _REMEDY_DAMAGE)
                done += 1
    if whole and not scope.cancelled_caught:
        return ok(f"{subject}: quick_check of the whole file found nothing")
    if not scope.cancelled_caught:
        return Finding(Status.OK, f"{subject}: quick_check of {done} tables one by one found nothing", _REMEDY_ALL)
    read = "not all of the file" if whole else f"{done} of {len(parts)} tables"
    over = f"quick_check read {read} in {limits.integrity_s:g} s, and found nothing in that"
    return Finding(Status.OK, f"{subject}: {over}", _REMEDY_ALL)


async def schema(database: Database) -> Finding:
    """The file's schema version against the program's, and against the migrations it says it had."""

    async def unit(tx: Connection) -> tuple[int, list[int]]:
        return await version(tx), await health.migrations(tx)

    found, applied = await database.read(unit)
    detail = f"schema {found}; this program knows {SCHEMA_VERSION}"
    if found > SCHEMA_VERSION:
        return Finding(Status.FAILED, detail, "upgrade swarmtally and restart this process")
    if found < SCHEMA_VERSION:
        return Finding(Status.FAILED, detail, "restart this process: opening the database migrates it")
    if applied != list(range(1, found + 1)):
        return Finding(Status.FAILED, f"{detail}, but migrations {applied} are on record", _REMEDY_DAMAGE)
    return ok(detail)


async def write(path: Path, limits: Limits) -> Finding:
    """How long a durable commit takes from taking the lock on; it changes no row."""
    began = anyio.current_time()
    with anyio.move_on_after(limits.write_s) as scope:
        async with health.fresh(path, read_only=False) as writer:
            began = anyio.current_time()
            await health.round_trip(writer)
    took_s = anyio.current_time() - began
    if scope.cancelled_caught:
        return Finding(
            Status.FAILED,
            f"no write could be committed within {limits.write_s:g} s",
            await _find_holders(path),
        )
    status = at_most(took_s, limits.write_slow_s)
    detail = f"a durable commit took {took_s * 1000:.1f} ms (limit {limits.write_slow_s * 1000:g} ms)"
    return Finding(status, detail, None if status is Status.OK else await _find_holders(path))


async def wal(path: Path, limits: Limits) -> Finding:
    """The size of the write-ahead log, which cannot be emptied while somebody reads."""
    size = await anyio.to_thread.run_sync(_size, Path(f"{path}-wal"), abandon_on_cancel=True)
    status = at_most(size, limits.wal_bytes)
    detail = f"the write-ahead log has {size} bytes (limit {limits.wal_bytes})"
    if status is Status.OK:
        return ok(detail)
    detail += "; a long read keeps it from being emptied, or it was not cut back since"
    holders = await anyio.to_thread.run_sync(_holders, path, abandon_on_cancel=True)
    if holders:
        detail += f"; open in {', '.join(holders)}"
    return Finding(status, detail, _truncate(path))


def _truncate(path: Path) -> str:
    """The command that empties the log, once nobody reads an old state."""
    program = (
        f"import sqlite3; print(sqlite3.connect({str(path)!r}, timeout=10)"
        ".execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchone())"
    )
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(program)}"


async def space(path: Path, limits: Limits) -> Finding:
    free = (await anyio.to_thread.run_sync(shutil.disk_usage, path.parent, abandon_on_cancel=True)).free
    status = at_least(free, limits.free_low_bytes, limits.free_least_bytes)
    detail = (
        f"{free // _MIB} MiB are free in {path.parent} (degraded below {limits.free_low_bytes // _MIB}, "
        f"failed below {limits.free_least_bytes // _MIB} MiB)"
    )
    return Finding(status, detail, None if status is Status.OK else f"free space on the disk that holds {path.parent}")


async def mode(path: Path) -> Finding:
    """Whether others on this machine may read the file or what lies beside it."""
    if os.name != "posix":
        return ok("this system has no file modes; the folder's access list decides")
    found = await anyio.to_thread.run_sync(_modes, path, abandon_on_cancel=True)
    wide = [name for name, bits in found.items() if bits & 0o077]
    named = ", ".join(f"{Path(name).name} {bits:04o}" for name, bits in found.items())
    if wide:
        remedy = f"chmod 600 {' '.join(shlex.quote(name) for name in wide)}"
        return Finding(Status.DEGRADED, f"others may read or write it: {named} (limit 0600)", remedy)
    return ok(f"{named} (limit 0600)")


async def _find_holders(path: Path) -> str:
    holders = await anyio.to_thread.run_sync(_holders, path, abandon_on_cancel=True)
    named = f"; it is open in {', '.join(holders)}" if holders else ""
    return f"find the process that holds the write lock, or a disk that is overloaded{named}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _modes(path: Path) -> dict[str, int]:
    found = {}
    for name in (str(path), f"{path}-wal", f"{path}-shm"):
        try:
            found[name] = stat.S_IMODE(Path(name).stat().st_mode)
        except FileNotFoundError:
            continue
    return found


def _holders(path: Path) -> list[str]:
    """The processes that have the file open, as far as the system lets us see: `name (pid N)`."""
    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if any(file.path == str(path) for file in process.open_files()):
                found.append(f"{process.info['name']} (pid {process.pid})")
        except (psutil.Error, OSError):
            continue
    return found

"""A disk that is full, a file that is damaged or may not be written: one clear line, nothing half done."""

import contextlib
import os
import sqlite3
import sys
import threading

import anyio
import pytest

from swarmtally.core.memory import Memory
from swarmtally.domain.errors import (
    DatabaseCorrupt,
    DatabaseReadOnly,
    DatabaseUnavailable,
    DiskFull,
    ForeignDatabase,
    NotFound,
)
from swarmtally.store import faults
from swarmtally.store.connection import Connection
from swarmtally.store.database import open_database


async def no_connection_is_left():
    """An unclosed connection has a thread that would keep the interpreter from exiting."""
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            await anyio.to_thread.run_sync(thread.join, 5)
            assert not thread.is_alive()


async def refused(path, clock, condition, fact):
    with pytest.raises(condition, match=fact) as raised:
        async with open_database(path, clock):
            pass
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)
    await no_connection_is_left()


async def test_a_file_that_is_no_database_is_named(path, clock):
    path.write_bytes(b"This is no database. " * 1000)
    await refused(path, clock, DatabaseCorrupt, "damaged or no database")
    assert path.read_bytes().startswith(b"This is no database")


async def test_a_damaged_database_is_named(path, clock):
    async with open_database(path, clock) as database:
        memory = Memory(database, clock)
        for number in range(50):
            await memory.store("p", "n", f"k{number}", "x" * 3000)
    damaged = bytearray(path.read_bytes())
    for offset in range(4096, len(damaged), 4096):
        damaged[offset : offset + 200] = b"\xff" * 200
    path.write_bytes(damaged)
    with pytest.raises(DatabaseCorrupt, match="move it away and try again, or restore a backup"):
        async with open_database(path, clock) as database:
            await Memory(database, clock).list("p")
    await no_connection_is_left()


async def test_another_programs_database_is_left_as_it_is(path, clock):
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE bookmark (url TEXT)")
        other.commit()
    before = path.read_bytes()
    await refused(path, clock, ForeignDatabase, "belongs to another program; nothing was changed")
    assert path.read_bytes() == before


async def test_a_folder_in_place_of_the_file_is_named(tmp_path, clock):
    await refused(tmp_path, clock, DatabaseUnavailable, "unable to open database file")


async def test_a_read_only_database_is_read_and_not_written(path, clock):
    async with open_database(path, clock) as database:
        await Memory(database, clock).store("p", "n", "k", "kept")
    # A write version that this SQLite does not know makes it treat the file as read-only, for root too.
    content = bytearray(path.read_bytes())
    content[18] = 3
    path.write_bytes(content)
    async with open_database(path, clock) as database:
        memory = Memory(database, clock)
        assert (await memory.retrieve("p", "n", "k")).value == "kept"
        with pytest.raises(DatabaseReadOnly, match="make the file and its folder writable"):
            await memory.store("p", "n", "k", "lost")
        assert (await memory.retrieve("p", "n", "k")).value == "kept"


async def test_a_full_disk_is_named_and_nothing_is_half_done(database, memory):
    await memory.store("p", "n", "k", "before")

    async def fills(tx):
        await tx.rows("PRAGMA max_page_count = 1")  # SQLite takes the present size, when that is larger
        await tx.rows("UPDATE memory SET tags = '[\"half\"]'")
        await tx.rows("INSERT INTO project VALUES (:name, NULL, 0)", {"name": "x" * 1_000_000})

    with pytest.raises(DiskFull, match="the disk is full; free space and try again"):
        await database.write(fills)
    with pytest.raises(DiskFull):
        await memory.store("p", "n", "big", "x" * 500_000)
    assert (await memory.retrieve("p", "n", "k")).tags == ()
    with pytest.raises(NotFound):
        await memory.retrieve("p", "n", "big")
    await database.write(lambda tx: tx.rows("PRAGMA max_page_count = 1000000"))
    assert (await memory.store("p", "n", "k", "after")).version == 2


FILLING = """
import asyncio, resource, sys
from pathlib import Path
from swarmtally.core.memory import Memory
from swarmtally.domain.clock import SystemClock
from swarmtally.domain.errors import SwarmError
from swarmtally.store.database import open_database

async def main():
    async with open_database(Path(sys.argv[1]), SystemClock()) as database:
        memory = Memory(database, SystemClock())
        # From here on the operating system refuses to make any file of this process larger.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
        for number in range(100):
            try:
                await memory.store("p", "n", f"k{number}", "x" * 100_000)
            except SwarmError as error:
                print(type(error).__name__, error)
                break
            print(number, flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))

asyncio.run(main())
"""


async def test_a_write_the_operating_system_refuses_is_named_and_what_was_acknowledged_is_there(path, clock):
    command = [sys.executable, "-W", "ignore", "-c", FILLING, str(path)]
    done = await anyio.run_process(command, env=without_coverage())
    *acknowledged, last = done.stdout.decode().splitlines()
    assert last.startswith("DiskFull database"), done
    assert acknowledged
    async with open_database(path, clock) as database:
        page = await Memory(database, clock).list("p", limit=1000)
    assert {hit.key for hit in page.hits} == {f"k{number}" for number in acknowledged}


def without_coverage():
    """The child's limit on file sizes would cut the coverage data too."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}


def error(name):
    made = sqlite3.OperationalError("detail")
    made.sqlite_errorname = name
    return made


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("SQLITE_FULL", DiskFull),
        ("SQLITE_IOERR_WRITE", DiskFull),
        ("SQLITE_CORRUPT_VTAB", DatabaseCorrupt),
        ("SQLITE_NOTADB", DatabaseCorrupt),
        ("SQLITE_READONLY_DBMOVED", DatabaseReadOnly),
        ("SQLITE_CANTOPEN", DatabaseUnavailable),
        ("SQLITE_IOERR_READ", DatabaseUnavailable),
        ("SQLITE_ERROR", None),
        ("SQLITE_BUSY", None),
        ("", None),
    ],
)
def test_each_condition_has_its_class(name, condition):
    translated = faults.translate(error(name), "/data/swarm.db")
    assert type(translated) is (condition or type(None))


def test_what_has_no_class_passes_unchanged():
    with pytest.raises(sqlite3.OperationalError, match="detail") as raised, faults.translated("/data/swarm.db"):
        raise error("SQLITE_ERROR")
    assert raised.value.__cause__ is None
    with pytest.raises(DiskFull) as full, faults.translated("/data/swarm.db"):
        raise error("SQLITE_FULL")
    assert isinstance(full.value.__cause__, sqlite3.OperationalError)


def test_another_process_in_the_way_is_known_by_its_primary_code():
    assert faults.is_busy(error("SQLITE_BUSY_RECOVERY"))
    assert faults.is_busy(error("SQLITE_BUSY"))
    assert not faults.is_busy(error("SQLITE_FULL"))
    assert not faults.is_busy(sqlite3.ProgrammingError("raised by Python"))


async def test_a_file_that_is_not_there_cannot_be_read(tmp_path):
    with pytest.raises(DatabaseUnavailable):
        await Connection.open(tmp_path / "none.db", read_only=True)
    await no_connection_is_left()

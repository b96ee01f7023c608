"""Damage, a full disk, a log that grows, a lock that is held: each is planted and found, and where a command mends it,
it is run."""

import contextlib
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from swarmtally.core.memory import Memory
from swarmtally.domain.clock import SystemClock
from swarmtally.domain.health import Finding, Status
from swarmtally.insight.health import Component
from swarmtally.store.database import Database
from tests.insight.health import CALM, look, opened

STORE = Component.STORE


@contextlib.contextmanager
def another(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection such as another process has."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        yield connection


def damage(path: Path, table: str) -> None:
    """Overwrite the root page of a table."""
    with another(path) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", [table]).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = b"\xee" * size
    path.write_bytes(content)


async def fill(database: Database, entries: int = 20) -> None:
    memory = Memory(database, SystemClock())
    for number in range(entries):
        await memory.store("p", "n", f"k{number}", "x" * 20_000)


def mend(finding: Finding) -> None:
    """Run the remedy as a shell would."""
    assert finding.remedy is not None
    subprocess.run(finding.remedy, shell=True, check=True, stdout=subprocess.DEVNULL, timeout=60)


@pytest.mark.parametrize("whole_bytes", [CALM.whole_bytes, 0])
async def test_a_damaged_page_is_found(tmp_path: Path, whole_bytes: int) -> None:
    limits = replace(CALM, whole_bytes=whole_bytes)
    async with opened(tmp_path) as database:
        assert (await look(database, STORE, "integrity", limits)).status is Status.OK
    damage(tmp_path / "swarm.db", "usage")
    async with opened(tmp_path) as database:
        finding = await look(database, STORE, "integrity", limits)
    assert finding.status is Status.FAILED
    assert finding.remedy is not None
    assert "restore a backup" in finding.remedy


async def test_a_page_damaged_while_the_database_is_open_is_found(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        await fill(database)
        with another(database.path) as other:
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
        damage(database.path, "attempt")
        assert (await look(database, STORE, "integrity")).status is Status.FAILED


async def test_other_checks_that_meet_the_damage_fail_with_the_same_remedy(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    damage(tmp_path / "swarm.db", "event")
    async with opened(tmp_path) as database:
        finding = await look(database, Component.CLOCK, "recorded")
    assert finding.status is Status.FAILED
    assert "is damaged or no database" in finding.detail
    assert "restore a backup" in str(finding.remedy)


async def test_a_large_file_is_read_table_by_table_and_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        with another(database.path) as other:
            (tables,) = other.execute("SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table'").fetchone()
        finding = await look(database, STORE, "integrity", replace(CALM, whole_bytes=0))
    assert f"quick_check of {tables} tables one by one" in finding.detail
    assert finding.remedy == "swarmtally doctor"


@pytest.mark.parametrize(("whole_bytes", "read"), [(0, "0 of"), (CALM.whole_bytes, "not all of the file")])
async def test_a_file_that_takes_too_long_says_what_was_read(tmp_path: Path, whole_bytes: int, read: str) -> None:
    async with opened(tmp_path) as database:
        finding = await look(database, STORE, "integrity", replace(CALM, whole_bytes=whole_bytes, integrity_s=0))
        assert (finding.status, finding.remedy) == (Status.OK, "swarmtally doctor")
        assert f"quick_check read {read}" in finding.detail
        # The reader that was interrupted is gone, and nothing is in the way of a writer.
        assert (await look(database, STORE, "write")).status is Status.OK


async def test_a_log_that_a_reader_keeps_from_being_emptied_is_found_and_mended(tmp_path: Path) -> None:
    limits = replace(CALM, wal_bytes=200_000)
    async with opened(tmp_path) as database:
        with another(database.path) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            other.execute("BEGIN")
            other.execute("SELECT COUNT(*) FROM memory").fetchone()
            await fill(database)
            finding = await look(database, STORE, "wal", limits)
            other.execute("COMMIT")
        assert finding.status is Status.DEGRADED
        assert "(limit 200000)" in finding.detail
        assert "(pid " in finding.detail
        await anyio.to_thread.run_sync(mend, finding)
        assert (await look(database, STORE, "wal", limits)).status is Status.OK


@pytest.mark.parametrize(("least", "status"), [(0, Status.DEGRADED), (1 << 62, Status.FAILED)])
async def test_a_disk_that_is_nearly_full_is_found(tmp_path: Path, least: int, status: Status) -> None:
    limits = replace(CALM, free_low_bytes=1 << 62, free_least_bytes=least)
    async with opened(tmp_path) as database:
        finding = await look(database, STORE, "space", limits)
    assert finding.status is status
    assert str(tmp_path) in str(finding.remedy)


async def test_a_file_that_others_may_read_is_found_and_mended(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        assert (await look(database, STORE, "mode")).status is Status.OK
        database.path.chmod(0o640)
        finding = await look(database, STORE, "mode")
        assert finding.status is Status.DEGRADED
        assert "swarm.db 0640" in finding.detail
        await anyio.to_thread.run_sync(mend, finding)
        assert (await look(database, STORE, "mode")).status is Status.OK


async def test_a_write_lock_that_is_held_is_found(tmp_path: Path) -> None:
    limits = replace(CALM, write_s=0.2)
    async with opened(tmp_path) as database:
        with another(database.path) as other:
            other.execute("BEGIN IMMEDIATE")
            finding = await look(database, STORE, "write", limits)
            other.execute("ROLLBACK")
        assert (finding.status, finding.detail) == (Status.FAILED, "no write could be committed within 0.2 s")
        assert "holds the write lock" in str(finding.remedy)
        assert (await look(database, STORE, "write")).status is Status.OK


async def test_a_slow_commit_is_told_with_its_time(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        finding = await look(database, STORE, "write", replace(CALM, write_slow_s=0))
    assert finding.status is Status.DEGRADED
    assert finding.detail.startswith("a durable commit took ")


async def test_the_write_is_real_and_changes_no_row(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        await fill(database, 1)
        with another(database.path) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            before = list(other.iterdump())
            version = other.execute("PRAGMA data_version").fetchone()
            assert (await look(database, STORE, "write")).status is Status.OK
            log = Path(f"{database.path}-wal")
            assert (await anyio.to_thread.run_sync(log.stat)).st_size > 0
            assert other.execute("PRAGMA data_version").fetchone() != version
            assert list(other.iterdump()) == before


async def test_a_file_that_cannot_be_written_is_found(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    # A write version that this SQLite does not know makes it treat the file as read-only, for root too.
    path = tmp_path / "swarm.db"
    content = bytearray(path.read_bytes())
    content[18] = 3
    path.write_bytes(content)
    async with opened(tmp_path) as database:
        finding = await look(database, STORE, "write")
    assert finding.status is Status.FAILED
    assert "make the file and its folder writable" in str(finding.remedy)


@pytest.mark.parametrize(
    ("statement", "remedy"),
    [
        ("PRAGMA user_version = 99", "upgrade swarmtally"),
        ("PRAGMA user_version = 1", "restart this process"),
        ("DELETE FROM migration WHERE version = 1", "restore a backup"),
    ],
)
async def test_a_schema_that_is_not_ours_is_found(tmp_path: Path, statement: str, remedy: str) -> None:
    async with opened(tmp_path) as database:
        with another(database.path) as other:
            other.execute(statement)
        finding = await look(database, STORE, "schema")
    assert finding.status is Status.FAILED
    assert remedy in str(finding.remedy)

"""Numbered scripts, each whole or not at all, after a backup."""

import sqlite3
import stat

import anyio
import pytest

from swarmtally.domain.errors import NewerSchema
from swarmtally.store.connection import Connection
from swarmtally.store.migrations import SCHEMA_VERSION, migrate, scripts, statements, version

ALL = scripts()
FIRST = ALL[0]
SECOND = (2, "-- one more\nCREATE TABLE extra (a TEXT) STRICT;\nINSERT INTO extra VALUES ('x');\n-- the end\n")
BROKEN = (2, "CREATE TABLE extra (a TEXT) STRICT;\nINSERT INTO nowhere VALUES (1);\n")


@pytest.fixture
async def file(path):
    opened = await Connection.open(path, read_only=False)
    yield opened
    await opened.close()


async def schema(file):
    return [tuple(row) for row in await file.rows("SELECT type, name, sql FROM sqlite_schema ORDER BY name")]


def test_the_known_version_is_that_of_the_newest_script():
    numbers = [number for number, _ in scripts()]
    assert numbers == list(range(1, SCHEMA_VERSION + 1))


def test_a_script_is_split_into_its_statements():
    text = "CREATE TABLE a (x); -- why; not\nCREATE TRIGGER t AFTER DELETE ON a BEGIN\n  DELETE FROM a;\nEND;\nSELECT 1"
    found = list(statements(text))
    assert len(found) == 3
    assert found[0].startswith("CREATE TABLE")
    assert "TRIGGER" in found[1]
    assert found[1].rstrip().endswith("END;")
    assert found[-1] == "SELECT 1"


async def test_an_empty_file_gets_every_script_and_no_backup(file, path):
    await migrate(file, 7)
    assert await version(file) == SCHEMA_VERSION
    rows = await file.rows("SELECT version, applied_ns FROM migration")
    assert [tuple(row) for row in rows] == [(number, 7) for number, _ in ALL]
    assert not list(path.parent.glob("*.bak*"))
    before = await schema(file)
    await migrate(file, 8)
    assert await schema(file) == before


async def test_an_older_schema_is_backed_up_first(file, path):
    await migrate(file, 7, 1, lambda: [FIRST])
    await file.rows("INSERT INTO project VALUES ('p', NULL, 0)")
    await migrate(file, 8, 2, lambda: [FIRST, SECOND])
    assert await version(file) == 2
    assert [row["a"] for row in await file.rows("SELECT a FROM extra")] == ["x"]
    assert [row["applied_ns"] for row in await file.rows("SELECT applied_ns FROM migration")] == [7, 8]
    (backup,) = path.parent.glob("*.bak*")
    assert backup.name == "swarm.db.schema-1.bak"
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    old = sqlite3.connect(backup)
    assert old.execute("PRAGMA user_version").fetchone() == (1,)
    assert old.execute("SELECT project FROM project").fetchall() == [("p",)]
    old.close()


async def test_an_earlier_backup_of_the_same_schema_is_replaced(file, path):
    await migrate(file, 7, 1, lambda: [FIRST])
    path.with_name("swarm.db.schema-1.bak").write_bytes(b"half a backup")
    await migrate(file, 8, 2, lambda: [FIRST, SECOND])
    old = sqlite3.connect(path.with_name("swarm.db.schema-1.bak"))
    assert old.execute("PRAGMA user_version").fetchone() == (1,)
    old.close()
    assert len(list(path.parent.glob("*.bak*"))) == 1


async def test_a_script_that_fails_leaves_schema_and_version_as_they_were(file, path):
    await migrate(file, 7, 1, lambda: [FIRST])
    before = await schema(file)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        await migrate(file, 8, 2, lambda: [FIRST, BROKEN])
    assert await version(file) == 1
    assert await schema(file) == before
    assert not file.in_transaction
    assert len(list(path.parent.glob("*.bak"))) == 1


async def test_a_newer_schema_is_left_alone(file):
    await file.rows("PRAGMA user_version = 9")
    with pytest.raises(NewerSchema, match="has schema 9"):
        await migrate(file, 7)
    assert await schema(file) == []


async def test_two_processes_migrating_at_once_apply_each_script_once(file, path):
    """The other process is done just when this one has read the old version and fetches its scripts."""
    await migrate(file, 7, 1, lambda: [FIRST])

    def meanwhile():
        other = sqlite3.connect(path)
        other.executescript(f"BEGIN; {SECOND[1]} INSERT INTO migration VALUES (2, 9); PRAGMA user_version = 2; COMMIT;")
        other.close()
        return [FIRST, SECOND]

    await migrate(file, 8, 2, meanwhile)
    assert [row["applied_ns"] for row in await file.rows("SELECT applied_ns FROM migration")] == [7, 9]


async def test_a_backup_made_after_another_process_migrated_is_thrown_away(file, path):
    await migrate(file, 7, 1, lambda: [FIRST])
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    class Overtaken(Connection):
        """Another process migrates between our reading of the version and our backup."""

        async def rows(self, sql, parameters=None):
            if sql.startswith("VACUUM"):
                await anyio.to_thread.run_sync(other.executescript, "CREATE TABLE extra (a); PRAGMA user_version = 2;")
            return await super().rows(sql, parameters)

    ours = await Overtaken.open(path, read_only=False)
    await migrate(ours, 8, 2, lambda: [FIRST, SECOND])
    await ours.close()
    other.close()
    assert not list(path.parent.glob("*.bak*"))

"""A database that schema 1 left in the middle of its work is opened by schema 2, and the work goes on."""

import sqlite3
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from swarmtally.domain.clock import SystemClock
from swarmtally.domain.task import TaskStatus
from swarmtally.store import location
from swarmtally.store.database import open_database
from swarmtally.store.migrations import APPLICATION_ID, scripts
from tests.core.harness import swarmed
from tests.core.invariants import assert_lawful, broken

TABLES = ("project", "swarm", "agent", "run", "task", "dependency", "attempt", "usage", "artefact", "event", "memory")

BACKEND = '{"name":"scripted","model":"scripted","base_url":null,"reason":"old","max_output_tokens":null}'

ROWS = f"""
INSERT INTO project VALUES ('test', 's_1', 1);
INSERT INTO swarm VALUES ('s_1', 'test', 'old', 'star', 'balanced', 4, 3, NULL, 1);
INSERT INTO agent VALUES ('a_0', 's_1', 0, 'coder', 'one', '["python"]', 'busy', 't_2', 5, 1, 0, 1);
INSERT INTO agent VALUES ('a_1', 's_1', 1, 'coder', 'two', '[]', 'busy', 't_3', 5, 0, 0, 1);
INSERT INTO agent VALUES ('a_2', 's_1', 2, 'tester', 'three', '[]', 'idle', NULL, 5, 0, 1, 1);
INSERT INTO run VALUES ('r_1', 'test', 's_1', 'batch', 'the work', '["context"]', NULL, '{BACKEND}', 'running', NULL,
                        1, 2, NULL, 'gone:1:1', 3, 99);
INSERT INTO run VALUES ('r_2', 'test', 's_1', 'batch', 'done before', '[]', NULL, '{BACKEND}', 'failed', 'a reason',
                        1, 2, 3, NULL, 1, 0);
INSERT INTO task VALUES ('t_1', 'r_1', 0, 'a', 'work', 'coder', 'coder', 'a', 0, 2, 0, 0, 'succeeded', 0, 1, 0, 'a_0',
                         1, 1, 4, NULL);
INSERT INTO task VALUES ('t_2', 'r_1', 1, 'b', 'work', 'coder', 'coder', 'b', 0, 1, 0, 0, 'running', 0, 2, 0, 'a_0',
                         1, 4, NULL, 'busy');
INSERT INTO task VALUES ('t_3', 'r_1', 2, 'c', 'work', 'coder', 'coder', 'c', 0, 2, 0, 0, 'running', 0, 1, 0, 'a_1',
                         1, 1, NULL, NULL);
INSERT INTO task VALUES ('t_4', 'r_1', 3, 'd', 'work', 'coder', 'coder', 'd', 0, 1, 1, 0, 'blocked', 1, 0, 0, NULL,
                         1, NULL, NULL, NULL);
INSERT INTO task VALUES ('t_5', 'r_2', 0, 'bad', 'work', 'coder', 'coder', 'bad', 0, 1, 0, 0, 'failed', 0, 1, 0, 'a_2',
                         1, 1, 3, 'refused');
INSERT INTO dependency VALUES ('t_2', 't_1'), ('t_4', 't_3');
INSERT INTO attempt VALUES ('t_1', 1, 2, 'a_0', 'lost', 1, NULL, NULL, 2, NULL, NULL);
INSERT INTO attempt VALUES ('t_1', 2, 3, 'a_0', 'succeeded', 2, 2, 3, 4, 1, NULL);
INSERT INTO attempt VALUES ('t_2', 1, 3, 'a_0', 'failed', 4, 4, 5, 5, 1, 'busy');
INSERT INTO attempt VALUES ('t_2', 2, 3, 'a_0', 'running', 6, NULL, NULL, NULL, NULL, NULL);
INSERT INTO attempt VALUES ('t_3', 1, 3, 'a_1', 'running', 6, NULL, NULL, NULL, NULL, NULL);
INSERT INTO attempt VALUES ('t_5', 1, 1, 'a_2', 'failed', 1, 2, 3, 3, 1, 'refused');
INSERT INTO usage VALUES (1, 'r_1', 't_1', 2, 'a_0', 'scripted', 'scripted', 2, 4, 'reported', 9, 'x', 0,
                          70, 30, 0, 0, 0, NULL);
INSERT INTO usage VALUES (2, 'r_1', 't_2', 2, 'a_0', 'scripted', 'scripted', 6, NULL, 'open', 9, 'x', 0,
                          NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO usage VALUES (3, 'r_1', 't_1', 1, 'a_0', 'scripted', 'scripted', 1, 2, 'unknown', 9, 'x', 0,
                          NULL, NULL, NULL, NULL, NULL, 'lost');
INSERT INTO artefact VALUES ('f_1', 'r_1', 't_1', 0, 'work', 'a', 'x', 6, NULL, 0, 4, 'result');
INSERT INTO event (at_ns, kind, project, run_id) VALUES (1, 'run.queued', 'test', 'r_1');
INSERT INTO memory VALUES (1, 'test', 'default', 'k', 3, '[]', 1, 1, 1, NULL, '"v"');
"""


def rows_of(path: Path, table: str) -> list[dict[str, object]]:
    with sqlite3.connect(path) as file:
        file.row_factory = sqlite3.Row
        found = [dict(row) for row in file.execute(f"SELECT * FROM {table} ORDER BY 1, 2")]
    file.close()
    return found


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file as the first version left it when its process was killed."""
    path = location.prepare(tmp_path / "swarm.db")
    file = sqlite3.connect(path)
    file.executescript(f"PRAGMA journal_mode = WAL; {scripts()[0][1]} INSERT INTO migration VALUES (1, 7);")
    file.executescript(f"{ROWS} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;")
    file.close()
    return path


async def test_nothing_of_an_older_database_is_lost_and_a_backup_is_kept(old: Path) -> None:
    before = {table: rows_of(old, table) for table in TABLES}
    async with open_database(old, SystemClock()) as database:
        assert await database.read(lambda tx: tx.rows("PRAGMA foreign_key_check")) == []
        assert await database.read(broken) == {}
    for table in TABLES:
        after = rows_of(old, table)
        known = before[table][0]
        assert [{name: row[name] for name in known} for row in after] == before[table], table
        assert rows_of(old.with_name("swarm.db.schema-1.bak"), table) == before[table]
    assert [row["source"] for row in rows_of(old, "usage")] == ["reported", None, None]
    assert {row["delivered"] for row in rows_of(old, "usage")} == {None}, "nobody noted it, and the run goes on"
    assert {(row["draining"], row["left_ns"]) for row in rows_of(old, "agent")} == {(0, None)}


async def test_tables_made_anew_have_the_references_and_indexes_they_had(old: Path, tmp_path: Path) -> None:
    fresh = await anyio.to_thread.run_sync(location.prepare, tmp_path / "fresh.db")
    for path in (old, fresh):
        async with open_database(path, SystemClock()):
            pass
    schema = "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name"
    found = []
    for path in (old, fresh):
        file = sqlite3.connect(path)
        found.append(file.execute(schema).fetchall())
        for table in TABLES:
            targets = {row[2] for row in file.execute(f"PRAGMA foreign_key_list({table})")}
            assert targets <= set(TABLES), f"{table} refers to {targets}"
        file.close()
    assert found[0] == found[1]
    assert not [name for _, name, _ in found[0] if name.endswith("_new")]


async def test_a_run_that_an_older_version_left_behind_goes_on_and_its_failed_one_is_retried(
    old: Path, tmp_path: Path
) -> None:
    async with swarmed(tmp_path) as swarm:
        state = await swarm.runs.show("r_1")
        assert (state.status, state.usage.input_tokens, state.usage.open) == ("interrupted", 70, 1)
        await swarm.runs.resume("r_1")
        with anyio.fail_after(20):
            assert (await swarm.runs.wait("r_1", None)).status == "succeeded"
        assert set(swarm.backend.asked) == {"b", "c", "d"}
        done = await swarm.tasks("r_1")
        assert (done["b"].attempts, done["b"].status) == (2, TaskStatus.SUCCEEDED), "the lost attempt is not counted"
        usage = await swarm.rows("SELECT status, reason FROM usage WHERE usage_id = 2")
        assert usage[0]["status"] == "unknown"
        assert await swarm.runs.retry("r_2") == 1
        with anyio.fail_after(20):
            assert (await swarm.runs.wait("r_2", None)).status == "succeeded"
    await assert_lawful(old, at_rest=True)

"""`write` and `read`: group commit, cancellation, snapshots, locks."""

import asyncio
import contextlib
import sqlite3

import anyio
import pytest

from swarmtally.domain.errors import DatabaseBusy, DatabaseMoved, DiskFull, NewerSchema
from swarmtally.store import connection, swarms
from swarmtally.store import database as database_module
from swarmtally.store.database import open_database
from swarmtally.store.migrations import SCHEMA_VERSION
from tests.gate import Gate


def adding(name):
    async def unit(tx):
        await swarms.ensure_project(tx, name, 0)
        return name

    return unit


async def names(database):
    rows = await database.read(lambda tx: tx.rows("SELECT project FROM project ORDER BY project"))
    return [row["project"] for row in rows]


async def batch_of(database, *units):
    """Start `units` so that they are committed together; their tasks, not yet run, and the gate before them."""
    gate = Gate()
    first = asyncio.create_task(database.write(gate.unit))
    await gate.reached()
    tasks = [asyncio.create_task(database.write(unit)) for unit in units]
    while len(database._queue) < len(units):
        await anyio.lowlevel.checkpoint()
    return gate, first, tasks


async def test_every_one_of_many_concurrent_writers_is_acknowledged(database):
    async with asyncio.timeout(30):
        results = await asyncio.gather(*(database.write(adding(f"p{n:04}")) for n in range(2500)))
    assert results == [f"p{n:04}" for n in range(2500)]
    assert await names(database) == results


async def test_writers_that_wait_are_committed_together(database):
    inside = Gate()

    async def second(tx):
        await inside.unit(tx)
        return [row["project"] for row in await tx.rows("SELECT project FROM project")]

    gate, first, tasks = await batch_of(database, adding("a"), second)
    gate.open()
    await inside.reached()
    assert await names(database) == []
    inside.open()
    assert await asyncio.gather(first, *tasks) == [None, "a", ["a"]]


async def test_a_failing_unit_undoes_only_itself_and_tells_only_its_caller(database):
    async def failing(tx):
        await swarms.ensure_project(tx, "half", 0)
        raise KeyError("mine")

    async def wrong_sql(tx):
        await swarms.ensure_project(tx, "other half", 0)
        await tx.rows("INSERT INTO project (project) VALUES (NULL)")

    gate, first, tasks = await batch_of(database, adding("a"), failing, adding("b"), wrong_sql, adding("c"))
    gate.open()
    outcomes = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert [outcome for outcome in outcomes if isinstance(outcome, str)] == ["a", "b", "c"]
    assert isinstance(outcomes[2], KeyError)
    assert isinstance(outcomes[4], sqlite3.IntegrityError)
    assert await names(database) == ["a", "b", "c"]


async def test_a_unit_that_fails_alone_leaves_nothing(database):
    async def failing(tx):
        await swarms.ensure_project(tx, "half", 0)
        raise KeyError("mine")

    with pytest.raises(KeyError):
        await database.write(failing)
    assert await names(database) == []
    assert await database.write(adding("after")) == "after"


async def test_when_the_commit_fails_every_caller_is_told_and_nothing_is_written(database):
    async def breaks_at_commit(tx):
        await tx.rows("PRAGMA defer_foreign_keys = ON")
        await tx.rows(
            "INSERT INTO swarm (swarm_id, project, name, topology, strategy, max_agents, created_ns)"
            " VALUES ('s', 'none', 'n', 'mesh', 'balanced', 1, 0)"
        )

    gate, first, tasks = await batch_of(database, adding("a"), breaks_at_commit, adding("b"))
    gate.open()
    outcomes = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes[1:]] == [sqlite3.IntegrityError] * 3
    assert await names(database) == []
    assert await database.write(adding("after")) == "after"


async def test_when_the_rollback_fails_too_nobody_waits_for_ever(database):
    refusals = [sqlite3.SQLITE_DENY] * 2

    def refuse_one_rollback(_action, operation, *_rest):
        return refusals.pop() if operation == "ROLLBACK" and refusals else sqlite3.SQLITE_OK

    async def breaks_everything(tx):
        tx._raw.at_once(lambda raw: raw.set_authorizer(refuse_one_rollback))
        raise DiskFull("here")

    gate, first, tasks = await batch_of(database, breaks_everything, adding("b"))
    gate.open()
    async with asyncio.timeout(10) as limit:
        outcomes = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert not limit.expired()
    assert [type(outcome) for outcome in outcomes[1:]] == [DiskFull, DiskFull]
    assert await names(database) == []
    # What the failed rollback left open is undone by the next attempt, and the one after it succeeds.
    with pytest.raises(sqlite3.OperationalError, match="within a transaction"):
        await database.write(adding("c"))
    assert await database.write(adding("d")) == "d"
    assert await names(database) == ["d"]


async def test_a_caller_cancelled_before_its_unit_began_leaves_nothing(database):
    gate, first, tasks = await batch_of(database, adding("a"), adding("cancelled"), adding("b"))
    tasks[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    gate.open()
    await asyncio.gather(first, tasks[0], tasks[2])
    assert await names(database) == ["a", "b"]


async def cancelled_by_asyncio(task, scope):
    task.cancel()


async def cancelled_by_anyio(task, scope):
    scope.cancel()


@pytest.mark.parametrize("cancel", [cancelled_by_asyncio, cancelled_by_anyio])
async def test_a_leader_cancelled_in_the_middle_of_a_commit_does_not_stop_the_others(database, cancel):
    inner = Gate()
    scope = anyio.CancelScope()

    async def leading(tx):
        await swarms.ensure_project(tx, "leader", 0)
        await inner.unit(tx)

    async def lead():
        with scope:
            await database.write(leading)

    gate = Gate()
    first = asyncio.create_task(database.write(gate.unit))
    await gate.reached()
    leader = asyncio.create_task(lead())
    while not database._queue:
        await anyio.lowlevel.checkpoint()
    follower = asyncio.create_task(database.write(adding("follower")))
    while len(database._queue) < 2:
        await anyio.lowlevel.checkpoint()
    gate.open()
    await inner.reached()
    await cancel(leader, scope)
    await anyio.lowlevel.checkpoint()
    inner.open()
    assert await follower == "follower"
    await asyncio.gather(first, leader, return_exceptions=True)
    assert leader.done()
    assert await names(database) == ["follower", "leader"]


async def test_a_caller_cancelled_at_any_moment_of_a_commit_comes_back(database):
    async def cancelled_after(steps):
        writing = asyncio.create_task(database.write(adding(f"p{steps}")))
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            return await writing

    async with asyncio.timeout(20):
        for _ in range(5):
            await asyncio.gather(*(cancelled_after(steps) for steps in range(60)))
    assert await database.write(adding("after")) == "after"


async def test_a_read_sees_one_state_of_the_database(database):
    gate = Gate()

    async def counting(tx):
        before = await tx.row("SELECT COUNT(*) AS n FROM project")
        await gate.unit(tx)
        after = await tx.row("SELECT COUNT(*) AS n FROM project")
        return before["n"], after["n"]

    reading = asyncio.create_task(database.read(counting))
    await gate.reached()
    await database.write(adding("meanwhile"))
    gate.open()
    assert await reading == (0, 0)
    assert await names(database) == ["meanwhile"]


async def test_who_asks_a_shared_read_that_fails_is_told_and_the_next_is_answered(database):
    async def too_few(tx, items):
        return items if items == ["good"] else []

    async with asyncio.timeout(10):
        for _ in range(2):
            with pytest.raises(ValueError, match="zip"):
                await database.read_item(too_few, "bad")
        assert await database.read_item(too_few, "good") == "good"


async def test_a_reader_cannot_write(database):
    with pytest.raises(Exception, match="read-only"):
        await database.read(adding("a"))
    assert await names(database) == []


async def test_a_read_that_fails_leaves_its_connection_usable(database):
    for _ in range(10):
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            await database.read(lambda tx: tx.rows("SELECT * FROM absent"))
    assert await names(database) == []
    assert len(database._idle_readers) == 1


async def test_more_readers_than_connections_wait_their_turn(database):
    async with asyncio.timeout(30):
        found = await asyncio.gather(*(names(database) for _ in range(50)))
    assert found == [[]] * 50
    assert len(database._idle_readers) <= 4


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"


async def test_a_cancelled_read_is_interrupted_and_its_connection_not_used_again(database):
    started = Gate()
    started.open()

    async def endless(tx):
        await started.unit(tx)
        # The second begins only after the first was interrupted, and must be interrupted too.
        with contextlib.suppress(sqlite3.OperationalError):
            await tx.rows(ENDLESS)
        await tx.rows(ENDLESS)

    reading = asyncio.create_task(database.read(endless))
    await started.reached()
    reading.cancel()
    async with asyncio.timeout(10) as limit:
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert not limit.expired()
    assert database._idle_readers == []
    assert await names(database) == []


async def test_a_read_that_outlives_the_database_closes_its_connection(path, clock):
    gate = Gate()
    async with open_database(path, clock) as database:
        reading = asyncio.create_task(database.read(gate.unit))
        await gate.reached()
    gate.open()
    await reading
    assert database._idle_readers == []
    with pytest.raises(AssertionError, match="write after close"):
        await database.write(adding("late"))


async def test_changes_tell_that_another_process_has_written(database, path, clock):
    before = await database.changes()
    assert await database.changes() == before
    async with open_database(path, clock) as other:
        await other.write(adding("a"))
    assert await database.changes() != before


async def test_a_write_waits_for_another_process_to_let_go(database, path):
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(database.write(adding("a")))
    for _ in range(100):
        await anyio.lowlevel.checkpoint()
    assert not writing.done()
    other.execute("COMMIT")
    other.close()
    assert await writing == "a"


async def test_a_lock_that_is_never_let_go_is_reported(database, path, monkeypatch):
    monkeypatch.setattr(connection, "LOCK_DEADLINE_S", 0.0)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseBusy, match=r"was locked for 0 s; find the process"):
        await database.write(adding("a"))
    other.close()
    assert await database.write(adding("b")) == "b"
    assert await names(database) == ["b"]


async def test_a_process_older_than_the_schema_stops_writing(database, path, clock):
    await database.write(adding("before"))
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    other.close()
    with pytest.raises(NewerSchema, match=f"has schema {SCHEMA_VERSION + 1}, made by a newer swarmtally"):
        await database.write(adding("after"))
    assert await names(database) == ["before"]
    with pytest.raises(NewerSchema):
        async with open_database(path, clock):
            pass


@pytest.mark.parametrize("put", ["away", "back", "another"])
async def test_nothing_is_acknowledged_that_a_moved_file_would_keep(database, path, put):
    await database.write(adding("before"))
    aside = path.with_name("aside.db")
    await anyio.Path(path).rename(aside)
    if put == "another":
        await anyio.Path(path).write_bytes(b"")
    with pytest.raises(DatabaseMoved, match="was moved, deleted or replaced while it was open"):
        await database.write(adding("lost"))
    with pytest.raises(DatabaseMoved):
        await names(database)
    if put == "back":
        await anyio.Path(aside).rename(path)
        await database.write(adding("after"))
        assert await names(database) == ["after", "before"]


async def test_many_inserts_at_once_are_one_call(database):
    async def unit(tx):
        await tx.many("INSERT INTO project VALUES (:name, NULL, 0)", [{"name": "a"}, {"name": "b"}])

    await database.write(unit)
    assert await names(database) == ["a", "b"]
    with pytest.raises(sqlite3.IntegrityError) as raised:
        await database.write(unit)
    # A chain that leads back to itself makes whoever follows it run for ever.
    assert raised.value.__cause__ is None


async def test_a_commit_is_synced_and_in_wal(database):
    async def settings(tx):
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [(await tx.row(f"SELECT * FROM pragma_{name}"))[name] for name in names]

    assert await database.write(settings) == ["wal", 2, 1]


async def test_the_log_that_grew_behind_a_reader_is_cut_again(path, clock, monkeypatch):
    kept = 8 * 2**20
    monkeypatch.setattr(database_module, "LOG_KEPT_BYTES", kept)
    log = path.with_name(f"{path.name}-wal")

    async def write_much(tx):
        await tx.rows("CREATE TABLE IF NOT EXISTS much (bytes BLOB)")
        await tx.rows("INSERT INTO much VALUES (zeroblob(3000000))")

    async with open_database(path, clock) as database:
        reader = await connection.Connection.open(path, read_only=True)
        await reader.rows("BEGIN")
        await reader.rows("SELECT * FROM project")
        for _ in range(4):
            await database.write(write_much)
        grown = log.stat().st_size
        await reader.rows("COMMIT")
        await reader.close()
        for _ in range(2):
            await database.write(write_much)
        assert grown > kept
        assert log.stat().st_size <= kept


def test_who_has_waited_long_for_the_lock_asks_more_often_but_not_for_ever():
    pauses = {waited: [connection._pause_s(waited) for _ in range(200)] for waited in (0.0, 0.1, 5.0)}
    assert max(pauses[0.1]) <= min(pauses[0.0])
    assert max(pauses[0.1]) <= min(pauses[5.0])

"""Numbered .sql migrations, each applied in one transaction with its own record."""

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import anyio

from swarmtally.domain.errors import ForeignDatabase, NewerSchema
from swarmtally.store.connection import Connection


def scripts() -> list[tuple[int, str]]:
    """All migrations in order, as (version, SQL)."""
    found = [
        (int(entry.name.split("_")[0]), entry.read_text(encoding="utf-8"))
        for entry in files("swarmtally.store").joinpath("schema").iterdir()
        if entry.name.endswith(".sql")
    ]
    return sorted(found)


SCHEMA_VERSION = 8
"""The version this program reads and writes: the number of the newest migration (a test holds them together)."""


def statements(script: str) -> Iterator[str]:
    """The script's statements one by one; a trigger's body stays whole."""
    collected = ""
    for line in script.splitlines(keepends=True):
        collected += line
        if sqlite3.complete_statement(collected):
            yield collected
            collected = ""
    if collected.strip():
        yield collected


APPLICATION_ID = 0x5357544C
"""Marks the file as ours (`SWTL` in SQLite's header), so that no other program's database is ever migrated."""


async def version(connection: Connection) -> int:
    row = await connection.row("PRAGMA user_version")
    return int(row["user_version"]) if row else 0


async def refuse_foreign(connection: Connection) -> None:
    """Let only an empty database or one of ours through. Changes nothing.

    Raises:
        ForeignDatabase: it holds another program's data.
    """
    row = await connection.row(
        "SELECT (SELECT COUNT(*) FROM sqlite_master) AS objects, application_id FROM pragma_application_id"
    )
    assert row is not None
    if row["application_id"] not in ((0, APPLICATION_ID) if row["objects"] == 0 else (APPLICATION_ID,)):
        raise ForeignDatabase(connection.path)


async def migrate(
    connection: Connection,
    now_ns: int,
    known: int = SCHEMA_VERSION,
    source: Callable[[], list[tuple[int, str]]] = scripts,
) -> None:
    """Bring the database to version `known` with the scripts of `source`.

    When it held an older schema, a backup is made beside it first: `….schema-N.bak`. Foreign keys must be off, as they
    are on a new connection: a script that makes a table anew would else lose what refers to it.

    Raises:
        NewerSchema: a newer program has migrated it; nothing is changed.
    """
    found = await connection.patiently(lambda: version(connection))
    if found > known:
        raise NewerSchema(connection.path, found, known)
    if found == known:
        return
    if found > 0:
        await _back_up(connection, found)
    for number, script in await anyio.to_thread.run_sync(source):
        if number > found:
            await _apply(connection, number, script, now_ns)


async def _back_up(connection: Connection, found: int) -> None:
    target = Path(f"{connection.path}.schema-{found}.bak")
    # Written under a name of its own and renamed: a backup is whole or not there, whoever else makes the same one.
    draft = await anyio.to_thread.run_sync(_private_file, target)
    try:
        await connection.patiently(lambda: connection.rows("VACUUM INTO :draft", {"draft": str(draft)}))
        # If another process migrated meanwhile, ours may hold the new schema, and the backup of the old is there.
        if await version(connection) == found:
            await anyio.to_thread.run_sync(draft.replace, target)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lambda: draft.unlink(missing_ok=True))


def _private_file(beside: Path) -> Path:
    """An empty file with mode 0600, into which `VACUUM INTO` may write."""
    handle, name = tempfile.mkstemp(prefix=f"{beside.name}.", dir=beside.parent)
    os.close(handle)
    return Path(name)


async def _apply(connection: Connection, number: int, script: str, now_ns: int) -> None:
    await connection.patiently(lambda: connection.rows("BEGIN IMMEDIATE"))
    try:
        # Another process may have applied it while we waited for the lock.
        if await version(connection) < number:
            for statement in statements(script):
                await connection.rows(statement)
            dangling = await connection.rows("PRAGMA foreign_key_check")
            assert not dangling, f"migration {number} left {len(dangling)} references to nothing"
            await connection.rows(
                "INSERT INTO migration (version, applied_ns) VALUES (:number, :now)", {"number": number, "now": now_ns}
            )
            await connection.rows(f"PRAGMA application_id = {APPLICATION_ID}")
            await connection.rows(f"PRAGMA user_version = {number}")
        await connection.rows("COMMIT")
    except BaseException:
        if connection.in_transaction:
            await connection.rows("ROLLBACK")
        raise

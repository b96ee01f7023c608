"""What can be asked of the database file itself."""

from swarmtally.store.connection import Connection


async def sqlite_version(tx: Connection) -> str:
    """The SQLite library's version, such as `3.40.1`."""
    row = await tx.row("SELECT sqlite_version() AS version")
    assert row is not None
    return str(row["version"])


async def faults(tx: Connection) -> list[str]:
    """What SQLite finds wrong with the file, at most one line; reads all of it."""
    found = [str(row["quick_check"]) for row in await tx.rows("PRAGMA quick_check(1)")]
    return [line for line in found if line != "ok"]

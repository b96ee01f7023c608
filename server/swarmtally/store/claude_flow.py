"""claude-flow's databases, read and never written: which tables its versions made, and what their rows mean.

The tables are those of claude-flow 2.7.47 (`.swarm/memory.db`, `.swarm/swarm-memory.db`, `.hive-mind/hive.db`) and
3.43.0 (`.swarm/memory.db`, `.swarm/agentdb-memory.db`). Read with plain `sqlite3` in the caller's thread.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.errors import PathRefused
from swarmtally.domain.importing import ForeignEntry

VALUE_READ_BYTES = 8 * 1024 * 1024
"""How much of one value is read, in bytes: well above what can be kept, so that what is cut is refused."""

_MS = NS_PER_S // 1000
_INT64 = 2**63
_Row = tuple[bytes | None, bytes | None, bytes | None, bytes | None, int | None, int | None, int, int]


@dataclass(frozen=True, slots=True)
class Table:
    """A table with entries; its members but the last two are SQL expressions over its columns."""

    name: str
    namespace: str
    key: str
    value: str
    tags: str
    created: str
    expires: str
    deleted: str
    literal: str
    where: str
    unit_ns: int
    """How long one unit of its times is."""


def _tables(found: dict[str, set[str]]) -> Iterator[Table]:
    """What of a database's tables (name → columns) holds entries."""
    columns = found.get("memory_entries", set())
    if {"namespace", "key", "content"} <= columns:
        # 3.x: JSON or text in `content`, times in milliseconds, deletion by a mark.
        status = "COALESCE(status, 'active') <> 'active'" if "status" in columns else "0"
        yield Table(
            "memory_entries",
            "namespace",
            "key",
            "content",
            _one_of(columns, "tags"),
            _one_of(columns, "created_at"),
            _one_of(columns, "expires_at"),
            status,
            "0",
            "1",
            _MS,
        )
    elif {"namespace", "key", "value"} <= columns:
        # 2.x in seconds, except after `memory consolidate`, which keeps only a time in milliseconds.
        created = "created_at" if "created_at" in columns else f"{_one_of(columns, 'timestamp')} / 1000"
        yield Table(
            "memory_entries",
            "namespace",
            "key",
            "value",
            _one_of(columns, "tags"),
            created,
            _one_of(columns, "expires_at"),
            "0",
            "0",
            "1",
            NS_PER_S,
        )
    columns = found.get("memory_store", set())
    if {"namespace", "key", "value", "type"} <= columns:
        yield Table(
            "memory_store",
            "namespace",
            "key",
            "value",
            _one_of(columns, "tags"),
            "created_at",
            "expires_at",
            "0",
            "type <> 'json'",
            "1",
            NS_PER_S,
        )
    columns = found.get("collective_memory", set())
    if {"swarm_id", "key", "value"} <= columns:
        # Rows of one key may be many; the newest is the one that counts.
        newest = "rowid IN (SELECT MAX(rowid) FROM collective_memory GROUP BY swarm_id, key)"
        created = "CASE typeof(created_at) WHEN 'integer' THEN created_at ELSE strftime('%s', created_at) END"
        yield Table(
            "collective_memory",
            "'hive-mind/' || COALESCE(swarm_id, 'default')",
            "key",
            "value",
            "NULL",
            created,
            "NULL",
            "0",
            "0",
            newest,
            NS_PER_S,
        )
    if "pattern_data" in found.get("patterns", ()):
        # What `memory store --reasoningbank` keeps; patterns that were learnt have no original key.
        space, name = _member("namespace"), _member("original_key")
        newest = f"rowid IN (SELECT MAX(rowid) FROM patterns WHERE {name} IS NOT NULL GROUP BY {space}, {name})"
        yield Table(
            "patterns",
            space,
            name,
            _member("original_value"),
            "NULL",
            "strftime('%s', created_at)",
            "NULL",
            "0",
            "1",
            newest,
            NS_PER_S,
        )


def _one_of(columns: set[str], name: str) -> str:
    return name if name in columns else "NULL"


def _member(name: str) -> str:
    return f"CASE WHEN json_valid(pattern_data) THEN json_extract(pattern_data, '$.{name}') END"


class ClaudeFlowDatabase:
    """An open database of claude-flow's."""

    def __init__(self, path: Path, raw: sqlite3.Connection) -> None:
        self.path = path
        self._raw = raw
        found = _columns(raw)
        self.tables = tuple(_tables(found))
        if not self.tables:
            known = "memory_entries, memory_store, collective_memory or patterns"
            raise PathRefused(f"{path} holds no memory of claude-flow's (none of its tables {known}); check the path")
        self.names = tuple(table.name for table in self.tables)
        self.entries = sum(self._count(f'"{table.name}" WHERE {table.where}') for table in self.tables)
        self.not_imported = self._rest(found)

    def _count(self, rows: str) -> int:
        count: int = self._raw.execute(f"SELECT COUNT(*) FROM {rows}").fetchone()[0]
        return count

    def _rest(self, found: dict[str, set[str]]) -> dict[str, int]:
        """The rows that are no entries, by table."""
        taken = {table.name: f"NOT ({table.where})" for table in self.tables}
        rows = {name: self._count(f'"{name}" WHERE {taken.get(name, "1")}') for name in sorted(found)}
        return {name: count for name, count in rows.items() if count}

    def rows(self) -> Iterator[ForeignEntry]:
        """Every entry, in the order they were stored; nothing but the one at hand is in memory."""
        with _told(self.path):
            for table in self.tables:
                for row in self._raw.execute(_select(table)):
                    yield _entry(row, table.unit_ns)


def _select(table: Table) -> str:
    texts = [_bytes(table.namespace), _bytes(table.key), _bytes(table.value), _bytes(table.tags)]
    numbers = [f"CAST({one} AS INTEGER)" for one in (table.created, table.expires, table.deleted, table.literal)]
    return f'SELECT {", ".join(texts + numbers)} FROM "{table.name}" WHERE {table.where} ORDER BY rowid'


def _bytes(expression: str) -> str:
    """Whatever it is of, as bytes: a text need not be UTF-8, and a text's column may hold another type."""
    return f"substr(CAST({expression} AS BLOB), 1, {VALUE_READ_BYTES})"


def _entry(row: _Row, unit_ns: int) -> ForeignEntry:
    namespace, key, value, tags, created, expires, deleted, literal = row
    return ForeignEntry(
        namespace=_text(namespace) or "default",
        key=_text(key) or "",
        value=_text(value),
        literal=bool(literal),
        tags=_text(tags),
        created_ns=_time_ns(created, unit_ns),
        expires_ns=_time_ns(expires, unit_ns),
        deleted=bool(deleted),
    )


def _text(found: bytes | None) -> str | None:
    return None if found is None else found.decode("utf-8", "surrogateescape")


def _time_ns(found: int | None, unit_ns: int) -> int | None:
    """None where there is none, or none that is a time."""
    return found * unit_ns if found is not None and 0 < found * unit_ns < _INT64 else None


def _columns(raw: sqlite3.Connection) -> dict[str, set[str]]:
    """The database's tables and their columns, without what belongs to SQLite or to an index."""
    # A virtual table may need a module that is not here.
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
    named = raw.execute(tables).fetchall()
    names = [name.decode("utf-8", "replace") for (name,) in named]
    return {
        name: {
            column.decode("utf-8", "replace")
            for (column,) in raw.execute("SELECT name FROM pragma_table_info(?)", (name,))
        }
        for name in names
        if not name.startswith("sqlite_")
    }


@contextmanager
def opened(path: Path) -> Iterator[ClaudeFlowDatabase]:
    """The database at `path`, which is not changed, nor is anything made beside it.

    Raises:
        PathRefused: it cannot be read, is damaged, changed meanwhile, or holds no memory of claude-flow's.
    """
    log, index, journal = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal"))
    with TemporaryDirectory(prefix="swarmtally-") as folder, _told(path):
        if _holds(journal) or (_holds(log) and not index.exists()):
            # Something is to be rolled back or recovered, which SQLite does in the file: in a copy of it.
            for file in (path, log, journal):
                if file.exists():
                    shutil.copyfile(file, Path(folder) / file.name)
            with _connected(path, f"{(Path(folder) / path.name).as_uri()}?mode=rw") as database:
                yield database
        elif _holds(log):
            with _connected(path, f"{path.as_uri()}?mode=ro") as database:
                yield database
        else:
            # Without `immutable` SQLite makes files beside a database in WAL mode.
            before = _state(path, log)
            with _connected(path, f"{path.as_uri()}?mode=ro&immutable=1") as database:
                yield database
            if _state(path, log) != before:
                raise PathRefused(f"{path} was written to while it was read; stop claude-flow and import it again")


@contextmanager
def _connected(path: Path, uri: str) -> Iterator[ClaudeFlowDatabase]:
    # A generator over it is read in turns by the threads of a pool.
    with closing(sqlite3.connect(uri, uri=True, timeout=5, isolation_level=None, check_same_thread=False)) as raw:
        raw.text_factory = bytes
        raw.execute("PRAGMA query_only = 1")
        raw.execute("PRAGMA trusted_schema = 0")
        raw.execute("BEGIN")
        yield ClaudeFlowDatabase(path, raw)


def _holds(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _state(path: Path, log: Path) -> tuple[int, int, bool]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, _holds(log)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise PathRefused(f"{path} cannot be read as claude-flow's SQLite ({error}); check it with sqlite3") from error

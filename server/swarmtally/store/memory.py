"""Shared memory: entries, and the two ways to find them.

An entry past its `expires_ns` is hidden from every function here at once, and removed by a later `store`.
"""

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass, replace
from typing import Any, Literal

from swarmtally.domain.errors import VersionConflict
from swarmtally.domain.memory import COUNT_LIMIT, PAGE_BYTES, MemoryEntry, MemoryHit, MemoryPage, MemoryStats
from swarmtally.store import swarms
from swarmtally.store.connection import Connection, Row, as_json
from swarmtally.store.cursors import Place, decode, encode

SNIPPET_LIMIT = 200
"""The longest snippet, in characters."""

Mode = Literal["list", "glob", "text"]

# Each store removes more than it adds, so what has expired goes; few enough that no store waits for it.
_PURGE = 10
_HIT_BYTES = 150  # what an answer says of an entry besides its texts
_LIVE = "(expires_ns IS NULL OR expires_ns > :now)"
# The same, for a walk through an index of keys alone: what has expired is removed soon, so there is little of it.
_UNEXPIRED = "memory.memory_id NOT IN (SELECT memory_id FROM memory WHERE expires_ns <= :now)"
_NAMESPACE = "/* namespace */"
_LITERAL = "/* literal */"


@dataclass(frozen=True, slots=True)
class NewEntry:
    """What is to be stored: `value` is JSON of `size_bytes`, `text` what full text search reads of it."""

    project: str
    namespace: str
    key: str
    value: str
    size_bytes: int
    text: str
    tags: tuple[str, ...]
    expires_ns: int | None


@dataclass(frozen=True, slots=True)
class Query:
    """A search, without its place in the pages. `namespace` None: all of the project's."""

    project: str
    namespace: str | None
    mode: Mode
    pattern: str

    @property
    def digest(self) -> str:
        parts = [self.project, self.namespace, self.mode, self.pattern]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def sql(self, template: str) -> str:
        """`template`, restricted to the namespace. Left out when not asked for, so that the right index is used."""
        asked = template.replace(_NAMESPACE, "" if self.namespace is None else "AND memory.namespace = :namespace")
        return asked.replace(_LITERAL, "AND instr(memory.key, :literal)" if self.literal else "")

    @property
    def literal(self) -> str:
        """The longest text that every key a glob with sets matches has behind the first wildcard; empty for others.

        To look for it first takes a third of the time: GLOB tries a set behind `*` anew at each character of a key.
        """
        if self.mode != "glob" or "[" not in self.pattern:
            return ""
        _, *parts = re.split(r"\[\^?\]?[^\]]*\]|[*?]", self.pattern)
        longest = max(parts, key=len, default="")
        # A set without an end matches nothing.
        return "" if "[" in longest else longest


_PURGE_EXPIRED = """
DELETE FROM memory
WHERE memory_id IN (
    SELECT memory_id FROM memory WHERE expires_ns <= :now ORDER BY expires_ns LIMIT :limit
) OR (project = :project AND namespace = :namespace AND key = :key AND expires_ns <= :now)
"""

_STORE = """
INSERT INTO memory (project, namespace, key, value, size_bytes, tags, version, created_ns, updated_ns, expires_ns)
SELECT :project, :namespace, :key, :value, :size_bytes, :tags, 1, :now, :now, :expires_ns
WHERE :if_version IS NULL OR :if_version = 0
   OR EXISTS (SELECT 1 FROM memory WHERE project = :project AND namespace = :namespace AND key = :key)
ON CONFLICT (project, namespace, key) DO UPDATE
SET value = excluded.value, size_bytes = excluded.size_bytes, tags = excluded.tags, version = version + 1,
    updated_ns = excluded.updated_ns, expires_ns = excluded.expires_ns
WHERE :if_version IS NULL OR version = :if_version
RETURNING memory_id, version, created_ns
"""


async def store(tx: Connection, entry: NewEntry, if_version: int | None, now_ns: int) -> MemoryEntry:
    """Write an entry, whole: a later store replaces value, tags and expiry, and counts `version` up.

    Args:
        if_version: the version it must be at, 0 when it must not exist; None writes in any case.

    Raises:
        VersionConflict: it is at another version; nothing is changed.
    """
    place = {"project": entry.project, "namespace": entry.namespace, "key": entry.key, "now": now_ns}
    await tx.rows(_PURGE_EXPIRED, {**place, "limit": _PURGE})
    await swarms.ensure_project(tx, entry.project, now_ns)
    written = await tx.row(
        _STORE,
        {
            **place,
            "value": entry.value,
            "size_bytes": entry.size_bytes,
            "tags": as_json(entry.tags),
            "expires_ns": entry.expires_ns,
            "if_version": if_version,
        },
    )
    if written is None:
        raise await _conflict(tx, entry.project, entry.namespace, entry.key, if_version or 0, now_ns)
    await tx.rows(
        "INSERT OR REPLACE INTO memory_text (rowid, key, body, tags) VALUES (:id, :key, :body, :tags)",
        {"id": written["memory_id"], "key": entry.key, "body": entry.text, "tags": " ".join(entry.tags)},
    )
    return MemoryEntry(
        memory_id=written["memory_id"],
        namespace=entry.namespace,
        key=entry.key,
        value=json.loads(entry.value),
        tags=entry.tags,
        version=written["version"],
        size_bytes=entry.size_bytes,
        created_ns=written["created_ns"],
        updated_ns=now_ns,
        expires_ns=entry.expires_ns,
    )


async def retrieve(tx: Connection, project: str, namespace: str, key: str, now_ns: int) -> MemoryEntry | None:
    row = await tx.row(
        f"SELECT * FROM memory WHERE project = :project AND namespace = :namespace AND key = :key AND {_LIVE}",
        {"project": project, "namespace": namespace, "key": key, "now": now_ns},
    )
    return MemoryEntry.from_row(row) if row else None


async def delete(tx: Connection, project: str, namespace: str, key: str, if_version: int | None, now_ns: int) -> bool:
    """Remove an entry; False when there is none.

    Raises:
        VersionConflict: `if_version` is given and it is at another version, or not there; nothing is changed.
    """
    gone = await tx.rows(
        "DELETE FROM memory WHERE project = :project AND namespace = :namespace AND key = :key"
        f" AND {_LIVE} AND (:if_version IS NULL OR version = :if_version) RETURNING memory_id",
        {"project": project, "namespace": namespace, "key": key, "now": now_ns, "if_version": if_version},
    )
    if not gone and if_version is not None:
        raise await _conflict(tx, project, namespace, key, if_version, now_ns)
    return bool(gone)


async def neighbours(tx: Connection, project: str, namespace: str, key: str, each_side: int, now_ns: int) -> list[str]:
    """Keys of the namespace that sort next to `key`, at most `each_side` before and after it."""
    parameters = {"project": project, "namespace": namespace, "key": key, "now": now_ns, "limit": each_side}
    of_namespace = "SELECT key FROM memory WHERE project = :project AND namespace = :namespace"
    before = await tx.rows(f"{of_namespace} AND key < :key AND {_LIVE} ORDER BY key DESC LIMIT :limit", parameters)
    after = await tx.rows(f"{of_namespace} AND key > :key AND {_LIVE} ORDER BY key LIMIT :limit", parameters)
    return [row["key"] for row in (*before, *after)]


async def stats(tx: Connection, project: str, now_ns: int) -> MemoryStats:
    row = await tx.row(
        f"SELECT COUNT(*) FILTER (WHERE {_LIVE}) AS entries,"
        f" COUNT(DISTINCT namespace) FILTER (WHERE {_LIVE}) AS namespaces,"
        f" COALESCE(SUM(size_bytes) FILTER (WHERE {_LIVE}), 0) AS value_bytes,"
        " COUNT(*) FILTER (WHERE expires_ns <= :now) AS expired FROM memory WHERE project = :project",
        {"project": project, "now": now_ns},
    )
    assert row is not None, "an aggregate has one row"
    return MemoryStats(row["entries"], row["namespaces"], row["value_bytes"], row["expired"])


async def search(tx: Connection, query: Query, limit: int, cursor: str | None, now_ns: int) -> MemoryPage:
    """One page of the entries that match: `limit` of them, fewer where they take more than `PAGE_BYTES`.

    `glob` (and `list`, which matches every key) is in order of key and namespace; `text` has every word of the
    pattern as the beginning of a word of key, value or tags, best first (bm25). Where more than `COUNT_LIMIT` match,
    the newest of them are ranked and the pages show only those: ranking them all takes a second for a million.

    What the pages of one search show together: every entry that matched when the first page was read, exactly once,
    unless it was deleted, expired or changed so as not to match any more; nothing stored since under a new key.
    `total` is that of the first page. This holds for text although each write changes every rank: the cursor names
    the entries already shown, and so grows by a few characters for each.

    Raises:
        InvalidInput: the cursor is none of this search's.
    """
    place = decode(cursor, query.digest) if cursor is not None else None
    if query.mode == "text":
        return await _text_page(tx, query, limit, place, now_ns)
    return await _glob_page(tx, query, limit, place, now_ns)


_GLOB_MATCHES = f"""
memory.project = :project AND memory.key >= :low AND (:high IS NULL OR memory.key < :high)
{_LITERAL} AND memory.key GLOB :pattern {_NAMESPACE} AND {_UNEXPIRED}
"""

# The first page counts while it walks, for a glob that begins with a wildcard walks through every key. Namespaces sort
# the keys that are equal: without one, the index has that order too.
_GLOB_FIRST = f"""
WITH found AS MATERIALIZED (
    SELECT memory.memory_id AS id FROM memory WHERE {_GLOB_MATCHES} ORDER BY memory.key, memory.namespace LIMIT :most
)
SELECT (SELECT COUNT(*) FROM found) AS found, memory.memory_id, memory.namespace, memory.key, memory.tags,
       memory.version, memory.updated_ns, substr(memory_text.body, 1, {SNIPPET_LIMIT}) AS snippet
FROM (SELECT id FROM found LIMIT :limit) AS page CROSS JOIN memory ON memory.memory_id = page.id
    CROSS JOIN memory_text ON memory_text.rowid = page.id
ORDER BY memory.key, memory.namespace
"""

_GLOB_PAGE = f"""
SELECT memory.memory_id, memory.namespace, memory.key, memory.tags, memory.version, memory.updated_ns,
       substr(memory_text.body, 1, {SNIPPET_LIMIT}) AS snippet
FROM memory CROSS JOIN memory_text ON memory_text.rowid = memory.memory_id
WHERE {_GLOB_MATCHES} AND memory.memory_id <= :snapshot
  AND (memory.key, memory.namespace) > (:after_key, :after_namespace)
ORDER BY memory.key, memory.namespace LIMIT :limit
"""


async def _glob_page(tx: Connection, query: Query, limit: int, place: Place | None, now_ns: int) -> MemoryPage:
    pattern = query.pattern if query.mode == "glob" else "*"
    prefix = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    parameters: dict[str, Any] = {
        "project": query.project,
        "namespace": query.namespace,
        "pattern": pattern,
        "low": prefix,
        "high": successor(prefix),
        "literal": query.literal,
        "now": now_ns,
        "limit": limit + 1,
    }
    if place is None:
        newest = await _newest(tx)
        found = await tx.rows(query.sql(_GLOB_FIRST), {**parameters, "most": COUNT_LIMIT + 1})
        place = Place(newest, _total(found))
    else:
        after_key, after_namespace = place.after
        after = {"after_key": after_key, "after_namespace": after_namespace}
        found = await tx.rows(
            query.sql(_GLOB_PAGE),
            {**parameters, **after, "low": max(prefix, after_key), "snapshot": place.snapshot},
        )
    page = _that_fit(found[:limit])
    following = replace(place, after=(page[-1]["key"], page[-1]["namespace"])) if len(found) > len(page) else None
    return _page(query, page, place.total, following)


_TEXT_MATCHES = "/* matches */"

_ALL_MATCHES = "memory_text WHERE memory_text MATCH :match"

# CROSS JOIN keeps the full text index outermost; the planner knows nothing about it.
_OWN_MATCHES = f"""
memory_text CROSS JOIN memory ON memory.memory_id = memory_text.rowid
WHERE memory_text MATCH :match AND memory.project = :project {_NAMESPACE} AND {_LIVE}
"""

# Where the file holds nothing else, and nothing that has expired, looking at each entry would find that all are the
# project's own: it takes longer than ranking them.
_ALL_ARE_OWN = """
SELECT :namespace IS NULL AND (SELECT MIN(project) FROM memory) = :project
    AND (SELECT MAX(project) FROM memory) = :project
    AND NOT EXISTS (SELECT 1 FROM memory WHERE expires_ns <= :now) AS own
"""

# Counts and ranks in one walk, from the newest entry on; of more than `most`, those before are neither counted nor
# ranked. The page is chosen first and its snippets are made after, for a snippet costs more than a rank: in one more
# walk from its oldest entry to its newest (`+` keeps it so), for beginning one costs most where many entries match.
_TEXT_PAGE = f"""
WITH found AS MATERIALIZED (
    SELECT memory_text.rowid AS id, memory_text.rank AS score FROM {_TEXT_MATCHES} AND memory_text.rowid <= :snapshot
    ORDER BY memory_text.rowid DESC LIMIT :most + 1
), page AS MATERIALIZED (
    SELECT id, score FROM found WHERE id NOT IN (SELECT value FROM json_each(:shown))
    AND id > COALESCE((SELECT MIN(id) FROM found HAVING COUNT(*) > :most), 0)
    ORDER BY score, id LIMIT :limit
)
SELECT (SELECT COUNT(*) FROM found) AS found, memory.memory_id, memory.namespace, memory.key, memory.tags,
       memory.version, memory.updated_ns, snippet(memory_text, -1, '', '', '…', 24) AS snippet
FROM memory_text CROSS JOIN page ON page.id = +memory_text.rowid CROSS JOIN memory ON memory.memory_id = page.id
WHERE memory_text MATCH :match
  AND memory_text.rowid BETWEEN (SELECT MIN(id) FROM page) AND (SELECT MAX(id) FROM page)
  AND +memory_text.rowid IN (SELECT id FROM page)
ORDER BY page.score, page.id
"""


async def _text_page(tx: Connection, query: Query, limit: int, place: Place | None, now_ns: int) -> MemoryPage:
    match = _match(query.pattern)
    if match is None:
        return MemoryPage((), 0, None, query.mode)
    snapshot = place.snapshot if place is not None else await _newest(tx)
    parameters = {"match": match, "project": query.project, "namespace": query.namespace, "now": now_ns}
    alone = await tx.row(_ALL_ARE_OWN, parameters)
    assert alone is not None, "a comparison has one row"
    matches = _ALL_MATCHES if alone["own"] else _OWN_MATCHES
    found = await tx.rows(
        query.sql(_TEXT_PAGE.replace(_TEXT_MATCHES, matches)),
        {
            **parameters,
            "snapshot": snapshot,
            "shown": as_json(place.shown if place is not None else ()),
            "most": COUNT_LIMIT,
            "limit": limit + 1,
        },
    )
    if place is None:
        place = Place(snapshot, _total(found))
    page = _that_fit(found[:limit])
    shown = (*place.shown, *(row["memory_id"] for row in page))
    following = replace(place, shown=shown) if len(found) > len(page) and len(shown) < COUNT_LIMIT else None
    return _page(query, page, place.total, following)


async def _newest(tx: Connection) -> int:
    newest = await tx.row("SELECT COALESCE(MAX(memory_id), 0) AS id FROM memory")
    assert newest is not None, "an aggregate has one row"
    found: int = newest["id"]
    return found


def _total(found: list[Row]) -> int | None:
    """How many entries a first page found; None when they are more than are counted."""
    count: int = found[0]["found"] if found else 0
    return count if count <= COUNT_LIMIT else None


def _that_fit(rows: list[Row]) -> list[Row]:
    """As many of the first `rows` as one page takes, at least one."""
    taken = 0
    for at, row in enumerate(rows):
        said = row["namespace"], row["key"], row["snippet"][:SNIPPET_LIMIT], row["tags"]
        taken += _HIT_BYTES + sum(len(json.dumps(text, ensure_ascii=False).encode()) for text in said)
        if at and taken > PAGE_BYTES:
            return rows[:at]
    return rows


def _page(query: Query, rows: list[Row], total: int | None, following: Place | None) -> MemoryPage:
    hits = tuple(
        MemoryHit(
            namespace=row["namespace"],
            key=row["key"],
            snippet=row["snippet"][:SNIPPET_LIMIT],
            tags=tuple(json.loads(row["tags"])),
            version=row["version"],
            updated_ns=row["updated_ns"],
        )
        for row in rows
    )
    return MemoryPage(hits, total, None if following is None else encode(following, query.digest), query.mode)


def successor(prefix: str) -> str | None:
    """The least text above every text that begins with `prefix`; None when there is none."""
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return None
    # U+D800 to U+DFFF are halves of UTF-16 pairs, no characters: no text in UTF-8 holds them.
    following = 0xE000 if stem[-1] == "\ud7ff" else ord(stem[-1]) + 1
    return stem[:-1] + chr(following)


def _match(pattern: str) -> str | None:
    """The pattern's words as an FTS5 expression of literals, so that nothing in it is syntax; None without a word."""
    words = [word for word in re.split(r"[\s\0]+", pattern) if any(_in_a_word(character) for character in word)]
    quoted = ('"{}"*'.format(word.replace('"', '""')) for word in words)
    return " AND ".join(quoted) or None


def _in_a_word(character: str) -> bool:
    """Whether the tokenizer (unicode61) indexes it."""
    category = unicodedata.category(character)
    return category[0] in "LN" or category == "Co"


async def _conflict(
    tx: Connection, project: str, namespace: str, key: str, expected: int, now_ns: int
) -> VersionConflict:
    found = await tx.row(
        f"SELECT version FROM memory WHERE project = :project AND namespace = :namespace AND key = :key AND {_LIVE}",
        {"project": project, "namespace": namespace, "key": key, "now": now_ns},
    )
    return VersionConflict(namespace, key, expected, found["version"] if found else 0)

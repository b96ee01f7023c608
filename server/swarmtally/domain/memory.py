"""Shared memory: versioned entries under a project, a namespace and a key."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VALUE_LIMIT_BYTES = 1024 * 1024
"""The largest value, as JSON text in UTF-8."""

KEY_LIMIT = 512
"""The longest key or namespace, in characters."""

TAGS_LIMIT = 50
"""The most tags one entry may carry; each at most `TAG_LIMIT` characters."""

TAG_LIMIT = 100

PATTERN_LIMIT = 1_000
"""The longest search pattern, in characters."""

SEARCH_LIMIT = 1_000
"""The most entries one search returns."""

COUNT_LIMIT = 10_000
"""Up to here a search's total is exact; beyond it is not counted."""

PAGE_BYTES = 40_000
"""The most that the entries of one page take as JSON: with a cursor less than clients put before a model."""

CURSOR_LIMIT = 50_000
"""The longest cursor, in characters: a search for words names the entries already shown, `COUNT_LIMIT` at most."""


@dataclass(frozen=True, slots=True)
class MemoryEntry:
    """One entry. `value` is any JSON value; `version` starts at 1 and grows with each store."""

    memory_id: int
    namespace: str | None
    """None: a deliverable of a run, which is found in every namespace and is in none."""
    key: str
    value: Any
    tags: tuple[str, ...]
    version: int
    size_bytes: int
    created_ns: int
    updated_ns: int
    expires_ns: int | None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "MemoryEntry":
        return cls(
            memory_id=row["memory_id"],
            namespace=row["namespace"],
            key=row["key"],
            value=json.loads(row["value"]),
            tags=tuple(json.loads(row["tags"])),
            version=row["version"],
            size_bytes=row["size_bytes"],
            created_ns=row["created_ns"],
            updated_ns=row["updated_ns"],
            expires_ns=row["expires_ns"],
        )


@dataclass(frozen=True, slots=True)
class MemoryHit:
    """An entry found by a search, with the passage that matched."""

    namespace: str
    key: str
    snippet: str
    tags: tuple[str, ...]
    version: int
    updated_ns: int


@dataclass(frozen=True, slots=True)
class MemoryPage:
    """One page of a search. `total` is exact to `COUNT_LIMIT`, else None; `next_cursor` is None on the last page."""

    hits: tuple[MemoryHit, ...]
    total: int | None
    next_cursor: str | None
    mode: str

    @property
    def inexact(self) -> str | None:
        """What the limit of counting makes inexact, in one line; None when nothing is."""
        if self.total is not None:
            return None
        more = f"more than {COUNT_LIMIT:,} entries match, so they were not all counted"
        return (
            f"{more}: only the newest {COUNT_LIMIT:,} were ranked, and the pages show those"
            if self.mode == "text"
            else more
        )


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """What the project's memory holds."""

    entries: int
    namespaces: int
    value_bytes: int
    expired: int

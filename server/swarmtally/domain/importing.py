"""What another program's memory holds, and what became of it here."""

from dataclasses import dataclass, field

LISTED = 100
"""The most entries a report names of one kind; all are counted."""


@dataclass(frozen=True, slots=True)
class ForeignEntry:
    """An entry as the other program keeps it. Bytes that are no UTF-8 are in its texts as lone surrogates."""

    namespace: str
    key: str
    value: str | None
    literal: bool
    """Whether `value` is a text whatever it looks like; else JSON where it is that."""
    tags: str | None
    """A JSON list, as text."""
    created_ns: int | None
    expires_ns: int | None
    deleted: bool = False
    """Whether the other program only marks it as gone."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An entry that cannot be kept here, and why."""

    namespace: str
    key: str
    reason: str


@dataclass(slots=True)
class ImportReport:
    """What became of the entries that were read: each is counted under one heading."""

    tables: tuple[str, ...]
    """Where they were read from."""
    not_imported: dict[str, int]
    """What else the file holds: its tables and their rows."""
    read: int = 0
    imported: int = 0
    replaced: int = 0
    same: int = 0
    different: int = 0
    expired: int = 0
    deleted: int = 0
    refused: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    """The first `LISTED` of them."""
    differing: list[tuple[str, str]] = field(default_factory=list)
    """Namespace and key of the first `LISTED` that are here with another content."""

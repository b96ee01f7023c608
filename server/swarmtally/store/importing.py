"""Entries of another memory put beside ours, many at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from swarmtally.store import memory, swarms
from swarmtally.store.connection import Connection, as_json
from swarmtally.store.memory import NewEntry

Outcome = Literal["imported", "replaced", "same", "different"]


@dataclass(frozen=True, slots=True)
class Incoming:
    """An entry to put, and when the other memory first had it."""

    entry: NewEntry
    created_ns: int


_COMPARED = """
SELECT given.n,
    memory.value = given.value AND memory.tags = given.tags AND memory.expires_ns IS given.expires_ns AS same
FROM given CROSS JOIN memory
    ON memory.project = given.project AND memory.namespace = given.namespace AND memory.key = given.key
WHERE memory.expires_ns IS NULL OR memory.expires_ns > given.now
"""

_EXPIRED = """
DELETE FROM memory WHERE memory_id IN (
    SELECT memory.memory_id FROM given CROSS JOIN memory
    ON memory.project = given.project AND memory.namespace = given.namespace AND memory.key = given.key
) RETURNING memory_id
"""

_ADDED = """
INSERT INTO memory (project, namespace, key, value, size_bytes, tags, version, created_ns, updated_ns, expires_ns)
SELECT project, namespace, key, value, size_bytes, tags, 1, created_ns, now, expires_ns FROM given WHERE true
RETURNING memory_id, namespace, key
"""


async def put_all(
    tx: Connection, batch: Sequence[Incoming], now_ns: int, *, overwrite: bool, dry_run: bool
) -> list[Outcome]:
    """Write what of `batch`, in which no key is twice, is not here yet, and with `overwrite` what is here with other
    content; returns what became of each. With `dry_run` nothing is written.

    An entry is the same when value, tags and expiry are. One that is new keeps when it was created; its update is now.
    """
    compared = await tx.over(
        "given (n, project, namespace, key, value, tags, expires_ns, now)",
        [
            (
                n,
                one.entry.project,
                one.entry.namespace,
                one.entry.key,
                one.entry.value,
                as_json(one.entry.tags),
                one.entry.expires_ns,
                now_ns,
            )
            for n, one in enumerate(batch)
        ],
        _COMPARED,
    )
    outcomes: list[Outcome] = ["imported"] * len(batch)
    for row in compared:
        outcomes[row["n"]] = "same" if row["same"] else "replaced" if overwrite else "different"
    if not dry_run:
        await _add(tx, [one for one, what in zip(batch, outcomes, strict=True) if what == "imported"], now_ns)
        for one, what in zip(batch, outcomes, strict=True):
            if what == "replaced":
                await memory.store(tx, one.entry, None, now_ns)
    return outcomes


async def _add(tx: Connection, batch: Sequence[Incoming], now_ns: int) -> None:
    if not batch:
        return
    await swarms.ensure_project(tx, batch[0].entry.project, now_ns)
    # What is in the way has expired, and is not there for anyone.
    places = [(one.entry.project, one.entry.namespace, one.entry.key) for one in batch]
    await tx.over("given (project, namespace, key)", places, _EXPIRED)
    added = await tx.over(
        "given (project, namespace, key, value, size_bytes, tags, created_ns, now, expires_ns)",
        [
            (
                *place,
                one.entry.value,
                one.entry.size_bytes,
                as_json(one.entry.tags),
                min(one.created_ns, now_ns),
                now_ns,
                one.entry.expires_ns,
            )
            for place, one in zip(places, batch, strict=True)
        ],
        _ADDED,
    )
    entries = {(one.entry.namespace, one.entry.key): one.entry for one in batch}
    found = [(row["memory_id"], entries[row["namespace"], row["key"]]) for row in added]
    await tx.insert(
        "memory_text (rowid, key, body, tags)",
        [(memory_id, entry.key, entry.text, " ".join(entry.tags)) for memory_id, entry in found],
    )

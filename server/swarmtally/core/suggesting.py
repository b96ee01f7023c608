"""What ids, keys and namespaces of a project can be completed with."""

from typing import Literal

from swarmtally.domain.clock import Clock
from swarmtally.domain.memory import KEY_LIMIT
from swarmtally.store import suggestions
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from swarmtally.store.suggestions import Source, Suggested

Recorded = Literal["run", "swarm", "agent", "artefact", "namespace", "key"]
"""Kinds of names that the database knows."""

_SOURCES: dict[Recorded, Source] = {
    "run": suggestions.RUNS,
    "swarm": suggestions.SWARMS,
    "agent": suggestions.AGENTS,
    "artefact": suggestions.ARTEFACTS,
    "namespace": suggestions.NAMESPACES,
    "key": suggestions.KEYS,
}


async def suggested(
    database: Database, clock: Clock, project: str, kind: Recorded, typed: str, within: str | None
) -> Suggested:
    """Names of that kind that begin with `typed` or hold it, the best first.

    Args:
        within: of a key the namespace (None: any), of an artefact its run.
    """
    # No name of ours is longer than a key may be or holds this character, at which SQLite's LIKE would take it to end.
    if len(typed) > KEY_LIMIT or "\0" in typed or (kind == "artefact" and within is None):
        return Suggested((), 0)
    source = suggestions.KEYS_ANYWHERE if kind == "key" and within is None else _SOURCES[kind]

    async def unit(tx: Connection) -> Suggested:
        return await suggestions.suggest(tx, source, project, typed, clock.now_ns(), within)

    return await database.read(unit)

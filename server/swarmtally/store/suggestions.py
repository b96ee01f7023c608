"""Names that begin with what somebody has typed, or hold it: what ids, keys and namespaces can be completed with.

Three queries for each kind of name, each with a limit: one walks the part of an index that begins as typed, one a whole
index of names, and one gives the newest names, which come before the others.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swarmtally.store.connection import Connection
from swarmtally.store.memory import successor

LOOKED_AT = 1_000
"""The most names a query gives. Where more match it is not known how many, nor which are newest but for the newest of
all."""

_BEGINS = "{name} >= :low AND (:high IS NULL OR {name} < :high)"
# A third of the time that `instr(lower(…))` takes.
_HOLDS = "{name} LIKE :part ESCAPE '!'"

_UNEXPIRED = "memory_id NOT IN (SELECT memory_id FROM memory WHERE expires_ns <= :now)"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the names of one kind are.

    Args:
        matching: gives `name`; `{matches}` is what it must be like.
        name: the column that is matched.
        newest: gives the newest names, those first.
    """

    matching: str
    name: str
    newest: str


# `+` keeps the project out of the choice of the index, which is the one of names.
RUNS = Source(
    "SELECT run_id AS name FROM run WHERE {matches} AND +project = :project",
    "run_id",
    "SELECT run_id AS name FROM run WHERE project = :project ORDER BY created_ns DESC",
)
SWARMS = Source(
    "SELECT swarm_id AS name FROM swarm WHERE {matches} AND +project = :project",
    "swarm_id",
    "SELECT swarm_id AS name FROM swarm WHERE project = :project ORDER BY created_ns DESC",
)
AGENTS = Source(
    "SELECT agent_id AS name FROM agent CROSS JOIN swarm ON swarm.swarm_id = agent.swarm_id"
    " WHERE {matches} AND swarm.project = :project",
    "agent_id",
    "SELECT agent_id AS name FROM swarm CROSS JOIN agent ON agent.swarm_id = swarm.swarm_id"
    " WHERE swarm.project = :project ORDER BY swarm.created_ns DESC, agent.joined DESC",
)
ARTEFACTS = Source(
    "SELECT DISTINCT name FROM artefact JOIN run ON run.run_id = artefact.run_id"
    " WHERE artefact.run_id = :within AND run.project = :project AND {matches}",
    "name",
    "SELECT name FROM artefact WHERE run_id = :within ORDER BY ordinal DESC",
)
KEYS = Source(
    f"SELECT key AS name FROM memory WHERE project = :project AND namespace = :within AND {{matches}} AND {_UNEXPIRED}",
    "key",
    # The newest entries are few, whatever namespace they are in: a small one may have none among them.
    "SELECT key AS name FROM (SELECT * FROM memory ORDER BY memory_id DESC LIMIT :limit)"
    " WHERE project = :project AND namespace = :within AND (expires_ns IS NULL OR expires_ns > :now)",
)
KEYS_ANYWHERE = Source(
    f"SELECT DISTINCT key AS name FROM memory WHERE project = :project AND {{matches}} AND {_UNEXPIRED}",
    "key",
    "SELECT key AS name FROM (SELECT * FROM memory ORDER BY memory_id DESC LIMIT :limit)"
    " WHERE project = :project AND (expires_ns IS NULL OR expires_ns > :now)",
)
# From each namespace the index is asked for the next: it is not walked through their entries.
NAMESPACES = Source(
    "WITH RECURSIVE found (name) AS ("
    "SELECT min(namespace) FROM memory WHERE project = :project AND namespace >= :low UNION ALL"
    " SELECT (SELECT min(namespace) FROM memory WHERE project = :project AND namespace > found.name)"
    " FROM found WHERE found.name IS NOT NULL AND (:high IS NULL OR found.name < :high)"
    ") SELECT name FROM found WHERE name IS NOT NULL AND {matches} AND EXISTS (SELECT 1 FROM memory"
    f" WHERE project = :project AND namespace = found.name AND {_UNEXPIRED})",
    "name",
    "SELECT DISTINCT namespace AS name FROM"
    " (SELECT project, namespace FROM memory ORDER BY memory_id DESC LIMIT :limit) WHERE project = :project",
)


@dataclass(frozen=True, slots=True)
class Suggested:
    """Names, the best first. `total` is None where more match than were looked at."""

    names: tuple[str, ...]
    total: int | None


async def suggest(
    tx: Connection, source: Source, project: str, typed: str, now_ns: int, within: str | None = None
) -> Suggested:
    """Names that begin with `typed`, the newest first, and then those that hold it, in letters (of ASCII) of any case.

    Args:
        within: the run or the namespace whose names they are.
    """
    parameters = {
        "project": project,
        "within": within,
        "low": typed,
        "high": successor(typed),
        "part": "%" + re.sub("([!%_])", r"!\1", typed) + "%",
        "now": now_ns,
        "limit": LOOKED_AT + 1,
    }
    begin = await _matching(tx, source, _BEGINS, parameters)
    cut = len(begin) > LOOKED_AT
    hold = [] if cut or not typed else await _matching(tx, source, _HOLDS, {**parameters, "low": "", "high": None})
    newest = [row["name"] for row in await tx.rows(f"{source.newest} LIMIT :limit", parameters)]
    known = {*begin, *hold}
    # Of many, one that was not looked at is one all the same.
    begin_newest = [name for name in newest if name.startswith(typed) and (cut or name in known)]
    hold_newest = [name for name in newest if name in known]
    names = tuple(dict.fromkeys([*begin_newest, *begin, *hold_newest, *hold]))
    return Suggested(names, None if cut or len(hold) > LOOKED_AT else len(names))


async def _matching(tx: Connection, source: Source, like: str, parameters: Mapping[str, Any]) -> list[str]:
    matches = like.format(name=source.name)
    return [row["name"] for row in await tx.rows(f"{source.matching.format(matches=matches)} LIMIT :limit", parameters)]

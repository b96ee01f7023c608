"""Templates of log lines that a project's analyses have met."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmtally.store.connection import Connection, as_json
from swarmtally.store.retention import STEP
from swarmtally.store.swarms import ensure_project

KEPT = 100_000
"""The most templates a project keeps; those met longest ago go first."""


@dataclass(frozen=True, slots=True)
class Met:
    """A template as one analysis met it."""

    key: str
    template: str
    category: str
    entries: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What earlier analyses had met of a template."""

    template: str
    """As it was when it was met last."""
    first_ns: int
    """When it was first met: the moment of the analysis, not a time of the log."""
    last_ns: int
    analyses: int
    entries: int
    """In all of them together."""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Seen":
        return cls(row["template"], row["first_ns"], row["last_ns"], row["analyses"], row["entries"])


@dataclass(frozen=True, slots=True)
class Noted:
    """What was known before an analysis."""

    known: int
    """How many templates of the project."""
    seen: Mapping[str, Seen]
    """By the key of this analysis, those it met again."""


async def texts(tx: Connection, project: str) -> dict[str, str]:
    """By key all templates that the project has met."""
    rows = await tx.rows("SELECT key, template FROM log_template WHERE project = :project", {"project": project})
    return {row["key"]: row["template"] for row in rows}


async def note(tx: Connection, project: str, met: Sequence[Met], same: Mapping[str, str], now_ns: int) -> Noted:
    """Write down what an analysis met; returns what was known before.

    Args:
        same: keys under which some of it was met before, by the keys it has now.
    """
    await ensure_project(tx, project, now_ns)
    rows = await tx.rows(
        "SELECT * FROM log_template WHERE project = :project AND key IN (SELECT value FROM json_each(:keys))",
        {"project": project, "keys": as_json([*(each.key for each in met), *same.values()])},
    )
    counted = await tx.row("SELECT COUNT(*) AS n FROM log_template WHERE project = :project", {"project": project})
    await tx.many(
        "INSERT INTO log_template (project, key, template, category, first_ns, last_ns, analyses, entries)"
        " VALUES (:project, :key, :template, :category, :now, :now, 1, :entries)"
        " ON CONFLICT (project, key) DO UPDATE SET template = excluded.template, category = excluded.category,"
        # Also where the clock was set back meanwhile: nothing is met last before it was met first.
        " last_ns = MAX(last_ns, excluded.last_ns), analyses = analyses + 1, entries = entries + excluded.entries",
        [
            {
                "project": project,
                "key": each.key,
                "template": each.template,
                "category": each.category,
                "now": now_ns,
                "entries": each.entries,
            }
            for each in met
        ],
    )
    await _delete_beyond(tx, project)
    before = {row["key"]: Seen.from_row(row) for row in rows}
    seen = {each.key: before.get(each.key) or before.get(same.get(each.key, "")) for each in met}
    return Noted(counted["n"] if counted else 0, {key: one for key, one in seen.items() if one is not None})


async def _delete_beyond(tx: Connection, project: str) -> None:
    await tx.rows(
        "DELETE FROM log_template WHERE project = :project AND key IN"
        " (SELECT key FROM log_template WHERE project = :project ORDER BY last_ns DESC, key LIMIT -1 OFFSET :kept)",
        {"project": project, "kept": KEPT},
    )


async def delete_templates(tx: Connection, before_ns: int) -> int:
    """Delete some templates that were last met before `before_ns`; returns how many. No figure counts them."""
    rows = await tx.rows(
        "DELETE FROM log_template WHERE (project, key) IN"
        " (SELECT project, key FROM log_template WHERE project IN (SELECT project FROM project) AND last_ns < :before"
        "  LIMIT :step) RETURNING 1",
        {"before": before_ns, "step": STEP},
    )
    return len(rows)

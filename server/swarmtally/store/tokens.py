"""What calls used and cost, and what separate requests for the same tasks would have, summed up by group."""

from dataclasses import dataclass
from enum import StrEnum

from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.run import RunKind
from swarmtally.store.connection import Connection, Row
from swarmtally.store.measures import Asked

CACHE_NS = 300 * NS_PER_S
"""How long a provider keeps the beginning of a prompt after it was last used."""

WRITTEN, READ = 1.25, 0.1
"""What a token written to the provider's cache for five minutes, or read from it, weighs against an uncached one."""


class Group(StrEnum):
    OPERATION = "operation"
    AGENT = "agent"
    MODE = "mode"
    MODEL = "model"
    RUN = "run"
    DAY = "day"


_KEYS = {
    Group.OPERATION: "run.kind",
    Group.AGENT: "usage.agent_id",
    Group.MODE: "IFNULL((SELECT mode FROM task WHERE task.task_id = usage.task_id), '')",
    Group.MODEL: "usage.model",
    Group.RUN: "run.run_id",
    Group.DAY: "date(usage.opened_ns / 1000000000, 'unixepoch')",
}


@dataclass(frozen=True, slots=True)
class Sums:
    """A row of `sums`.

    `calls` were opened in the time asked for, `known` of them have token figures, and `priced` a price; `unread` have
    token figures without what was read from a cache. Those with `saving` are over runs of which all calls are known,
    and whether they delivered, and that have a baseline, those with `weighed` over those of them of which all are
    priced, those with `cached` over those of them whose models' price lists know what cached input costs. Of each: how
    many runs they are, what their calls used, and what separate requests for the same tasks would have.
    """

    calls: int
    known: int
    priced: int
    unread: int
    of_clients: int
    raw: int
    billed: float
    cost_nanousd: int
    saving_runs: int
    saving_raw: int
    saving_separate: float
    weighed_runs: int
    weighed_billed: float
    weighed_separate: float
    cached_runs: int
    cached_billed: float
    cached_separate: float
    based_runs: int
    """Runs that have a baseline, also those left out of all savings, and those of whose calls no tokens are known."""
    first_price: str | None
    last_price: str | None

    @classmethod
    def from_row(cls, row: Row) -> "Sums":
        return cls(**{name: row[name] for name in cls.__slots__})


# A row that was corrected later, or closed, was not known by then.
_KNOWN = "(usage.input_tokens + usage.output_tokens) IS NOT NULL AND usage.closed_ns <= :until"

_DELIVERED = "usage.delivered AND usage.baseline_bytes IS NOT NULL"

_BASED = f"{_KNOWN} AND {_DELIVERED}"

_FRESH = "usage.input_tokens + 0.25 * IFNULL(usage.cache_write_tokens, 0) - 0.9 * IFNULL(usage.cache_read_tokens, 0)"

# Both prompts by the same counter: as many bytes a token as the call's own prompt had.
_PER_BYTE = "1.0 * usage.input_tokens / MAX(1, usage.prompt_bytes)"

# Of the same separate requests of a run, well ordered: those that began at once did so by the names of their tasks.
_WARM = (
    "EXISTS (SELECT 1 FROM usage AS other INDEXED BY usage_counted WHERE other.run_id = usage.run_id"
    f" AND other.opened_ns >= usage.opened_ns - {CACHE_NS} AND other.opened_ns <= usage.opened_ns"
    " AND other.delivered AND other.baseline_bytes IS NOT NULL AND other.model = usage.model"
    " AND (other.opened_ns, other.task_id) < (usage.opened_ns, usage.task_id))"
)

_OF_CALLS = {
    "calls": "COUNT(*)",
    "known": f"COUNT(*) FILTER (WHERE {_KNOWN})",
    "priced": f"COUNT(usage.output_weight) FILTER (WHERE {_KNOWN})",
    "unread": f"COUNT(*) FILTER (WHERE {_KNOWN} AND usage.cache_read_tokens IS NULL)",
    "of_clients": f"COUNT(*) FILTER (WHERE {_KNOWN} AND usage.source = 'client')",
    "raw": f"TOTAL(usage.input_tokens + usage.output_tokens) FILTER (WHERE {_KNOWN})",
    "billed": f"TOTAL({_FRESH} + usage.output_weight * usage.output_tokens) FILTER (WHERE {_KNOWN})",
    "cost_nanousd": f"SUM(usage.cost_nanousd) FILTER (WHERE {_KNOWN})",
    "first_price": f"MIN(usage.price_date) FILTER (WHERE {_KNOWN})",
    "last_price": f"MAX(usage.price_date) FILTER (WHERE {_KNOWN})",
    "older": "COUNT(*) - COUNT(usage.delivered)",
    "delivering": f"COUNT(*) FILTER (WHERE {_DELIVERED} AND usage.closed_ns <= :until)",
    "tasks": f"COUNT(*) FILTER (WHERE {_BASED})",
    "cacheable": f"COUNT(usage.cache_read_weight) FILTER (WHERE {_BASED})",
    "whole_input": f"TOTAL({_PER_BYTE} * usage.baseline_bytes) FILTER (WHERE {_BASED})",
    "cached_input": (
        f"TOTAL({_PER_BYTE} * (usage.baseline_bytes + usage.baseline_shared_bytes *"
        f" (CASE WHEN {_WARM} THEN {READ} - 1 ELSE {WRITTEN} - 1 END))) FILTER (WHERE {_BASED})"
    ),
    "output": f"TOTAL(usage.output_tokens) FILTER (WHERE {_BASED})",
    "weighed_output": f"TOTAL(usage.output_weight * usage.output_tokens) FILTER (WHERE {_BASED})",
}


def _named(columns: dict[str, str]) -> str:
    return ", ".join(f"{value} AS {name}" for name, value in columns.items())


_OF_GROUPS = {
    **{name: f"SUM({name})" for name in ("calls", "known", "priced", "unread", "of_clients")},
    "raw": "CAST(SUM(raw) AS INTEGER)",
    "billed": "SUM(billed)",
    "cost_nanousd": "IFNULL(SUM(cost_nanousd), 0)",
    "based_runs": "COUNT(DISTINCT run_id) FILTER (WHERE based)",
    "saving_runs": "COUNT(DISTINCT run_id) FILTER (WHERE saving)",
    "saving_raw": "CAST(TOTAL(raw) FILTER (WHERE saving) AS INTEGER)",
    "saving_separate": "TOTAL(whole_input + output) FILTER (WHERE saving)",
    "weighed_runs": "COUNT(DISTINCT run_id) FILTER (WHERE weighed)",
    "weighed_billed": "TOTAL(billed) FILTER (WHERE weighed)",
    "weighed_separate": "TOTAL(whole_input + weighed_output) FILTER (WHERE weighed)",
    "cached_runs": "COUNT(DISTINCT run_id) FILTER (WHERE cached)",
    "cached_billed": "TOTAL(billed) FILTER (WHERE cached)",
    "cached_separate": "TOTAL(cached_input + weighed_output) FILTER (WHERE cached)",
    "first_price": "MIN(first_price)",
    "last_price": "MAX(last_price)",
}


@dataclass(frozen=True, slots=True)
class Counted:
    """Sums over all calls asked for, None when there are none, and by group."""

    whole: Sums | None
    groups: dict[str, Sums]


async def sums(tx: Connection, asked: Asked, kind: RunKind | None, group: Group) -> Counted:
    """What the calls used that were opened in the time asked for, as was known at its end, of all runs or of one
    kind."""
    rows = await tx.rows(
        f"WITH part AS MATERIALIZED (SELECT run.run_id AS run_id, {_KEYS[group]} AS part, {_named(_OF_CALLS)}"
        " FROM run CROSS JOIN usage INDEXED BY usage_counted ON usage.run_id = run.run_id"
        " WHERE project = :project AND (:swarm_id IS NULL OR swarm_id = :swarm_id) AND (:kind IS NULL OR kind = :kind)"
        " AND (finished_ns IS NULL OR finished_ns > :since) AND opened_ns > :since AND opened_ns <= :until"
        " GROUP BY 1, 2),"
        " whole AS (SELECT run_id, SUM(delivering) > 0 AS based,"
        "  SUM(tasks) > 0 AND SUM(older) = 0 AND SUM(known) = SUM(calls) AS saving,"
        "  SUM(tasks) > 0 AND SUM(older) = 0 AND SUM(priced) = SUM(calls) AS weighed,"
        "  SUM(tasks) > 0 AND SUM(older) = 0 AND SUM(priced) = SUM(calls) AND SUM(cacheable) = SUM(tasks) AS cached"
        "  FROM part GROUP BY run_id)"
        f" SELECT 0 AS all_of_them, part, {_named(_OF_GROUPS)} FROM part JOIN whole USING (run_id) GROUP BY 1, 2"
        f" UNION ALL SELECT 1, NULL, {_named(_OF_GROUPS)} FROM part JOIN whole USING (run_id) GROUP BY 1",
        {**asked.bound(), "kind": kind},
    )
    return Counted(
        next((Sums.from_row(row) for row in rows if row["all_of_them"]), None),
        {row["part"]: Sums.from_row(row) for row in rows if not row["all_of_them"]},
    )

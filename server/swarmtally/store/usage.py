"""A row for each model call, opened before it is sent, so that money spent is always seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.usage import TokenUsage, UsageStatus, UsageTotals
from swarmtally.store.connection import Connection, as_json

LOST = "the process ended before an answer was recorded"
CANCELLED = "the run was cancelled before an answer was recorded"
EXPIRED = "its packet expired before a report came"
_FIGURES = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")

HALF = "its input or its output tokens were not reported"


class OpenedCall(NamedTuple):
    """A call about to be sent. `digested` counts artefacts that went in as digests."""

    run_id: str
    task_id: str
    number: int
    agent_id: str
    backend: str
    model: str
    prompt_bytes: int
    prompt_sha256: str
    digested: int
    prefix: str | None = None
    """JSON [[bytes, hash], …]: how long the prompt's beginnings are, part by part, and what they hash to."""
    shared_bytes: int | None = None
    """Of the beginning that all prompts of the run share."""
    baseline_bytes: int | None = None
    """Of the prompt of a separate request; None: there would be none."""
    baseline_shared_bytes: int | None = None
    estimated_tokens: int | None = None
    """Of input."""
    reserved_tokens: int | None = None
    """Held of the run's budget until it is closed; None: the run has none."""
    reserved_nanousd: int | None = None


_INTO = f"usage (usage_id, status, opened_ns, {', '.join(OpenedCall._fields)})"


async def open_calls(tx: Connection, calls: Sequence[OpenedCall], now_ns: int) -> list[int | None]:
    """Record calls before they are sent and return their usage_ids; None for one whose attempt is over: it must not be
    sent."""
    rows = await tx.over(
        "given (task_id, number)",
        [(call.task_id, call.number) for call in calls],
        "SELECT task_id, number, (SELECT COALESCE(MAX(usage_id), 0) + 1 FROM usage) AS next"
        " FROM given JOIN attempt USING (task_id, number) WHERE status = 'running'",
    )
    under_way = {(row["task_id"], row["number"]) for row in rows}
    sent = [call for call in calls if (call.task_id, call.number) in under_way]
    first = rows[0]["next"] if rows else 0
    await tx.insert(_INTO, [(first + place, "open", now_ns, *call) for place, call in enumerate(sent)])
    ids = iter(range(first, first + len(sent)))
    return [next(ids) if (call.task_id, call.number) in under_way else None for call in calls]


LONGEST_CALL_NS = 3_600 * NS_PER_S
"""A call open for longer than this was left behind by a process that died, and stands in nobody's way."""

# Whoever was under way meanwhile is either still open or closed after this one was opened.
_OTHERS = "SELECT 1 FROM usage AS other WHERE other.backend = usage.backend AND other.model = usage.model"
_ALONE = (
    f"CASE WHEN given.exec_ns IS NOT NULL THEN NOT EXISTS ({_OTHERS} AND other.closed_ns > usage.opened_ns) AND"
    f" NOT EXISTS ({_OTHERS} AND other.closed_ns IS NULL AND other.usage_id <> usage.usage_id"
    f"              AND other.opened_ns > usage.opened_ns - {LONGEST_CALL_NS}) END"
)


@dataclass(frozen=True, slots=True)
class ClosedCall:
    """A call that came to an end: what it used, and what it took."""

    usage_id: int
    usage: TokenUsage
    exec_ns: int | None = None
    asked: tuple[str, ...] = ()
    """The references it asked for in place of a deliverable."""
    delivered: bool = False
    """What it answered is what its task delivered."""


_GIVEN = (
    *("usage_id", "closed_ns", "status", "source", "reason", "exec_ns", "asked", "delivered", *_FIGURES),
    *("cost_nanousd", "output_weight", "cache_read_weight", "price_date"),
)
_CLOSE = (
    f"UPDATE usage SET {', '.join(f'{name} = given.{name}' for name in _GIVEN[1:])}, alone = {_ALONE}"
    " FROM given WHERE usage.usage_id = given.usage_id"
)


async def close_calls(tx: Connection, calls: Sequence[ClosedCall], now_ns: int) -> None:
    """Record the ends of calls. Never refused, also when the result is: what was spent was spent."""
    await tx.over(f"given ({', '.join(_GIVEN)})", [_closing(call, now_ns) for call in calls], _CLOSE)


def _closing(call: ClosedCall, now_ns: int) -> tuple[int | float | str | None, ...]:
    usage, price = call.usage, call.usage.price
    return (
        call.usage_id,
        now_ns,
        UsageStatus.REPORTED if usage.known else UsageStatus.UNKNOWN,
        usage.source if usage.known else None,
        usage.reason or (None if usage.known else HALF),
        call.exec_ns,
        as_json(call.asked) if call.asked else None,
        int(call.delivered),
        *_figures(usage),
        *(_prices(price) if price else _NO_PRICE),
    )


_figures = attrgetter(*_FIGURES)
_prices = attrgetter("cost_nanousd", "output_weight", "cache_read_weight", "date")
_NO_PRICE = (None, None, None, None)


async def lose_open(tx: Connection, run_id: str, now_ns: int, reason: str = LOST) -> None:
    """Close the run's open calls as unknown: nobody waits for them. A late answer may still correct them."""
    await tx.rows(
        "UPDATE usage SET closed_ns = :now, status = 'unknown', reason = :reason"
        " WHERE run_id = :run_id AND status = 'open'",
        {"run_id": run_id, "now": now_ns, "reason": reason},
    )


async def lose_open_of(tx: Connection, task_ids: list[str], now_ns: int, reason: str) -> None:
    """The same for the open calls of some tasks."""
    await tx.rows(
        "UPDATE usage SET closed_ns = :now, status = 'unknown', reason = :reason"
        " WHERE task_id IN (SELECT value FROM json_each(:ids)) AND status = 'open'",
        {"ids": as_json(task_ids), "now": now_ns, "reason": reason},
    )


NEWEST_CALLS = 1_000
"""How many of a model's calls are looked at for such as reported their tokens: a model may never do."""


async def reported_sizes(tx: Connection, backend: str, model: str, limit: int) -> list[tuple[int, int]]:
    """Bytes of the prompt and input tokens of the model's newest calls whose provider reported them, newest first."""
    rows = await tx.rows(
        "SELECT prompt_bytes, input_tokens FROM"
        " (SELECT * FROM usage WHERE backend = :backend AND model = :model AND closed_ns IS NOT NULL"
        "  ORDER BY closed_ns DESC LIMIT :newest)"
        " WHERE status = 'reported' AND source = 'reported' AND prompt_bytes > 0 AND input_tokens > 0 LIMIT :limit",
        {"backend": backend, "model": model, "newest": NEWEST_CALLS, "limit": limit},
    )
    return [(row["prompt_bytes"], row["input_tokens"]) for row in rows]


async def of_attempt(tx: Connection, task_id: str, number: int) -> int | None:
    """The usage_id of the attempt's last call."""
    row = await tx.row(
        "SELECT MAX(usage_id) AS usage_id FROM usage WHERE task_id = :task_id AND number = :number",
        {"task_id": task_id, "number": number},
    )
    return row["usage_id"] if row else None


async def name_model(tx: Connection, usage_id: int, model: str) -> None:
    """Record which model answered, where that is told with its answer."""
    await tx.rows("UPDATE usage SET model = :model WHERE usage_id = :usage_id", {"usage_id": usage_id, "model": model})


_REPORTED = "FILTER (WHERE status = 'reported')"
_COUNTS = (
    "COUNT(*) AS calls, COUNT(*) FILTER (WHERE status = 'open') AS open,"
    " COUNT(*) FILTER (WHERE status = 'unknown') AS unknown,"
    " COUNT(cost_nanousd) AS priced_calls, SUM(cost_nanousd) AS cost_nanousd"
)
_SUMS = ", ".join(
    [_COUNTS]
    + [f"COUNT({name}) {_REPORTED} AS {name.removesuffix('_tokens')}_calls" for name in _FIGURES[2:]]
    # SUM skips NULL, and a sum that lacks a call's figure must not pass for one over all of them.
    + [
        f"CASE WHEN COUNT({name}) {_REPORTED} = COUNT(*) {_REPORTED} THEN SUM({name}) {_REPORTED} END AS {name}"
        for name in _FIGURES
    ]
)


async def totals(tx: Connection, run_id: str) -> UsageTotals:
    """What the run's calls used so far."""
    row = await tx.row(f"SELECT {_SUMS} FROM usage WHERE run_id = :run_id", {"run_id": run_id})
    assert row is not None
    return UsageTotals.from_row(row)


async def totals_of_tasks(tx: Connection, task_ids: list[str]) -> dict[str, UsageTotals]:
    """The same for each of the tasks that made a call."""
    rows = await tx.rows(
        f"SELECT task_id, {_SUMS} FROM usage WHERE task_id IN (SELECT value FROM json_each(:ids)) GROUP BY task_id",
        {"ids": as_json(task_ids)},
    )
    return {row["task_id"]: UsageTotals.from_row(row) for row in rows}

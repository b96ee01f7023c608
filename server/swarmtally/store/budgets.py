"""What runs with a budget have spent, and what is held of it."""

from dataclasses import dataclass

from swarmtally.domain.budget import Account, Budget, Reservation, Spending
from swarmtally.domain.run import RunStatus
from swarmtally.store.connection import Connection

# A call with one figure of the two is unknown, and what it did tell may be more than was held for it.
_HELD_TOKENS = "MAX(reserved_tokens, COALESCE(input_tokens, 0) + COALESCE(output_tokens, 0))"
_SPENDING = f"""
SELECT
  COALESCE(SUM(input_tokens + output_tokens) FILTER (WHERE status = 'reported'), 0) AS spent_tokens,
  COALESCE(SUM(cost_nanousd) FILTER (WHERE status = 'reported'), 0) AS spent_nanousd,
  COALESCE(SUM({_HELD_TOKENS}) FILTER (WHERE status = 'unknown'), 0) AS lost_tokens,
  COALESCE(SUM(reserved_nanousd)
    FILTER (WHERE status = 'unknown' OR (status = 'reported' AND cost_nanousd IS NULL)), 0) AS lost_nanousd,
  COALESCE(SUM(reserved_tokens) FILTER (WHERE status = 'open'), 0) AS open_tokens,
  COALESCE(SUM(reserved_nanousd) FILTER (WHERE status = 'open'), 0) AS open_nanousd,
  COUNT(*) FILTER (WHERE status = 'reported'
    AND (input_tokens + output_tokens > reserved_tokens OR cost_nanousd > reserved_nanousd)) AS exceeded
FROM usage INDEXED BY usage_budgeted WHERE run_id = :run_id AND reserved_tokens IS NOT NULL
"""


async def spending(tx: Connection, run_id: str) -> Spending:
    """What the run's calls have spent, and what is held for the others."""
    row = await tx.row(_SPENDING, {"run_id": run_id})
    assert row is not None
    return Spending.from_row(row)


@dataclass(frozen=True, slots=True)
class Standing:
    """A run as one of its calls is about to be sent."""

    paused: bool
    budget: Budget
    spending: Spending


async def standing(tx: Connection, run_id: str, task_id: str, number: int) -> Standing | None:
    """The run of an attempt under way as it is now; None when the attempt is over."""
    row = await tx.row(
        f"SELECT run.status, run.budget_tokens, run.budget_nanousd, spending.* FROM run, ({_SPENDING}) AS spending"
        " WHERE run.run_id = :run_id AND EXISTS (SELECT 1 FROM attempt"
        "   WHERE task_id = :task_id AND number = :number AND attempt.status = 'running')",
        {"run_id": run_id, "task_id": task_id, "number": number},
    )
    if row is None:
        return None
    return Standing(row["status"] == RunStatus.PAUSED, Budget.from_row(row), Spending.from_row(row))


async def pause(tx: Connection, run_id: str, refused: Reservation, reason: str) -> None:
    """Pause a run for a call that its budget has no room for, and keep what that call would have held."""
    await tx.rows(
        "UPDATE run SET status = :status, reason = :reason, refused_tokens = :tokens, refused_nanousd = :nanousd"
        " WHERE run_id = :run_id",
        {
            "run_id": run_id,
            "status": RunStatus.PAUSED,
            "reason": reason,
            "tokens": refused.tokens,
            "nanousd": refused.nanousd,
        },
    )


async def refused(tx: Connection, run_id: str) -> Reservation | None:
    """What the call would hold for which the run is paused; None when it is not paused for its budget."""
    row = await tx.row("SELECT refused_tokens, refused_nanousd FROM run WHERE run_id = :run_id", {"run_id": run_id})
    if row is None or row["refused_tokens"] is None:
        return None
    return Reservation(row["refused_tokens"], row["refused_nanousd"])


async def account(tx: Connection, run_id: str) -> Account:
    """Where a run with a budget stands."""
    return Account(await spending(tx, run_id), await refused(tx, run_id))


async def set_budget(tx: Connection, run_id: str, budget: Budget) -> None:
    await tx.rows(
        "UPDATE run SET budget_tokens = :tokens, budget_nanousd = :nanousd WHERE run_id = :run_id",
        {"run_id": run_id, "tokens": budget.tokens, "nanousd": budget.nanousd},
    )

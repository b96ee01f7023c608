"""A run's budget, as tools return it."""

from swarmtally.domain.budget import NANO, Account, Budget, Spending, fits, usd
from swarmtally.domain.text import counted
from swarmtally_tools.definition import View


class BudgetView(View):
    tokens: int | None
    """The most input and output tokens its calls may take together; null for no limit."""
    usd: float | None
    """The most they may cost; null for no limit."""
    spent_tokens: int
    """By calls that reported their tokens."""
    spent_usd: float | None
    """By calls whose cost is known; null without a limit in dollars."""
    reserved_tokens: int
    """Held for calls under way, and for those that ended without reporting their tokens."""
    reserved_usd: float | None
    """The same in dollars; null without a limit in dollars."""
    over_tokens: int
    """By how much spent and reserved tokens together are over the limit."""
    over_usd: float | None
    """The same in dollars; null without a limit in dollars."""
    calls_over: int
    """Calls that took more than was reserved for them: only they can pass a limit."""
    reasons: dict[str, str]
    """Why a figure is null or not 0 as it should be, by its name."""


def budget_view(budget: Budget, spending: Spending) -> BudgetView:
    held_tokens = spending.lost_tokens + spending.open_tokens
    over_tokens = 0 if budget.tokens is None else max(0, spending.tokens - budget.tokens)
    spent_usd = reserved_usd = over_usd = None
    reasons = {}
    if budget.nanousd is None:
        reasons = dict.fromkeys(("spent_usd", "reserved_usd", "over_usd"), "the run has no budget in dollars")
    else:
        spent_usd = spending.spent_nanousd / NANO
        reserved_usd = (spending.lost_nanousd + spending.open_nanousd) / NANO
        over_usd = max(0, spending.nanousd - budget.nanousd) / NANO
    if spending.exceeded:
        reasons["calls_over"] = (
            f"{counted(spending.exceeded, 'call')} passed the output limit or 1.2 times the estimated input"
        )
    return BudgetView(
        tokens=budget.tokens,
        usd=None if budget.nanousd is None else budget.nanousd / NANO,
        spent_tokens=spending.spent_tokens,
        spent_usd=spent_usd,
        reserved_tokens=held_tokens,
        reserved_usd=reserved_usd,
        over_tokens=over_tokens,
        over_usd=over_usd,
        calls_over=spending.exceeded,
        reasons=reasons,
    )


def higher_budget(budget: Budget, account: Account | None) -> str:
    """What a run's budget must be for the call it is paused for; empty where it is paused for nothing of the kind."""
    if account is None or account.refused is None:
        return ""
    needed = account.spending.needs(account.refused)
    if fits(needed, budget):
        return "Its budget has room for the next call again. "
    least = []
    if budget.tokens is not None and (needed.tokens or 0) > budget.tokens:
        least.append(f"budget_tokens (--budget-tokens) {needed.tokens}")
    if budget.nanousd is not None and needed.nanousd is not None and needed.nanousd > budget.nanousd:
        least.append(f"budget_usd (--budget-usd) {usd(needed.nanousd).removeprefix('$')}")
    return f"Its next call needs a budget of at least {' and '.join(least)}: resume it with that. "

"""What calls used, as tools return it."""

from swarmtally.domain.text import counted
from swarmtally.domain.usage import UsageTotals
from swarmtally_tools.definition import View

SUMS = ("raw_tokens", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_usd")
"""The figures of a usage that are sums over calls."""

LOST = "no process executes the run: nobody waits for their answers, and what they used is unknown"
"""Why a call may be open that is not under way."""


class UsageView(View):
    calls: int
    """Calls made, failed and lost ones too."""
    raw_tokens: int | None
    """Input (cached too) and output tokens: the sum over the calls that reported both; null when none did."""
    input_tokens: int | None
    """Of the same calls, cached ones too."""
    output_tokens: int | None
    """Of the same calls, reasoning too."""
    cache_read_tokens: int | None
    """Of the input, read from the provider's cache; null when one of those calls did not report it."""
    cache_write_tokens: int | None
    """Of the input, written to the provider's cache; null when one of those calls did not report it."""
    cost_usd: float | None
    """What the calls cost that have a price, by list prices; null when none has."""
    unknown_calls: int
    """Ended calls without input or output tokens; nothing of them is in the sums."""
    open_calls: int
    """Calls sent and not answered yet; nothing of them is in the sums."""
    reasons: dict[str, str]
    """Why a figure is null, or which calls it is without, by its name."""


def usage_view(totals: UsageTotals, *, lost: bool = False) -> UsageView:
    """Sums of what was reported; one over nothing or over holes is null, and what is missing is said.

    `lost`: nobody waits for the answers of the open calls.
    """
    return UsageView(
        calls=totals.calls,
        raw_tokens=raw_tokens(totals),
        input_tokens=totals.input_tokens,
        output_tokens=totals.output_tokens,
        cache_read_tokens=totals.cache_read_tokens,
        cache_write_tokens=totals.cache_write_tokens,
        cost_usd=None if totals.cost_nanousd is None else totals.cost_nanousd / 1_000_000_000,
        unknown_calls=totals.unknown,
        open_calls=totals.open,
        reasons=_reasons(totals, totals.open if lost else 0),
    )


def raw_tokens(totals: UsageTotals) -> int | None:
    """Input and output of the calls that reported them; None when none did."""
    if totals.input_tokens is None or totals.output_tokens is None:
        return None
    return totals.input_tokens + totals.output_tokens


def _reasons(totals: UsageTotals, lost: int) -> dict[str, str]:
    reported = totals.reported
    gone = {"open_calls": LOST} if lost else {}
    if not reported:
        why = "no call has reported its tokens" if totals.calls else "no call was made yet"
        return dict.fromkeys(SUMS, why) | gone
    reasons = {}
    if totals.unknown + lost:
        unknown = counted(totals.unknown + lost, "call")
        reasons = dict.fromkeys(SUMS, f"without {unknown} whose tokens are unknown (failed, lost or not reported)")
    told = {"cache_read_tokens": totals.cache_read_calls, "cache_write_tokens": totals.cache_write_calls}
    for name, calls in told.items():
        if calls < reported:
            reasons[name] = f"reported by {calls} of the {reported} calls that reported tokens"
    if totals.priced_calls < totals.calls:
        reasons["cost_usd"] = _unpriced(totals)
    return reasons | gone


def _unpriced(totals: UsageTotals) -> str:
    if not totals.priced_calls:
        return "no price list knows the model"
    return f"without {counted(totals.calls - totals.priced_calls, 'call')} whose tokens or price are unknown"

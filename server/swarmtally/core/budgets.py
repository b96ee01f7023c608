"""Budgets: what a call may spend at most is held before it is sent, and settled with what it reported.

Whether there is room is decided in the transaction that opens the call's row, so that many agents and processes at
once do not pass a budget. Only a call that spends more than was held for it can: its provider exceeded the output
limit, or the input was longer than estimated by more than `ESTIMATE_SPARE`.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto

import anyio

from swarmtally.core.counting import Counter
from swarmtally.core.leases import scope
from swarmtally.core.ports import BackendInfo, Prompt
from swarmtally.domain.budget import NANO, Budget, Reservation, Spending, fits, usd
from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.run import Run
from swarmtally.domain.usage import TokenUsage
from swarmtally.store import budgets, events, tasks
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from swarmtally.store.events import Event
from swarmtally.store.usage import OpenedCall

ESTIMATE_SPARE = 1.2
"""What is held for a call's input, in estimates."""


class Verdict(Enum):
    """Whether a call may be sent."""

    SEND = auto()
    WAIT = auto()
    """There is no room now, but there may be when calls under way have ended."""
    HELD_BACK = auto()
    """There is no room: the run is paused, and the task ready again."""


@dataclass(frozen=True, slots=True)
class Held:
    """Of a call about to be made."""

    estimated_tokens: int
    """Of input."""
    reservation: Reservation | None
    """None: its run has no budget."""


class Settled:
    """Tells of calls that ended: what was held for them may leave room for others."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def next(self) -> anyio.Event:
        """Set when calls have next ended; take it before looking for room."""
        return self._event

    def tell(self) -> None:
        self._event.set()
        self._event = anyio.Event()


def check_start(budget: Budget, info: BackendInfo | None) -> None:
    """
    Args:
        info: of the backend that does the work; None: clients do it.

    Raises:
        InvalidInput: nobody could hold the run to its budget.
    """
    if not budget:
        return
    if info is None:
        raise InvalidInput(
            "a budget limits what the server spends, and here the client does: name a model, or give none"
        )
    if budget.nanousd is not None and info.pricing is None:
        raise InvalidInput(
            f"no price of {info.model} is known, so budget_usd cannot be kept: give budget_tokens instead"
        )


async def held_for(database: Database, counter: Counter, run: Run, info: BackendInfo, prompt: Prompt) -> Held:
    """The estimate of a call about to be made and, where its run has a budget, what is to be held for it."""
    tokens = await counter.tokens(database, info, prompt)
    return Held(tokens, reservation(info, tokens) if run.budget else None)


def reservation(info: BackendInfo, estimated_tokens: int) -> Reservation:
    """What is held for a call: its estimated input, with some to spare, and as much output as it may write."""
    given, written = math.ceil(estimated_tokens * ESTIMATE_SPARE), info.max_output_tokens
    if info.pricing is None:
        return Reservation(given + written, None)
    costs = [info.pricing.cost_nanousd(TokenUsage(input_tokens=given, output_tokens=written))]
    if info.caches:
        # Writing to a cache can cost more than reading afresh.
        written_whole = TokenUsage(input_tokens=given, output_tokens=written, cache_write_tokens=given)
        costs.append(info.pricing.cost_nanousd(written_whole))
    known = [cost for cost in costs if cost is not None]
    return Reservation(given + written, max(known) if known else None)


async def admit(tx: Connection, run: Run, call: OpenedCall, now_ns: int) -> Verdict:
    """Whether the budget of the call's run has room for it; when not even calls under way could leave room, pause."""
    found = await budgets.standing(tx, run.run_id, call.task_id, call.number)
    if found is None or call.reserved_tokens is None:
        # The attempt is over, which whoever opens the row sees; or its run has no budget.
        return Verdict.SEND
    if found.paused:
        await tasks.recover_lost(tx, scope(run), now_ns, "its run was paused before the call", only=call.task_id)
        return Verdict.HELD_BACK
    wanted = Reservation(call.reserved_tokens, call.reserved_nanousd)
    budget, so_far = found.budget, found.spending
    if fits(so_far.needs(wanted), budget):
        return Verdict.SEND
    if fits(so_far.settled().needs(wanted), budget) and so_far.open_tokens:
        return Verdict.WAIT
    remedy = _remedy(run.run_id, so_far.needs(wanted), budget, settled=not so_far.open_tokens)
    why = f"budget: {_shortage(so_far, wanted, budget)}; {remedy}"
    await budgets.pause(tx, run.run_id, wanted, why)
    await events.record(tx, [Event(now_ns, "run.paused", run.project, run.swarm_id, run.run_id, detail=why)])
    await tasks.recover_lost(tx, scope(run), now_ns, "the budget has no room for its call", only=call.task_id)
    return Verdict.HELD_BACK


async def go_on(tx: Connection, run: Run, higher: Budget) -> None:
    """Give a run that goes on the higher budget it was given, if any.

    Raises:
        InvalidInput: it has no such budget, or a budget that is as high already, or too low a one for the call it is
            paused for.
    """
    for name, old, new in (
        ("budget_tokens", run.budget.tokens, higher.tokens),
        ("budget_usd", run.budget.nanousd, higher.nanousd),
    ):
        if new is None:
            continue
        if old is None:
            raise InvalidInput(f"run {run.run_id} was started without {name}; resume it without")
        if new <= old:
            shown = (new, old) if name == "budget_tokens" else (new / NANO, old / NANO)
            raise InvalidInput(f"{name} {shown[0]} is not higher than the {shown[1]} that run {run.run_id} has")
    budget = Budget(
        run.budget.tokens if higher.tokens is None else higher.tokens,
        run.budget.nanousd if higher.nanousd is None else higher.nanousd,
    )
    wanted = await budgets.refused(tx, run.run_id)
    if wanted is not None:
        so_far = await budgets.spending(tx, run.run_id)
        needed = so_far.needs(wanted)
        if not fits(needed, budget):
            raise InvalidInput(
                f"run {run.run_id} would pause again: {_shortage(so_far, wanted, budget)}; "
                f"{_remedy(run.run_id, needed, budget)}"
            )
    if higher:
        await budgets.set_budget(tx, run.run_id, budget)


def _shortage(so_far: Spending, wanted: Reservation, budget: Budget) -> str:
    """What of the budget is gone, and what the next call needs."""
    parts = []
    if budget.tokens is not None and so_far.tokens + wanted.tokens > budget.tokens:
        parts.append(
            f"{so_far.tokens} of {budget.tokens} tokens are spent or held, and the next call may take {wanted.tokens}"
        )
    if budget.nanousd is not None:
        if wanted.nanousd is None:
            parts.append("what the next call may cost is not known")
        elif so_far.nanousd + wanted.nanousd > budget.nanousd:
            parts.append(
                f"{usd(so_far.nanousd)} of {usd(budget.nanousd)} are spent or held, and the next call may cost "
                f"{usd(wanted.nanousd)}"
            )
    return "; ".join(parts)


def _remedy(run_id: str, needed: Budget, budget: Budget, *, settled: bool = True) -> str:
    """The least budget the next call fits in, and how to give it; unless `settled`, calls under way decide on it."""
    least = []
    if budget.tokens is not None and (needed.tokens or 0) > budget.tokens:
        least.append(f"budget_tokens {needed.tokens}")
    if budget.nanousd is not None:
        if needed.nanousd is None:
            return "install a version that knows its price, or start a run with budget_tokens"
        if needed.nanousd > budget.nanousd:
            least.append(f"budget_usd {usd(needed.nanousd).removeprefix('$')}")
    if not settled:
        return "run_status tells what is enough when the calls under way have ended"
    return f"resume run {run_id} with at least {' and '.join(least)}"

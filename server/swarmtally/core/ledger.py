"""The ledger of model calls: a row is opened before a call is sent, and closed with what came back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from swarmtally.core import budgets
from swarmtally.core.budgets import Held, Settled, Verdict
from swarmtally.core.ports import Pricing, Prompt
from swarmtally.domain.clock import Clock
from swarmtally.domain.run import Run
from swarmtally.domain.task import Claim
from swarmtally.domain.usage import Price, TokenUsage
from swarmtally.store import messages, usage
from swarmtally.store.connection import Connection, as_json
from swarmtally.store.database import Database
from swarmtally.store.usage import ClosedCall, OpenedCall

HASH_DIGITS = 12
"""How much of a hash is kept where it only tells beginnings of prompts of one run apart."""


def opened_call(run: Run, claim: Claim, who: tuple[str, str], prompt: Prompt, held: Held | None = None) -> OpenedCall:
    """The usage row of a call about to be made; `who` are the backend's name and model, `held` is None where nothing is
    estimated."""
    backend, model = who
    prefix = prompt.prefix()
    whole_bytes, whole_sha256 = prefix[-1]
    reserved = held.reservation if held else None
    return OpenedCall(
        run_id=run.run_id,
        task_id=claim.task.task_id,
        number=claim.number,
        agent_id=claim.agent_id,
        backend=backend,
        model=model,
        prompt_bytes=whole_bytes,
        prompt_sha256=whole_sha256,
        digested=len(prompt.digested),
        prefix=as_json([(size, digest[:HASH_DIGITS]) for size, digest in prefix]),
        shared_bytes=prefix[prompt.shared_parts][0],
        baseline_bytes=prompt.separate.size_bytes if prompt.separate else None,
        baseline_shared_bytes=prompt.separate.shared_bytes if prompt.separate else None,
        estimated_tokens=held.estimated_tokens if held else None,
        reserved_tokens=reserved.tokens if reserved else None,
        reserved_nanousd=reserved.nanousd if reserved else None,
    )


def priced(used: TokenUsage, pricing: Pricing | None) -> TokenUsage:
    """The usage with what it cost; without a price where its tokens or its model's prices are not known."""
    if pricing is None and used.price is None:
        return used
    cost_nanousd = pricing.cost_nanousd(used) if pricing is not None and used.known else None
    if pricing is None or cost_nanousd is None:
        return replace(used, price=None)
    return replace(used, price=Price(cost_nanousd, pricing.output_weight, pricing.cache_read_weight, pricing.date))


async def record_arrival(database: Database, claim: Claim, received_ns: int) -> None:
    """Record that what was sent to the claim's agent arrived at `received_ns`."""
    await database.write_item(_arrive, (claim.task.task_id, claim.number, received_ns))


async def _arrive(tx: Connection, arrivals: Sequence[tuple[str, int, int]]) -> list[None]:
    await messages.receive(tx, arrivals)
    return [None] * len(arrivals)


async def open_call(
    database: Database, run: Run, call: OpenedCall, received_ns: int | None, settled: Settled
) -> int | None:
    """Record a call about to be sent, and return its usage_id; None when it must not be sent: its attempt is over, or
    its run's budget has no room for it. Waits while calls under way may leave room, of whose ends `settled` tells.

    With it goes the record that what was sent to the agent arrived at `received_ns` (None: nothing, or that is known).
    """
    opening = _Opening(call, received_ns, database.clock)
    if call.reserved_tokens is None:
        return await database.write_item(_open, opening)

    async def unit(tx: Connection) -> int | Verdict | None:
        verdict = await budgets.admit(tx, run, call, database.clock.now_ns())
        return verdict if verdict is not Verdict.SEND else (await _open(tx, [opening]))[0]

    while True:
        ended = settled.next()
        opened = await database.write(unit)
        if opened is Verdict.WAIT:
            await ended.wait()
        elif isinstance(opened, Verdict):
            return None
        else:
            return opened


@dataclass(frozen=True, slots=True)
class _Opening:
    """A call to be recorded; `received_ns`: when what was sent to its agent arrived, where that is not known yet."""

    call: OpenedCall
    received_ns: int | None
    clock: Clock


async def _open(tx: Connection, openings: Sequence[_Opening]) -> list[int | None]:
    arrived = [(each.call.task_id, each.call.number, each.received_ns) for each in openings]
    await messages.receive(tx, [(task_id, number, at) for task_id, number, at in arrived if at is not None])
    # Read while the lock is held: who has counted up to an earlier moment since knew all calls up to it.
    return await usage.open_calls(tx, [each.call for each in openings], openings[0].clock.now_ns())


async def close_call(database: Database, call: ClosedCall, now_ns: int) -> None:
    """Record what a call used that did not end its attempt: it did not fit, or it asked for parts."""

    async def unit(tx: Connection) -> None:
        await usage.close_calls(tx, [call], max(now_ns, database.clock.now_ns()))

    await database.write(unit)

"""The ledger of model calls: a row is opened before a call is sent, and closed with what came back."""

from collections.abc import Sequence
from dataclasses import replace

from swarmtally.core import budgets
from swarmtally.core.budgets import Settled, Verdict
from swarmtally.core.ports import Pricing, Prompt
from swarmtally.domain.run import Run
from swarmtally.domain.task import Claim
from swarmtally.domain.usage import Price, TokenUsage
from swarmtally.store import messages, usage
from swarmtally.store.connection import Connection, as_json
from swarmtally.store.database import Database
from swarmtally.store.usage import OpenedCall

HASH_DIGITS = 12
"""How much of a hash is kept where it only tells beginnings of prompts of one run apart."""


def opened_call(run: Run, claim: Claim, who: tuple[str, str], prompt: Prompt, now_ns: int) -> OpenedCall:
    """The usage row of a call about to be made; `who` are the backend's name and model."""
    backend, model = who
    prefix = prompt.prefix()
    whole_bytes, whole_sha256 = prefix[-1]
    return OpenedCall(
        run_id=run.run_id,
        task_id=claim.task.task_id,
        number=claim.number,
        agent_id=claim.agent_id,
        backend=backend,
        model=model,
        opened_ns=now_ns,
        prompt_bytes=whole_bytes,
        prompt_sha256=whole_sha256,
        digested=len(prompt.digested),
        prefix=as_json([(size, digest[:HASH_DIGITS]) for size, digest in prefix]),
        shared_bytes=prefix[prompt.shared_parts][0],
        baseline_bytes=prompt.separate.size_bytes if prompt.separate else None,
        baseline_shared_bytes=prompt.separate.shared_bytes if prompt.separate else None,
    )


def priced(used: TokenUsage, pricing: Pricing | None) -> TokenUsage:
    """The usage with what it cost; without a price where its tokens or its model's prices are not known."""
    cost_nanousd = pricing.cost_nanousd(used) if pricing is not None and used.known else None
    if pricing is None or cost_nanousd is None:
        return replace(used, price=None)
    return replace(used, price=Price(cost_nanousd, pricing.output_weight, pricing.cache_read_weight, pricing.date))


async def record_arrival(database: Database, claim: Claim, received_ns: int) -> None:
    """Record that what was sent to the claim's agent arrived at `received_ns`."""

    async def unit(tx: Connection) -> None:
        await messages.receive(tx, claim.task.task_id, claim.number, received_ns)

    await database.write(unit)


async def open_call(
    database: Database, run: Run, call: OpenedCall, received_ns: int | None, settled: Settled
) -> int | None:
    """Record a call about to be sent, and return its usage_id; None when it must not be sent: its attempt is over, or
    its run's budget has no room for it. Waits while calls under way may leave room, of whose ends `settled` tells.

    With it goes the record that what was sent to the agent arrived at `received_ns` (None: nothing, or that is known).
    """

    async def unit(tx: Connection) -> int | Verdict | None:
        if call.reserved_tokens is not None:
            verdict = await budgets.admit(tx, run, call, database.clock.now_ns())
            if verdict is not Verdict.SEND:
                return verdict
        if received_ns is not None:
            await messages.receive(tx, call.task_id, call.number, received_ns)
        # Read while the lock is held: who has counted up to an earlier moment since knew all calls up to it.
        return await usage.open_call(tx, replace(call, opened_ns=database.clock.now_ns()))

    while True:
        ended = settled.next()
        opened = await database.write(unit)
        if opened is Verdict.WAIT:
            await ended.wait()
        elif isinstance(opened, Verdict):
            return None
        else:
            return opened


async def close_call(
    database: Database, usage_id: int, used: TokenUsage, now_ns: int, exec_ns: int, asked: Sequence[str] = ()
) -> None:
    """Record what a call used that did not end its attempt: it did not fit, or it asked for parts (`asked`)."""

    async def unit(tx: Connection) -> None:
        await usage.close_call(tx, usage_id, used, max(now_ns, database.clock.now_ns()), exec_ns, asked)

    await database.write(unit)

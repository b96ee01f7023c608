"""One attempt at a task: pack its prompt, open its usage row, call the backend, and say what came of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import anyio.to_thread
import structlog

from swarmtally.core import asking, budgets, ledger
from swarmtally.core.budgets import Settled
from swarmtally.core.counting import Counter
from swarmtally.core.ports import Backend, BackendInfo, Inputs, Packer, Planner, Prompt, Room
from swarmtally.core.replies import check_failure, check_reply, credible
from swarmtally.core.tracing import UNTRACED, Tracing
from swarmtally.core.warming import Warming, beginning_of
from swarmtally.domain.clock import NS_PER_S, Clock
from swarmtally.domain.errors import AttemptOver, BackendFailure, ContextExceeded, StoreError, SwarmError
from swarmtally.domain.retry import RetryPolicy
from swarmtally.domain.run import Run
from swarmtally.domain.task import Claim, Expansion, Outcome, Task
from swarmtally.domain.text import one_line, storable
from swarmtally.domain.timekeeping import Part
from swarmtally.domain.usage import TokenUsage
from swarmtally.store import artefacts
from swarmtally.store.artefacts import Upstream
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from swarmtally.store.usage import ClosedCall

log = structlog.get_logger(__name__)

BYTES_PER_TOKEN = 3
"""How much text a token is taken to hold when a prompt is fitted to a context. English holds 4, code 3; where it
holds less the backend refuses the prompt, and it is packed again, smaller."""

PACKED_HERE_BYTES = 64 * 1024
"""Up to here packing takes less time than handing it to a worker thread; beyond, it would hold up the event loop."""

READ_WITH_CLAIMS_BYTES = 256 * 1024
"""Up to here what tasks get is read in the transaction that claims them."""

ERROR_LIMIT = 500
"""The longest error kept with an attempt, in characters; a provider wrote some of it."""

REPACKS = 4
"""How often a prompt that did not fit is packed again, each time to two thirds of the size."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Workshop:
    """What every attempt needs."""

    database: Database
    clock: Clock
    packer: Packer
    planner: Planner
    retry: RetryPolicy
    draw: Callable[[], float]
    """Uniform in [0, 1): the jitter of the retries."""
    warming: Warming = field(default_factory=Warming)
    counter: Counter = field(default_factory=Counter)
    settled: Settled = field(default_factory=Settled)
    tracing: Tracing = UNTRACED


@dataclass(slots=True)
class _Call:
    """A call that came to an end; its usage is closed with the outcome, in one transaction."""

    usage_id: int
    usage: TokenUsage
    exec_ns: int = 0
    text: str | None = None
    truncated: bool = False
    failure: BackendFailure | None = None
    asked: tuple[str, ...] = ()
    """References, in place of a deliverable."""

    @property
    def too_long(self) -> bool:
        return isinstance(self.failure, ContextExceeded)


@dataclass(slots=True)
class _Calls:
    """When the attempt's calls were under way: more than one where a prompt did not fit, or parts were asked for."""

    started_ns: int | None = None
    ended_ns: int | None = None
    exec_ns: int | None = None
    _since: int = 0

    def begin(self, clock: Clock) -> None:
        self.started_ns = self.started_ns or clock.now_ns()
        self._since = clock.monotonic_ns()

    def end(self, clock: Clock) -> int:
        """Note the end of a call; returns what it took."""
        took = clock.monotonic_ns() - self._since
        self.ended_ns, self.exec_ns = clock.now_ns(), (self.exec_ns or 0) + took
        return took


async def attempt(shop: Workshop, run: Run, claim: Claim, backend: Backend, inputs: Inputs | None = None) -> Outcome:
    """Do the claim's task once, with `inputs` where what it gets is known already. Every failure becomes an outcome;
    only cancellation and store errors get out."""
    begun_ns = shop.clock.now_ns()
    calls = _Calls()
    call: _Call | None = None
    text: str | None = None
    following: Expansion | None = None
    failure: BackendFailure | None = None
    try:
        if inputs is None:
            inputs = await inputs_of(shop.database, claim.task.task_id)
        call = await _call(_Work(shop, run, claim, backend, inputs, calls))
        text, failure = call.text, call.failure
        if text is not None and claim.task.expands:
            following = await anyio.to_thread.run_sync(shop.planner.expand, run, claim.task, text)
    except StoreError:
        raise
    except SwarmError as error:
        failure = BackendFailure(str(error), transient=False)
    return Outcome(
        claim=claim,
        begun_ns=begun_ns,
        started_ns=calls.started_ns,
        ended_ns=calls.ended_ns or shop.clock.now_ns(),
        exec_ns=calls.exec_ns,
        text=text,
        error=_shown(failure) if failure else None,
        retry_at_ns=_retry_at_ns(shop, claim, failure) if failure else None,
        usage_id=call.usage_id if call else None,
        usage=call.usage if call else None,
        call_ns=call.exec_ns if call else None,
        cause=failure.cause if failure else None,
        truncated=call.truncated if call else False,
        following=following,
    )


async def inputs_of(database: Database, task_id: str) -> Inputs:
    """What earlier tasks give to the task."""
    return _inputs(await database.read_item(artefacts.upstreams, task_id))


async def inputs_at_once(tx: Connection, claims: Sequence[Claim]) -> dict[str, Inputs]:
    """The same for tasks just claimed, by task_id: read with the claim, the prompt waits for nothing. Only where it is
    little all in all: others wait to write meanwhile."""
    found = {claim.task.task_id: Inputs() for claim in claims if not claim.waited}
    waited = [claim.task.task_id for claim in claims if claim.waited]
    given = await artefacts.small_upstreams(tx, waited, READ_WITH_CLAIMS_BYTES) if waited else []
    return found | dict(zip(waited, map(_inputs, given or ()), strict=False))


def _inputs(found: Upstream) -> Inputs:
    return Inputs(found.needed, found.seen, found.missing, found.earlier)


@dataclass(frozen=True, slots=True)
class _Work:
    """What all calls of one attempt have in common."""

    shop: Workshop
    run: Run
    claim: Claim
    backend: Backend
    inputs: Inputs
    calls: _Calls


async def _call(work: _Work) -> _Call:
    shop, claim, inputs = work.shop, work.claim, work.inputs
    held_ns = shop.clock.now_ns()
    info = work.backend.info
    budget = room_of(info).size_bytes
    for repack in range(REPACKS + 1):
        try:
            prompt = await asking.packed(partial(pack, shop.packer, work.run, claim.task, inputs), budget, info)
        except ContextExceeded as error:
            kept = f"{info.max_output_tokens} of its {info.context_tokens} tokens are kept for the answer"
            raise ContextExceeded(f"{error}; {kept} (--max-output-tokens)") from error
        received_ns = held_ns if repack == 0 and (inputs.needed or inputs.seen) else None
        call = await _made(work, prompt, received_ns)
        if call.asked:
            return await _made_with_parts(work, prompt, call, budget)
        if not call.too_long or repack == REPACKS:
            return call
        await _close(shop, call)
        budget = min(budget, prompt.size_bytes) * 2 // 3
    raise AssertionError("unreachable")


async def _made_with_parts(work: _Work, prompt: Prompt, call: _Call, budget: int) -> _Call:
    """The calls that follow one which asked for parts of what was left out of its prompt."""
    asked, shown = call.asked, prompt
    room = asking.room_for(prompt, asked, budget)
    for repack in range(REPACKS + 1):
        await _close(work.shop, call)
        parts = await _parts(work, asking.looked_up(asked), room)
        shown = asking.answered(prompt, asked, parts)
        call = await _made(work, shown)
        if not call.too_long or repack == REPACKS:
            break
        room = len(parts.encode()) * 2 // 3
    if call.asked:
        await _close(work.shop, call)
        call = await _made(work, asking.refused(shown, call.asked))
    return call


async def _made(work: _Work, prompt: Prompt, received_ns: int | None = None) -> _Call:
    """One call, recorded before it is sent. It may wait for another that brings what both begin with into a cache."""
    shop, info = work.shop, work.backend.info
    if received_ns is not None and (info.caches or work.run.budget):
        # The call may wait; a report must not learn of the arrival only then.
        await ledger.record_arrival(shop.database, work.claim, received_ns)
        received_ns = None
    async with shop.warming.turn(beginning_of(work.run.run_id, prompt, info), shop.clock) as turn:
        held = await budgets.held_for(shop.database, shop.counter, work.run, info, prompt)
        opened = ledger.opened_call(work.run, work.claim, (info.name, info.model), prompt, held)
        usage_id = await ledger.open_call(shop.database, work.run, opened, received_ns, shop.settled)
        if usage_id is None:
            raise AttemptOver(work.claim.task.task_id, work.claim.number)
        work.calls.begin(shop.clock)
        with shop.tracing.call(info) as trace, shop.database.timekeeper.time(Part.BACKENDS):
            call = await _send(usage_id, work.backend, prompt)
            trace.answered(call.usage, call.truncated, call.failure.cause if call.failure else None)
        call.exec_ns = work.calls.end(shop.clock)
        if call.failure is None:
            turn.answered()
    return call


async def _close(shop: Workshop, call: _Call) -> None:
    """Record what a call used that does not end its attempt."""
    closed = ClosedCall(call.usage_id, call.usage, call.exec_ns, call.asked)
    await ledger.close_call(shop.database, closed, shop.clock.now_ns())
    shop.settled.tell()


def room_of(info: BackendInfo) -> Room:
    """What a prompt to the backend may take, by what its model's context leaves beside the output."""
    return Room(max(1, info.context_tokens - info.max_output_tokens) * BYTES_PER_TOKEN)


async def pack(packer: Packer, run: Run, task: Task, inputs: Inputs, budget_bytes: int) -> Prompt:
    """The task's prompt; see `Packer.pack`."""
    return await _in_time(run, inputs, partial(packer.pack, run, task, inputs, budget_bytes))


async def _parts(work: _Work, references: Sequence[str], budget_bytes: int) -> str:
    run, inputs = work.run, work.inputs
    return await _in_time(run, inputs, partial(work.shop.packer.parts, run, inputs, references, budget_bytes))


async def _in_time(run: Run, inputs: Inputs, packing: Callable[[], _T]) -> _T:
    """Do it here, or in a worker thread where that takes so long that the event loop would notice."""
    made = (*inputs.needed, *inputs.seen, *inputs.earlier)
    given = sum(artefact.size_bytes for artefact in made) + sum(map(len, run.context))
    return packing() if given <= PACKED_HERE_BYTES else await anyio.to_thread.run_sync(packing)


async def _send(usage_id: int, backend: Backend, prompt: Prompt) -> _Call:
    try:
        call = await _answered(usage_id, backend, prompt)
        call.usage = ledger.priced(call.usage, backend.info.pricing)
        return call
    except SwarmError as error:
        refusal = BackendFailure(str(error), transient=False)
        return _Call(usage_id, TokenUsage(reason=f"the call was not made: {_shown(error)}"), failure=refusal)
    except Exception as error:
        log.exception("backend.fault", backend=backend.info.name)
        fault = BackendFailure(f"internal error in backend {backend.info.name}: {error!r}", transient=False)
        return _Call(usage_id, TokenUsage(reason="the backend broke down"), failure=fault)


async def _answered(usage_id: int, backend: Backend, prompt: Prompt) -> _Call:
    try:
        reply = await backend.execute(prompt)
    except BackendFailure as failure:
        check_failure(failure)
        unknown = TokenUsage(reason=f"the call failed: {_shown(failure)}")
        return _Call(usage_id, credible(failure.usage or unknown), failure=failure)
    check_reply(reply)
    asked = asking.asked_in(reply, prompt, backend.info)
    if asked and not prompt.left_out:
        again = BackendFailure("it asked for parts of what was left out again instead of answering", transient=False)
        return _Call(usage_id, credible(reply.usage), failure=again)
    if asked:
        return _Call(usage_id, credible(reply.usage), asked=tuple(map(storable, asked)))
    return _Call(usage_id, credible(reply.usage), text=storable(reply.text), truncated=bool(reply.truncated))


def _shown(error: Exception) -> str:
    return one_line(str(error), ERROR_LIMIT)


def _retry_at_ns(shop: Workshop, claim: Claim, failure: BackendFailure) -> int | None:
    """When the task is tried again: never for a final failure or when no attempt remains."""
    if not failure.transient:
        return None
    # The claim's task is as it was read before this attempt was counted.
    delay_s = shop.retry.delay_s(claim.task.attempts + 1, shop.draw(), failure.retry_after_s)
    return None if delay_s is None else shop.clock.now_ns() + round(delay_s * NS_PER_S)

"""What a run's recorded rows add up to: the definitions behind the figures, as pure functions over them.

They are docs/measures.md in code. All durations are integer nanoseconds.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from graphlib import TopologicalSorter
from typing import NamedTuple

KINDS = ("task_assignment", "status_update", "error_handling", "data_transfer", "coordination")
"""The kinds of messages. The first three are timed with their attempts; the others have rows of their own."""


WITH_ROWS = ("data_transfer", "coordination")
"""The kinds that have rows of their own."""


class AttemptFacts(NamedTuple):
    """An attempt's recorded times; None: not recorded, or not yet. A tuple: many are made at once."""

    task_id: str
    number: int
    status: str
    final: bool
    claimed_ns: int
    ready_ns: int | None
    begun_ns: int | None
    started_ns: int | None
    ended_ns: int | None
    committed_ns: int | None
    exec_ns: int | None
    expires_ns: int | None

    @property
    def has_result(self) -> bool:
        return self.status in ("succeeded", "failed")

    @property
    def wait_ns(self) -> int | None:
        """Ready to claimed."""
        return None if self.ready_ns is None else max(0, self.claimed_ns - self.ready_ns)

    @property
    def overhead_ns(self) -> int | None:
        """Claim to commit, without the time its calls took."""
        if self.committed_ns is None or self.exec_ns is None or self.begun_ns is None:
            return None
        return max(0, self.committed_ns - self.claimed_ns - self.exec_ns)

    def busy_until_ns(self, as_of_ns: int) -> int:
        """Until when it kept its agent busy: a packet's agent is free again when its lease ends."""
        until_ns = as_of_ns
        if self.committed_ns is not None and self.committed_ns < until_ns:
            until_ns = self.committed_ns
        if self.expires_ns is not None and self.expires_ns < until_ns:
            until_ns = self.expires_ns
        return until_ns


class CallFacts(NamedTuple):
    """A model call of an attempt. `prefix` are the prompt's beginnings, (bytes, hash), shortest first."""

    task_id: str
    number: int
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    exec_ns: int | None
    prompt_bytes: int
    delivered: bool | None = False
    """Its answer is what its task delivered; None: an earlier version made it, which did not note that."""
    baseline_bytes: int | None = None
    """Of the prompt of a separate request; None: there would be none."""
    prefix: tuple[tuple[int, str], ...] = ()

    @property
    def raw_tokens(self) -> int | None:
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens

    @property
    def separate_tokens(self) -> float | None:
        """What a separate request for the same task would have used: its prompt by the same counter, as many bytes a
        token as this one's had, and the same answer. None where there would be none, or that is not known."""
        if not self.delivered or self.baseline_bytes is None or self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens / max(1, self.prompt_bytes) * self.baseline_bytes + self.output_tokens


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """A message that has arrived. `received_ns` is None while it is on its way."""

    kind: str
    sent_ns: int
    received_ns: int | None


@dataclass(frozen=True, slots=True)
class Durations:
    """All durations of one kind each, in nanoseconds and in no order."""

    waits: list[int]
    execs: list[int]
    overheads: list[int]
    assignments: list[int]
    updates: list[int]
    errors: list[int]
    transfers: list[int]
    coordinations: list[int]


DURATIONS = tuple(field.name for field in fields(Durations))

LATENCY_OF = dict(zip(KINDS, ("assignments", "updates", "errors", "transfers", "coordinations"), strict=True))
"""Message kind → the field of `Durations` with its latencies."""


def durations(attempts: Iterable[AttemptFacts], messages: Iterable[MessageFacts]) -> Durations:
    """The durations of attempts that were committed, and the latencies of messages that arrived."""
    committed = [attempt for attempt in attempts if attempt.committed_ns is not None]
    with_result = [attempt for attempt in committed if attempt.has_result]
    latencies: dict[str, list[int | None]] = {kind: [] for kind in KINDS}
    for _, _, status, _, claimed_ns, _, begun_ns, _, ended_ns, committed_ns, _, _ in with_result:
        if begun_ns is not None and ended_ns is not None and committed_ns is not None:
            latencies["task_assignment"].append(begun_ns - claimed_ns)
            told = "status_update" if status == "succeeded" else "error_handling"
            latencies[told].append(committed_ns - ended_ns)
    for message in messages:
        if message.received_ns is not None:
            latencies[message.kind].append(message.received_ns - message.sent_ns)
    return Durations(
        waits=_recorded([attempt.wait_ns for attempt in committed]),
        execs=_recorded([attempt.exec_ns for attempt in with_result]),
        overheads=_recorded([attempt.overhead_ns for attempt in with_result]),
        **{LATENCY_OF[kind]: _recorded(values) for kind, values in latencies.items()},
    )


def _recorded(values: Iterable[int | None]) -> list[int]:
    # The wall clock may be set back between two readings: no latency is below nothing.
    return [max(0, value) for value in values if value is not None]


def packed(values: Sequence[int]) -> bytes | None:
    """`values` in ascending order, eight bytes each, little end first; None when there are none."""
    if not values:
        return None
    whole = array("q", sorted(values))
    if _BIG_ENDIAN:
        whole.byteswap()
    return whole.tobytes()


_BIG_ENDIAN = array("q", [1]).tobytes()[0] == 0


def critical_path_ns(exec_ns: Mapping[str, int], dependencies: Iterable[tuple[str, str]]) -> int:
    """The longest dependent chain of `exec_ns` (task_id → ns), over (task_id, depends_on)."""
    before: dict[str, set[str]] = {}
    for task_id, depends_on in dependencies:
        if task_id in exec_ns and depends_on in exec_ns:
            before.setdefault(task_id, set()).add(depends_on)
    longest = dict(exec_ns)
    # Tasks that depend on nothing and that nothing depends on are no chain.
    for task_id in TopologicalSorter(before).static_order():
        if task_id in before:
            longest[task_id] += max(longest[other] for other in before[task_id])
    return max(longest.values(), default=0)


def fresh_tokens(calls: Sequence[CallFacts]) -> int:
    """The input tokens that the same calls, one after another in this order, would have left uncached.

    Where none of them read from a cache, nobody caches: all of it. Else a call shares with those before it the parts
    its prompt begins with; never more is counted than it really left uncached, so what a cache did beyond that is not
    turned into a speed-up.
    """
    if not any(call.cache_read_tokens for call in calls):
        return sum(call.input_tokens or 0 for call in calls)
    seen: set[tuple[int, str]] = set()
    fresh = 0
    for call in calls:
        tokens = call.input_tokens or 0
        shared = max((size for size, digest in call.prefix if (size, digest) in seen), default=0)
        seen.update(call.prefix)
        alone = round(tokens * (1 - min(shared, call.prompt_bytes) / max(1, call.prompt_bytes)))
        fresh += min(alone, max(0, tokens - (call.cache_read_tokens or 0)))
    return fresh


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What happened in a run since `since_ns` (when it ended before; 0 at first), up to its end.

    `attempts` are those committed since; `calls` stand in the plan's order.
    """

    attempts: tuple[AttemptFacts, ...]
    dependencies: tuple[tuple[str, str], ...]
    calls: tuple[CallFacts, ...]
    messages: tuple[MessageFacts, ...]
    cancelled: int
    places: int | None


@dataclass(frozen=True, slots=True)
class RunSums:
    """A run's sums, the columns of `run_measure` that are computed."""

    begun_ns: int
    succeeded: int
    failed: int
    cancelled: int
    attempts: int
    results: int
    retried: int
    busy_ns: int
    work_ns: int
    critical_path_ns: int
    makespan_ns: int | None
    places: int | None
    calls: int
    calls_unknown: int
    fresh_tokens: int
    output_tokens: int
    raw_tokens: int | None
    """Of all its calls, whatever came of them; this and the next are None unless both are known."""
    separate_tokens: float | None
    """What separate requests for the tasks that succeeded would have used."""
    durations: Durations


def measure(facts: RunFacts, ended_ns: int) -> RunSums:
    """The sums of a run that ended at `ended_ns`."""
    attempts = facts.attempts
    final = {attempt.task_id: attempt for attempt in attempts if attempt.final and attempt.has_result}
    exec_ns = {task_id: attempt.exec_ns or 0 for task_id, attempt in final.items()}
    ended = [attempt.committed_ns for attempt in attempts if attempt.committed_ns is not None]
    begun_ns = min((attempt.claimed_ns for attempt in attempts), default=ended_ns)
    counted = [call for call in facts.calls if _final(call, final)]
    known = [call for call in counted if _known(call)]
    unknown = {call.task_id for call in counted if not _known(call)}
    without = set(final) - {call.task_id for call in known}
    raw, separate = _compared(facts.calls)
    busy = [max(0, attempt.busy_until_ns(ended_ns) - attempt.claimed_ns) for attempt in attempts]
    critical_ns = critical_path_ns(exec_ns, facts.dependencies)
    return RunSums(
        begun_ns=begun_ns,
        succeeded=sum(attempt.status == "succeeded" for attempt in final.values()),
        failed=sum(attempt.status == "failed" for attempt in final.values()),
        cancelled=facts.cancelled,
        attempts=sum(spent > 0 for spent in busy),
        results=sum(attempt.has_result for attempt in attempts),
        retried=sum(attempt.status == "failed" and not attempt.final for attempt in attempts),
        busy_ns=sum(busy),
        work_ns=sum(exec_ns.values()),
        critical_path_ns=critical_ns,
        # Execs are monotonic: where the wall clock was set back, they say how long it took at least.
        makespan_ns=max(max(ended) - begun_ns, critical_ns) if ended else None,
        places=facts.places,
        calls=len(known),
        calls_unknown=sum(
            attempt.status == "succeeded" and attempt.task_id in (unknown | without) for attempt in final.values()
        ),
        fresh_tokens=fresh_tokens(known),
        output_tokens=sum(call.output_tokens or 0 for call in known),
        raw_tokens=raw,
        separate_tokens=separate,
        durations=durations(attempts, facts.messages),
    )


def _compared(calls: Sequence[CallFacts]) -> tuple[int, float] | tuple[None, None]:
    """What the calls used, and what separate requests would have; None unless both are known."""
    raw = [tokens for call in calls if (tokens := call.raw_tokens) is not None]
    separate = [theirs for call in calls if (theirs := call.separate_tokens) is not None]
    whole = len(raw) == len(calls) and all(call.delivered is not None for call in calls)
    return (sum(raw), sum(separate)) if separate and whole else (None, None)


def _final(call: CallFacts, final: Mapping[str, AttemptFacts]) -> bool:
    return call.task_id in final and final[call.task_id].number == call.number


def _known(call: CallFacts) -> bool:
    return call.exec_ns is not None and call.input_tokens is not None and call.output_tokens is not None

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
        return min(end_ns for end_ns in (as_of_ns, self.committed_ns, self.expires_ns) if end_ns is not None)


class CallFacts(NamedTuple):
    """What of a call's prompt was read from a cache. `prefix` are the prompt's beginnings, (bytes, hash), shortest
    first."""

    input_tokens: int | None
    cache_read_tokens: int | None
    prompt_bytes: int
    prefix: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """A message that has arrived. `received_ns` is None while it is on its way."""

    kind: str
    sent_ns: int
    received_ns: int | None


@dataclass(frozen=True, slots=True)
class Durations:
    """All durations of one kind each, in nanoseconds and in no order."""

    waits: Sequence[int]
    execs: Sequence[int]
    overheads: Sequence[int]
    assignments: Sequence[int]
    updates: Sequence[int]
    errors: Sequence[int]
    transfers: Sequence[int]
    coordinations: Sequence[int]


DURATIONS = tuple(field.name for field in fields(Durations))

LATENCY_OF = dict(zip(KINDS, ("assignments", "updates", "errors", "transfers", "coordinations"), strict=True))
"""Message kind → the field of `Durations` with its latencies."""


def durations(attempts: Iterable[AttemptFacts], messages: Iterable[MessageFacts]) -> Durations:
    """The durations of attempts that were committed, and the latencies of messages that arrived."""
    committed = [attempt for attempt in attempts if attempt.committed_ns is not None]
    with_result = [attempt for attempt in committed if attempt.has_result]
    latencies: dict[str, list[int | None]] = {kind: [] for kind in KINDS}
    for attempt in with_result:
        if attempt.begun_ns is not None and attempt.ended_ns is not None and attempt.committed_ns is not None:
            latencies["task_assignment"].append(attempt.begun_ns - attempt.claimed_ns)
            told = "status_update" if attempt.status == "succeeded" else "error_handling"
            latencies[told].append(attempt.committed_ns - attempt.ended_ns)
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

"""What a run adds up to, computed row by row in plain Python: what the store's SQL is compared with."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from swarmtally.domain.measures import (
    AttemptFacts,
    CallFacts,
    MessageFacts,
    RunSums,
    critical_path_ns,
    durations,
    fresh_tokens,
)
from swarmtally.store.connection import Connection
from swarmtally.store.run_sums import EndedRun


@dataclass(frozen=True)
class Call:
    """A model call of an attempt."""

    task_id: str
    number: int
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    exec_ns: int | None
    prompt_bytes: int
    delivered: bool | None
    """Its answer is what its task delivered; None: an earlier version made it, which did not note that."""
    baseline_bytes: int | None
    """Of the prompt of a separate request; None: there would be none."""
    prefix: tuple[tuple[int, str], ...]

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


@dataclass(frozen=True)
class Rows:
    """What happened in a run since `since_ns` (when it ended before; 0 at first), up to its end.

    `attempts` are those committed since; `calls` stand in the plan's order.
    """

    attempts: tuple[AttemptFacts, ...]
    dependencies: tuple[tuple[str, str], ...]
    calls: tuple[Call, ...]
    messages: tuple[MessageFacts, ...]
    cancelled: int
    places: int | None


def measure(rows: Rows, ended_ns: int) -> RunSums:
    """The sums of a run that ended at `ended_ns`."""
    attempts = rows.attempts
    final = {attempt.task_id: attempt for attempt in attempts if attempt.final and attempt.has_result}
    exec_ns = {task_id: attempt.exec_ns or 0 for task_id, attempt in final.items()}
    ended = [attempt.committed_ns for attempt in attempts if attempt.committed_ns is not None]
    begun_ns = min((attempt.claimed_ns for attempt in attempts), default=ended_ns)
    counted = [call for call in rows.calls if _final(call, final)]
    known = [call for call in counted if _known(call)]
    # Of a call whose figures are missing, or without any call.
    unknown = {call.task_id for call in counted if not _known(call)}
    unknown |= set(final) - {call.task_id for call in known}
    raw, separate = _compared(rows.calls)
    busy = [max(0, attempt.busy_until_ns(ended_ns) - attempt.claimed_ns) for attempt in attempts]
    critical_ns = critical_path_ns(exec_ns, rows.dependencies)
    return RunSums(
        begun_ns=begun_ns,
        succeeded=sum(attempt.status == "succeeded" for attempt in final.values()),
        failed=sum(attempt.status == "failed" for attempt in final.values()),
        cancelled=rows.cancelled,
        attempts=sum(spent > 0 for spent in busy),
        results=sum(attempt.has_result for attempt in attempts),
        retried=sum(attempt.status == "failed" and not attempt.final for attempt in attempts),
        busy_ns=sum(busy),
        work_ns=sum(exec_ns.values()),
        critical_path_ns=critical_ns,
        # Execs are monotonic: where the wall clock was set back, they say how long it took at least.
        makespan_ns=max(max(ended) - begun_ns, critical_ns) if ended else None,
        places=rows.places,
        calls=len(known),
        calls_unknown=sum(attempt.status == "succeeded" and attempt.task_id in unknown for attempt in final.values()),
        fresh_tokens=fresh_tokens([_cached(call) for call in known]),
        output_tokens=sum(call.output_tokens or 0 for call in known),
        raw_tokens=raw,
        separate_tokens=separate,
        durations=durations(attempts, rows.messages),
    )


def _compared(calls: Sequence[Call]) -> tuple[int, float] | tuple[None, None]:
    """What the calls used, and what separate requests would have; None unless both are known."""
    raw = [tokens for call in calls if (tokens := call.raw_tokens) is not None]
    separate = [theirs for call in calls if (theirs := call.separate_tokens) is not None]
    whole = len(raw) == len(calls) and all(call.delivered is not None for call in calls)
    return (sum(raw), sum(separate)) if separate and whole else (None, None)


def _final(call: Call, final: Mapping[str, AttemptFacts]) -> bool:
    attempt = final.get(call.task_id)
    return attempt is not None and attempt.number == call.number


def _known(call: Call) -> bool:
    return call.exec_ns is not None and call.input_tokens is not None and call.output_tokens is not None


def _cached(call: Call) -> CallFacts:
    return CallFacts(call.input_tokens, call.cache_read_tokens, call.prompt_bytes, call.prefix)


async def rows_of(tx: Connection, ended: EndedRun, places: int | None) -> Rows:
    """All rows of a run, of which those of the stretch that ended are taken here."""

    def inside(at_ns: int | None) -> bool:
        return at_ns is not None and ended.since_ns < at_ns <= ended.ended_ns

    run = {"run_id": ended.run_id}
    names = ", ".join(f"attempt.{name}" for name in AttemptFacts._fields)
    attempts = [
        AttemptFacts(**{**dict(row), "final": bool(row["final"])})
        for row in await tx.rows(f"SELECT {names} FROM attempt JOIN task USING (task_id) WHERE run_id = :run_id", run)
    ]
    calls = await tx.rows(
        "SELECT usage.* FROM usage JOIN task USING (task_id) WHERE usage.run_id = :run_id"
        " ORDER BY task.ordinal, usage_id",
        run,
    )
    edges = await tx.rows("SELECT dependency.* FROM dependency JOIN task USING (task_id) WHERE run_id = :run_id", run)
    messages = await tx.rows("SELECT * FROM message WHERE run_id = :run_id", run)
    events = await tx.rows("SELECT * FROM event WHERE run_id = :run_id AND kind = 'task.cancelled'", run)
    return Rows(
        attempts=tuple(
            item
            for item in attempts
            if inside(item.expires_ns if item.committed_ns is None and item.status == "expired" else item.committed_ns)
        ),
        dependencies=tuple((row["task_id"], row["depends_on"]) for row in edges),
        calls=tuple(
            Call(
                **{name: row[name] for name in Call.__dataclass_fields__ if name not in ("prefix", "delivered")},
                delivered=None if row["delivered"] is None else bool(row["delivered"]),
                prefix=tuple((size, digest) for size, digest in json.loads(row["prefix"] or "[]")),
            )
            for row in calls
            if inside(row["closed_ns"])
        ),
        messages=tuple(
            MessageFacts(row["kind"], row["sent_ns"], row["received_ns"])
            for row in messages
            if row["hop"] == row["hops"] and row["kind"] in ("data_transfer", "coordination")
            if inside(row["received_ns"])
        ),
        cancelled=sum(inside(row["at_ns"]) for row in events),
        places=places,
    )

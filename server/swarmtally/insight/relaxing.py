"""A recording with one thing changed, and the smallest change that gains most."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from swarmtally.domain.swarm import Agent, AgentStatus
from swarmtally.insight.jobs import UNLIMITED, Job, Member, Recording, Spans, Step

MOST_OF_GAIN = 0.9
"""A change that gains this share of what the best of its kind gains is preferred when it is smaller."""


def with_slots(recording: Recording, pools: Collection[int], slots: int) -> Recording:
    """The pools take `slots` calls at once."""
    changed = (replace(pool, slots=slots) if at in pools else pool for at, pool in enumerate(recording.pools))
    return replace(recording, pools=tuple(changed))


def with_max_agents(recording: Recording, max_agents: int) -> Recording:
    return replace(recording, max_agents=max_agents)


def with_agents_of(recording: Recording, role: str, count: int) -> Recording:
    """`count` more agents of `role` from the beginning, with room made for them."""
    joined = max((member.joined for member in recording.members), default=-1) + 1
    begin_ns = min((job.release_ns for job in recording.jobs), default=0)
    added = tuple(
        Member(_agent(f"more{number:06}", role, begin_ns), number, begin_ns) for number in range(joined, joined + count)
    )
    present = sum(member.leaves_ns is None for member in recording.members)
    return replace(
        recording,
        members=recording.members + added,
        max_agents=max(recording.max_agents, present + count),
    )


def _agent(agent_id: str, role: str, since_ns: int) -> Agent:
    return Agent(agent_id, "", role, "", (), AgentStatus.IDLE, False, None, since_ns, 0, 0, 0)


def unlimited(recording: Recording) -> Recording:
    """As many agents and calls as there are tasks, nothing waits without need, nothing fails that is tried again."""
    free = replace(recording, max_agents=UNLIMITED)
    free = with_slots(free, range(len(recording.pools)), UNLIMITED)
    free = without_steps(free, lambda step: step.lost or step.cause is not None)
    return without_delays(without_stalls(without_locks(free)))


def independent(recording: Recording) -> Recording:
    """Calls at once do not slow each other down."""
    return replace(recording, pools=tuple(replace(pool, compute=False) for pool in recording.pools))


def without_steps(recording: Recording, gone: Callable[[Step], bool]) -> Recording:
    """Attempts that another followed, and the pauses after them, did not happen; a task's last attempt stays."""
    return _each(recording, lambda job: tuple(step for step in job.steps[:-1] if not gone(step)) + job.steps[-1:])


def without_failures(recording: Recording, causes: Collection[str]) -> Recording:
    """Attempts that failed of `causes`, and the pauses after them, did not happen. A task that failed of them for good
    stays as it was: what it would have taken is not known."""

    def steps(job: Job) -> tuple[Step, ...]:
        if job.steps[-1].cause in causes:
            return job.steps
        return tuple(step for step in job.steps if step.cause not in causes)

    return _each(recording, steps)


def without_halts(recording: Recording) -> Recording:
    """No run was paused or without a process, and no attempt was lost."""
    kept = without_steps(recording, lambda step: step.lost)
    return _spans(kept, lambda step: step.spans - Spans(delay=step.halted))


def without_delays(recording: Recording) -> Recording:
    """Tasks are claimed as soon as an agent and a call's place are free."""
    return _spans(recording, lambda step: replace(step.spans, delay=0))


def without_queue_waits(recording: Recording) -> Recording:
    """The same as far as neither a halt nor a lock nor memory explains the wait."""

    def spans(step: Step) -> Spans:
        explained = max(step.halted, step.locked.delay + step.stalled.delay)
        return replace(step.spans, delay=min(step.spans.delay, explained))

    return _spans(recording, spans)


def with_overhead(recording: Recording, factor: float) -> Recording:
    """Packing, committing and scheduling take `factor` of their time, as far as it was not spent waiting for locks or
    memory. Of an attempt that was lost nothing is known but that it was: its time is no overhead."""

    def spans(step: Step) -> Spans:
        if step.lost:
            return step.spans
        waited = step.locked.before + step.stalled.before, step.locked.after + step.stalled.after
        spent = step.spans.before - waited[0], step.spans.after - waited[1]
        before, after = (waits + round(factor * own) for waits, own in zip(waited, spent, strict=True))
        return replace(step.spans, before=before, after=after)

    return _spans(recording, spans)


def without_locks(recording: Recording) -> Recording:
    return _spans(recording, lambda step: step.spans - step.locked)


def without_stalls(recording: Recording) -> Recording:
    return _spans(recording, lambda step: step.spans - step.stalled)


def shortened(recording: Recording, task_ids: Collection[str], factor: float) -> Recording:
    """The calls of these tasks take `factor` of their time."""

    def steps(job: Job) -> tuple[Step, ...]:
        if job.task.task_id not in task_ids:
            return job.steps
        return tuple(replace(step, spans=replace(step.spans, work=step.spans.work * factor)) for step in job.steps)

    return _each(recording, steps)


def _each(recording: Recording, steps: Callable[[Job], tuple[Step, ...]]) -> Recording:
    return replace(recording, jobs=tuple(replace(job, steps=steps(job)) for job in recording.jobs))


def _spans(recording: Recording, spans: Callable[[Step], Spans]) -> Recording:
    return _each(recording, lambda job: tuple(replace(step, spans=spans(step)) for step in job.steps))


@dataclass(frozen=True, slots=True)
class Best:
    """The change to make, and what the replay with it and with the best of its kind took, in ns."""

    size: int
    makespan_ns: int
    best_ns: int


def smallest_that_gains_most(
    sizes: Iterable[int], makespan_ns: Callable[[int], int], base_ns: int, worth_ns: int
) -> Best | None:
    """The smallest of `sizes` whose gain over `base_ns` is nearly the best; None when none gains `worth_ns`.

    All are tried: with more agents a list schedule can even take longer (Graham 1969), so nothing is skipped on the
    belief that more is better.
    """
    tried = [(size, makespan_ns(size)) for size in sizes]
    best_ns = min((took for _, took in tried), default=base_ns)
    if base_ns - best_ns < worth_ns:
        return None
    wanted = base_ns - MOST_OF_GAIN * (base_ns - best_ns)
    size, took = next((size, took) for size, took in tried if took <= wanted)
    return Best(size, took, best_ns)


def sizes_above(now: int, most: int) -> list[int]:
    """What to try instead of `now`: a few more, then multiples, up to `most`."""
    wanted = {now + 1, now + 2, now + 3, now + 4, *(now * factor for factor in (2, 3, 4, 8, 16)), most}
    return sorted(size for size in wanted if now < size <= max(most, now + 1))

"""What of a run's spans was waiting for locks or for memory, from the samples of the processes that executed it."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from swarmtally.insight.jobs import Spans, Step
from swarmtally.insight.recording import Scene
from swarmtally.store.history import Sample

_Span = tuple[int, int]

_WORK = 2
"""Which of an attempt's four spans its calls are."""


@dataclass(slots=True)
class _Parts:
    """The spans of one attempt on the clock, and what of each was waiting."""

    delay: _Span
    before: _Span
    work: _Span
    after: _Span
    here: bool
    """Its calls were worked on by this machine."""
    locked: list[float]
    stalled: list[float]

    @property
    def all(self) -> tuple[_Span, _Span, _Span, _Span]:
        return self.delay, self.before, self.work, self.after


def with_waits(scene: Scene, samples: Sequence[Sample]) -> Scene:
    """`scene` with the waits that `samples` tell of.

    A wait for a lock fell into the time in which some attempt was being claimed, packed or recorded: it is spread over
    that. A wait for memory slowed everything this machine did in the interval, which calls to elsewhere are not.
    """
    telling = [sample for sample in samples if sample.lock_wait_ns or sample.memory_stall_ns]
    if not telling:
        return scene
    found = [_of_process(scene, [each for each in telling if each.owner == owner]) for owner in _owners(telling)]
    # Which process worked on an attempt is not recorded; what the machine waited for memory, each of them tells.
    following = iter([_longest(parts) for parts in zip(*found, strict=True)])
    jobs = tuple(
        replace(job, steps=tuple(_with_parts(step, next(following)) for step in job.steps))
        for job in scene.recording.jobs
    )
    return replace(scene, recording=replace(scene.recording, jobs=jobs))


def _owners(samples: Sequence[Sample]) -> list[str]:
    return list(dict.fromkeys(sample.owner for sample in samples))


def _longest(parts: Sequence[_Parts]) -> _Parts:
    """What one attempt waited at most, of what each process tells."""
    locked, stalled = (
        [max(waits) for waits in zip(*of_each, strict=True)]
        for of_each in ([each.locked for each in parts], [each.stalled for each in parts])
    )
    return replace(parts[0], locked=locked, stalled=stalled)


def _of_process(scene: Scene, samples: Sequence[Sample]) -> list[_Parts]:
    """Of each attempt, in the order of the jobs, with what the samples of one process tell."""
    parts = _all_parts(scene)
    ordered = sorted(parts, key=lambda each: each.delay[0])
    begins = [each.delay[0] for each in ordered]
    longest = max((each.after[1] - each.delay[0] for each in ordered), default=0)
    for sample in samples:
        interval = (sample.at_ns - sample.interval_ns, sample.at_ns)
        near = ordered[bisect_left(begins, interval[0] - longest) : bisect_left(begins, interval[1])]
        _spread_lock(near, interval, sample.lock_wait_ns or 0)
        _spread_stall(near, interval, sample.memory_stall_ns or 0)
    return parts


def _all_parts(scene: Scene) -> list[_Parts]:
    """Of each attempt, in the order of the jobs."""
    steps = [
        (step.spans, scene.recording.pools[job.pool].compute) for job in scene.recording.jobs for step in job.steps
    ]
    made = []
    for attempt, (spans, here) in zip(scene.attempts, steps, strict=True):
        begun_ns = attempt.claimed_ns + spans.before
        # On a shared machine `work` is less than the call took.
        ended_ns = begun_ns + (attempt.exec_ns or 0)
        made.append(
            _Parts(
                delay=(attempt.claimed_ns - spans.delay, attempt.claimed_ns),
                before=(attempt.claimed_ns, begun_ns),
                work=(begun_ns, ended_ns),
                after=(ended_ns, ended_ns + spans.after),
                here=here,
                locked=[0.0] * 4,
                stalled=[0.0] * 4,
            )
        )
    return made


def _spread_lock(near: Sequence[_Parts], interval: _Span, wait_ns: int) -> None:
    if not wait_ns:
        return
    ours = [
        (_overlap(span, interval), each, number)
        for each in near
        for number, span in enumerate(each.all)
        if number != _WORK and _overlap(span, interval)
    ]
    covered = _union([_cut(each.all[number], interval) for _, each, number in ours])
    if covered:
        share = min(1.0, wait_ns / covered)
        for overlap, each, number in ours:
            each.locked[number] += overlap * share


def _spread_stall(near: Sequence[_Parts], interval: _Span, stall_ns: int) -> None:
    if not stall_ns:
        return
    share = min(1.0, stall_ns / max(1, interval[1] - interval[0]))
    for each in near:
        for number, span in enumerate(each.all):
            if number != _WORK or each.here:
                each.stalled[number] += _overlap(span, interval) * share


def _overlap(span: _Span, interval: _Span) -> int:
    return max(0, min(span[1], interval[1]) - max(span[0], interval[0]))


def _cut(span: _Span, interval: _Span) -> _Span:
    return max(span[0], interval[0]), min(span[1], interval[1])


def _union(spans: Sequence[_Span]) -> int:
    """How long at least one of `spans` lasted."""
    covered, reached = 0, None
    for begin, end in sorted(spans):
        if reached is None or begin > reached:
            covered += end - begin
            reached = end
        elif end > reached:
            covered += end - reached
            reached = end
    return covered


def _with_parts(step: Step, found: _Parts) -> Step:
    lasted = found.work[1] - found.work[0]
    locked = _within(found.locked, step.spans, lasted)
    stalled = _within(found.stalled, step.spans - locked, lasted)
    return replace(step, locked=locked, stalled=stalled)


def _within(waits: Sequence[float], spans: Spans, lasted: int) -> Spans:
    """`waits` as parts of `spans`, never more than those; of work that was shared, its share."""
    work = waits[_WORK] * spans.work / lasted if lasted else 0.0
    return Spans(
        min(spans.delay, round(waits[0])),
        min(spans.before, round(waits[1])),
        min(spans.work, work),
        min(spans.after, round(waits[3])),
    )

"""Causes that are losses: failures that were tried again, waits that nothing explains, locks, memory, long chains."""

from collections.abc import Collection, Iterator
from graphlib import TopologicalSorter

from swarmtally.domain.errors import FailureCause
from swarmtally.insight.jobs import Job, Recording, Step
from swarmtally.insight.limits import PROVIDER
from swarmtally.insight.recording import Scene
from swarmtally.insight.relaxing import (
    shortened,
    unlimited,
    with_slots,
    without_halts,
    without_locks,
    without_overhead,
    without_queue_waits,
    without_stalls,
    without_steps,
)
from swarmtally.insight.sampled import NO_SAMPLES
from swarmtally.insight.study import Cause, Component, Evidence, Study, Unknown, WhatIf, seconds
from swarmtally.store.history import Attempt

NETWORK_CAUSES = (FailureCause.NETWORK, FailureCause.TIMEOUT, FailureCause.SERVER)

_NAMED = 20
"""The most tasks a cause names."""


def critical_path(study: Study) -> Iterator[Cause]:
    """The chain of tasks that takes its time however many agents and calls there are: what it takes beyond the work
    spread evenly over the places there were. No schedule is shorter than either (Graham 1969)."""
    found = [(_excess_ns(scene), at) for at, scene in enumerate(study.scenes)]
    lost_ns = sum(max(0, excess) for excess, _ in found)
    if lost_ns < study.worth_ns:
        return
    scene = study.scenes[max(found)[1]]
    free = unlimited(scene.recording)
    chain_ns, chain = _longest_chain(free)
    longest = max(chain, key=lambda job: sum(step.spans.work for step in job.steps))
    task = longest.task
    what = f"{len(chain)} tasks that wait for each other take" if chain[1:] else "one task alone takes"
    name = "the longest is" if chain[1:] else "it is"
    yield Cause(
        "critical_path",
        Component.SWARM,
        f"{what} longer than all work spread evenly: {name} {task.key} ({task.mode}) of run {task.run_id}",
        lost_ns,
        (
            Evidence(
                "critical_path_s",
                seconds(chain_ns),
                seconds(_work_ns(free) / _places(scene)),
                len(free.jobs),
            ),
        ),
        WhatIf(
            f"task {task.key} (mode {task.mode}) takes half as long",
            study.total_ns(
                lambda each: shortened(each.recording, task.task_id, 0.5) if each is scene else each.recording
            ),
            None,
            f"no option makes a task shorter: split {task.key}, or have mode {task.mode} deliver less",
        ),
        swarm_id=scene.swarm.swarm_id,
        tasks=tuple(job.task.key for job in chain[:_NAMED]),
    )


def _excess_ns(scene: Scene) -> int:
    free = unlimited(scene.recording)
    return round(_longest_chain(free)[0] - _work_ns(free) / _places(scene))


def _longest_chain(recording: Recording) -> tuple[float, list[Job]]:
    """The tasks that wait for each other and take the longest one after the other, and what they take in ns; whatever
    else they wait for does not count."""
    jobs = {job.task.task_id: job for job in recording.jobs}
    longest: dict[str, tuple[float, str | None]] = {}
    for task_id in TopologicalSorter({key: job.needs for key, job in jobs.items()}).static_order():
        last = max(jobs[task_id].needs, key=lambda need: (longest[need][0], need), default=None)
        own_ns = sum(step.spans.total for step in jobs[task_id].steps)
        longest[task_id] = (own_ns + (longest[last][0] if last else 0), last)
    took_ns, end = max((took_ns, task_id) for task_id, (took_ns, _) in longest.items())
    at: str | None = end
    chain: list[Job] = []
    while at is not None:
        chain.append(jobs[at])
        at = longest[at][1]
    return took_ns, chain[::-1]


def _work_ns(recording: Recording) -> float:
    return sum(step.spans.total for job in recording.jobs for step in job.steps)


def _places(scene: Scene) -> int:
    """How many tasks could be under way at once, never more than there were; where calls share a machine, its capacity
    is one."""
    if any(pool.compute for pool in scene.recording.pools):
        return 1
    slots = sum(pool.slots for pool in scene.recording.pools)
    return min(scene.recording.max_agents, slots, len(scene.recording.jobs))


def rate_limits(study: Study) -> Iterator[Cause]:
    """Calls that the provider refused because there were too many."""
    found = _failures(study, (FailureCause.RATE_LIMIT,))
    if found is not None:
        lost_ns, failed = found
        what_if, reason = _gentler(study, failed)
        yield Cause(
            "rate_limit",
            Component.BACKEND,
            f"the provider refused {len(failed)} calls, which were sent again after pauses",
            lost_ns,
            (Evidence("attempts_refused", len(failed), 0, _attempts(study)),),
            what_if,
            reason,
        )


def network(study: Study) -> Iterator[Cause]:
    """Calls that failed on their way or at the provider, and the pauses before they were sent again."""
    found = _failures(study, NETWORK_CAUSES)
    if found is not None:
        lost_ns, failed = found
        counted = {cause: sum(each.cause == cause for each in failed) for cause in NETWORK_CAUSES}
        named = ", ".join(f"{number} {cause}" for cause, number in counted.items() if number)
        yield Cause(
            "network",
            Component.NETWORK,
            f"{len(failed)} calls failed ({named}) and were sent again after pauses",
            lost_ns,
            tuple(
                Evidence(f"attempts_failed_{cause}", number, 0, _attempts(study))
                for cause, number in counted.items()
                if number
            ),
            WhatIf("no such failure", study.base_ns - lost_ns, None, "no option of ours prevents failures elsewhere"),
        )


def failures(study: Study) -> Iterator[Cause]:
    """Attempts that failed for any other cause, and the pauses before their tasks were tried again."""
    found = _failures(study, (FailureCause.OTHER,))
    if found is not None:
        lost_ns, failed = found
        again = [step for job in _jobs(study) for step in job.steps[:-1] if step.cause == FailureCause.OTHER]
        yield Cause(
            "failures",
            Component.BACKEND,
            f"{len(again)} failures that were tried again, by themselves or by retrying the run, after pauses",
            lost_ns,
            (
                Evidence("attempts_failed", len(failed), 0, _attempts(study)),
                Evidence("waited_to_be_tried_again_s", seconds(sum(step.pause for step in again)), 0, len(again)),
            ),
            WhatIf(
                "no such failure",
                study.base_ns - lost_ns,
                None,
                "the tasks' errors say why they failed; no option of ours prevents that",
            ),
        )


def _failures(study: Study, causes: Collection[str]) -> tuple[int, list[Attempt]] | None:
    """What failures of `causes` that were tried again cost, and those attempts; None where it is not worth naming."""
    lost_ns = study.lost_ns(lambda scene: _unfailing(scene.recording, causes))
    if lost_ns < study.worth_ns:
        return None
    attempts = [each for scene in study.scenes for each in scene.attempts if each.status == "failed"]
    return lost_ns, [each for each in attempts if (each.cause or FailureCause.OTHER) in causes]


def _unfailing(recording: Recording, causes: Collection[str]) -> Recording:
    if not any(step.cause in causes for job in recording.jobs for step in job.steps):
        return recording
    return without_steps(recording, lambda step: step.cause in causes)


def _gentler(study: Study, refused: list[Attempt]) -> tuple[WhatIf | None, str | None]:
    """With as many calls at once as were never refused; where such calls were refused too, nothing can be said."""
    at_once = min(_under_way(study, each) for each in refused)
    calls = at_once - 1
    names = {backend.name for scene in study.scenes for backend in scene.backends}
    if calls < 1:
        return None, "calls were refused even alone, so the limit is not one of calls at once; raise it at the provider"

    def gentle(scene: Scene) -> Recording:
        limited = with_slots(scene.recording, range(len(scene.recording.pools)), calls)
        return _unfailing(limited, (FailureCause.RATE_LIMIT,))

    made_ns = study.total_ns(gentle)
    if made_ns >= study.base_ns:
        return None, f"with {calls} calls at once, which were never refused, it would take longer than with refusals"
    note = f"{calls} calls at once were never refused, {at_once} were"
    if names != {PROVIDER}:
        return WhatIf(f"at most {calls} calls at once", made_ns, None, f"{note}; its program sets max_parallel"), None
    command = f"export SWARMTALLY_MAX_PARALLEL={calls}"
    return WhatIf(f"at most {calls} calls at once", made_ns, command, f"{note}; then start the server again"), None


def _under_way(study: Study, refused: Attempt) -> int:
    """The calls under way when that one was sent, itself counted."""
    at_ns = refused.started_ns
    if at_ns is None:
        return 0
    return sum(
        each.started_ns is not None and each.started_ns <= at_ns < each.started_ns + max(1, each.exec_ns or 0)
        for scene in study.scenes
        for each in scene.attempts
    )


def queue_waits(study: Study) -> Iterator[Cause]:
    """Tasks that were ready, with an idle agent and a free place for their call, and were not claimed."""
    lost_ns = study.lost_ns(lambda scene: without_queue_waits(scene.recording))
    if lost_ns < study.worth_ns:
        return
    waits = [step.spans.delay - step.halted for step in _steps(study) if step.spans.delay > step.halted]
    host = all(backend.host for scene in study.scenes for backend in scene.backends)
    who = "no client claimed them" if host else "the scheduler did not claim them"
    yield Cause(
        "queue_wait",
        Component.QUEUE,
        f"tasks were ready, and an agent and a call's place free, but {who}",
        lost_ns,
        (Evidence("unexplained_wait_s", seconds(sum(waits)), 0, len(waits)),),
        WhatIf(
            "every task is claimed as soon as it can be",
            study.base_ns - lost_ns,
            None,
            "claim the next packets with each report (work_report --claim N)"
            if host
            else "no option sets it; agents that another process frees are seen within 0.1 s",
        ),
    )


def overhead(study: Study) -> Iterator[Cause]:
    """Packing prompts, waiting for a provider's cache to be warm, committing results and the scheduler's turns."""
    lost_ns = study.lost_ns(lambda scene: without_overhead(scene.recording))
    if lost_ns < study.worth_ns:
        return
    steps = [step for step in _steps(study) if not step.lost]
    spent = sum(step.spans.before + step.spans.after for step in steps)
    worked = sum(step.spans.work for step in steps)
    yield Cause(
        "overhead",
        Component.QUEUE,
        "time between claim and call, and between answer and commit: packing, warming a cache, committing, scheduling",
        lost_ns,
        (Evidence("overhead_s", seconds(spent), seconds(worked), len(steps)),),
        WhatIf("no overhead", study.base_ns - lost_ns, None, "no option removes it; fewer, larger tasks have less"),
    )


def halts(study: Study) -> Iterator[Cause]:
    """Pauses, and processes that died."""
    lost_ns = study.lost_ns(lambda scene: without_halts(scene.recording))
    if lost_ns < study.worth_ns:
        return
    steps = _steps(study)
    lost = [step for step in steps if step.lost]
    halted = [step for step in steps if step.halted]
    yield Cause(
        "interruption",
        Component.QUEUE,
        "runs were paused or without a process, or attempts were lost with theirs",
        lost_ns,
        (
            Evidence("attempts_lost", len(lost), 0, len(steps)),
            Evidence("waits_while_halted_s", seconds(sum(step.halted for step in halted)), 0, len(halted)),
        ),
        WhatIf(
            "no interruption",
            study.base_ns - lost_ns,
            None,
            "serve --adopt --model NAME takes over what a process that died leaves behind; pauses are your own",
        ),
    )


def locks(study: Study) -> Iterator[Cause]:
    """Waits for write locks that other processes held."""
    told = [each for each in study.samples if each.lock_wait_ns is not None]
    if not told:
        raise Unknown(NO_SAMPLES)
    lost_ns = study.lost_ns(lambda scene: without_locks(scene.recording))
    if lost_ns < study.worth_ns:
        return
    waited = sum(each.lock_wait_ns or 0 for each in told)
    yield Cause(
        "lock_wait",
        Component.QUEUE,
        "the database was locked by other processes while results waited to be written",
        lost_ns,
        (Evidence("lock_wait_s", seconds(waited), 0, len(told)),),
        WhatIf(
            "no wait for locks",
            study.base_ns - lost_ns,
            None,
            "run fewer processes on this database, or give other projects a file of their own with --db",
        ),
    )


def memory(study: Study) -> Iterator[Cause]:
    """Waits for memory that the system had to make free or read back."""
    if not study.samples:
        raise Unknown(NO_SAMPLES)
    told = [each for each in study.samples if each.memory_stall_ns is not None]
    if not told:
        raise Unknown("this system does not tell how long tasks wait for memory (Linux does, in /proc/pressure/memory)")
    lost_ns = study.lost_ns(lambda scene: without_stalls(scene.recording))
    if lost_ns < study.worth_ns:
        return
    stalled = sum(each.memory_stall_ns or 0 for each in told)
    resident = [each.rss_bytes for each in study.samples if each.rss_bytes is not None]
    evidence = [Evidence("memory_stall_s", seconds(stalled), 0, len(told))]
    if resident:
        evidence.append(Evidence("rss_bytes_max", max(resident), study.machine_bytes, len(resident)))
    yield Cause(
        "memory",
        Component.MEMORY,
        "the machine was short of memory while tasks were worked on",
        lost_ns,
        tuple(evidence),
        WhatIf(
            "no wait for memory",
            study.base_ns - lost_ns,
            None,
            "no option gives the machine more memory; end other programs, or use a smaller model",
        ),
    )


def _jobs(study: Study) -> list[Job]:
    return [job for scene in study.scenes for job in scene.recording.jobs]


def _steps(study: Study) -> list[Step]:
    return [step for job in _jobs(study) for step in job.steps]


def _attempts(study: Study) -> int:
    return sum(len(scene.attempts) for scene in study.scenes)

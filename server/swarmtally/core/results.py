"""Recording what came of claims: one write transaction for results, usage, agents, dependents and finished runs."""

import hashlib
from collections.abc import Sequence

from swarmtally.core.claims import HeldRun
from swarmtally.core.leases import scope
from swarmtally.domain import ids
from swarmtally.domain.files import rendered
from swarmtally.domain.run import Run, RunStatus
from swarmtally.domain.task import Artefact, Outcome, TaskStatus
from swarmtally.store import agents, artefacts, events, runs, tasks, usage
from swarmtally.store.connection import Connection
from swarmtally.store.events import Event
from swarmtally.store.usage import ClosedCall


async def record(tx: Connection, held: dict[str, HeldRun], outcomes: Sequence[Outcome], now_ns: int) -> int:
    """Record `outcomes` and everything that follows from them; returns how many were accepted.

    An outcome whose fence is stale, or whose run was let go of because the database could not be written, changes
    nothing but its call's usage: what was spent was spent.
    """
    ours = [outcome for outcome in outcomes if outcome.claim.task.run_id in held]
    fences = await tasks.end_attempts(tx, ours, now_ns) if ours else set()
    accepted = [outcome for outcome in ours if (outcome.claim.task.task_id, outcome.claim.number) in fences]
    delivered = {outcome.usage_id for outcome in accepted if outcome.text is not None}
    closed = [
        ClosedCall(each.usage_id, each.usage, each.call_ns, delivered=each.usage_id in delivered)
        for each in outcomes
        if each.usage_id is not None and each.usage is not None
    ]
    await usage.close_calls(tx, closed, now_ns)
    for run_id in dict.fromkeys(outcome.claim.task.run_id for outcome in accepted):
        mine = [outcome for outcome in accepted if outcome.claim.task.run_id == run_id]
        await _record_run(tx, held[run_id], mine, now_ns)
    return len(accepted)


async def _record_run(tx: Connection, held: HeldRun, outcomes: Sequence[Outcome], now_ns: int) -> None:
    await agents.release(
        tx,
        [
            (
                outcome.claim.agent_id,
                outcome.claim.task.task_id,
                int(outcome.text is not None),
                int(outcome.text is None and outcome.retry_at_ns is None),
            )
            for outcome in outcomes
        ],
        now_ns,
    )
    await artefacts.insert(tx, [_artefact(outcome, now_ns) for outcome in outcomes if outcome.text is not None])
    # What a task makes possible is inserted before it is ended, so that a run never looks finished in between.
    for outcome in outcomes:
        if outcome.following is not None:
            await tasks.insert(tx, scope(held.run), outcome.following.tasks, now_ns)
            if outcome.following.shape is not None:
                await runs.set_shape(tx, held.run.run_id, outcome.following.shape, outcome.following.shape_reason)
    await tasks.end_tasks(tx, scope(held.run), outcomes, now_ns)


def _artefact(outcome: Outcome, now_ns: int) -> Artefact:
    task, text = outcome.claim.task, outcome.text or ""
    encoded = rendered(text, outcome.files).encode()
    return Artefact(
        artefact_id=ids.artefact_id(task.task_id),
        run_id=task.run_id,
        task_id=task.task_id,
        ordinal=task.ordinal,
        phase=task.phase,
        name=task.key,
        sha256=hashlib.sha256(encoded).hexdigest(),
        size_bytes=len(encoded),
        path=None,
        text=text,
        created_ns=now_ns,
        truncated=outcome.truncated,
        files=outcome.files,
    )


async def finish_runs(
    tx: Connection, held: Sequence[HeldRun], unshelved: dict[str, str], now_ns: int
) -> tuple[dict[str, RunStatus], list[str]]:
    """Finish the runs whose tasks have all ended.

    A run with an out_dir is finished when its files lie there, or cannot (`unshelved`: run_id → why).

    Returns:
        The runs finished, run_id → status, and the run_ids of those with files still to be written.
    """
    ours = await runs.still_held(tx, [item.lease for item in held])
    done = await tasks.ended_runs(tx, sorted(ours))
    counts = await tasks.counts(tx, done) if done else {}
    finished: dict[str, RunStatus] = {}
    waiting = []
    for item in held:
        run = item.run
        if run.run_id not in ours:
            continue
        if run.out_dir and run.run_id not in unshelved and await artefacts.unwritten(tx, run.run_id):
            waiting.append(run.run_id)
        elif run.run_id in counts:
            finished[run.run_id] = await _finish(tx, run, counts[run.run_id], unshelved.get(run.run_id), now_ns)
    return finished, waiting


async def _finish(
    tx: Connection, run: Run, counts: dict[TaskStatus, int], unshelved: str | None, now_ns: int
) -> RunStatus:
    status, verdict = _verdict(counts)
    reason = "; ".join(filter(None, [verdict, unshelved])) or None
    await runs.finish(tx, run.run_id, status, reason, now_ns)
    await events.record(tx, [Event(now_ns, f"run.{status}", run.project, run.swarm_id, run.run_id, detail=reason)])
    return status


def _verdict(counts: dict[TaskStatus, int]) -> tuple[RunStatus, str | None]:
    total = sum(counts.values())
    missing = {status: counts.get(status, 0) for status in (TaskStatus.FAILED, TaskStatus.CANCELLED)}
    if not any(missing.values()):
        return RunStatus.SUCCEEDED, None
    parts = [
        f"{number} of {total} tasks {'were ' if status is TaskStatus.CANCELLED else ''}{status}"
        for status, number in missing.items()
        if number
    ]
    return RunStatus.FAILED, ", ".join(parts)

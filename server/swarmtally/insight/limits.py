"""Causes that are limits: calls a backend takes at once, agents a swarm may hold, agents of a role."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from swarmtally.domain.swarm import MAX_AGENTS_LIMIT, Strategy, Swarm
from swarmtally.insight import opened
from swarmtally.insight.jobs import Recording
from swarmtally.insight.recording import Backend, Scene
from swarmtally.insight.refusals import most_taken
from swarmtally.insight.relaxing import (
    Best,
    independent,
    sizes_above,
    smallest_that_gains_most,
    with_agents_of,
    with_max_agents,
    with_slots,
)
from swarmtally.insight.study import Cause, Component, Evidence, Study, WhatIf, at_least_ns, most_at_once, seconds
from swarmtally.store.history import Attempt


def saturation(study: Study) -> Iterator[Cause]:
    """A backend that took fewer calls at once than there were tasks and agents for."""
    now = by_now(study)
    for backend in opened.backends(study):
        found = _of_machine(study, backend) if opened.compute(study, backend) else _of_slots(now, backend)
        if found is not None:
            yield found


def starvation(study: Study) -> Iterator[Cause]:
    """A swarm whose max_agents kept tasks waiting. In a specialized one it is a role that is short."""
    study = by_now(study)
    for swarm in _swarms(study, specialized=False):
        found = _starved(study, swarm)
        if found is not None:
            yield found


def shortage(study: Study) -> Iterator[Cause]:
    """A role of a specialized swarm with too few agents."""
    study = by_now(study)
    for swarm in _swarms(study, specialized=True):
        mine = [scene for scene in study.scenes if scene.swarm == swarm]
        for role in sorted({job.task.role for scene in mine for job in scene.recording.jobs}):
            found = _short(study, swarm, role)
            if found is not None:
                yield found


def places(study: Study) -> Iterator[Cause]:
    """A backend and a swarm that limit alike: raising one alone gains little, raising both much."""
    study = by_now(study)
    for swarm in _swarms(study, specialized=False):
        for backend in opened.backends(study):
            if not backend.host and not opened.compute(study, backend):
                found = _crowded(study, swarm, backend)
                if found is not None:
                    yield found


def by_now(study: Study) -> Study:
    """The scenes with the sizes of the newest ones where they had less: what has been raised is gained already."""
    agents = {swarm: _held(study, swarm) for swarm in _swarms(study, specialized=False)}
    waiting = [backend for backend in opened.backends(study) if not opened.compute(study, backend)]
    calls = [(backend, opened.slots(study, backend)) for backend in waiting]
    staff = {swarm: _staff(_newest(study, swarm)) for swarm in _swarms(study, specialized=True)}

    def grown(scene: Scene) -> Recording:
        for backend, slots in calls:
            scene = replace(scene, recording=_widened(scene, backend, slots))
        for role, count in staff.get(scene.swarm, {}).items():
            scene = replace(scene, recording=_staffed(scene, scene.swarm, role, count))
        return _grown(scene, scene.swarm, agents.get(scene.swarm, 0))

    return study.changed(grown)


def _newest(study: Study, swarm: Swarm) -> Scene:
    return [scene for scene in study.scenes if scene.swarm == swarm][-1]


def _held(study: Study, swarm: Swarm) -> int:
    """The agents that the swarm could hold in its newest scene."""
    return _newest(study, swarm).recording.max_agents


def _staff(scene: Scene) -> Counter[str]:
    """How many of each role did not join for a task."""
    return Counter(member.agent.role for member in scene.recording.members)


def _of_slots(study: Study, backend: Backend) -> Cause | None:
    now, most = opened.slots(study, backend), _most_jobs(study)
    best = smallest_that_gains_most(
        [size for size in sizes_above(now, most) if size <= most_taken(study, backend)],
        lambda size: study.total_ns(lambda scene: _widened(scene, backend, size)),
        study.base_ns,
        study.worth_ns,
    )
    if best is None:
        return None
    calls = opened.calls(study, backend)
    evidence = (
        Evidence("calls_at_once_max", most_at_once(calls), backend.max_parallel, len(calls)),
        Evidence("all_places_taken_s", seconds(at_least_ns(calls, now)), 0, len(calls)),
    )
    lost_ns = study.base_ns - best.best_ns
    if backend.host:
        return Cause(
            "backend_saturation",
            Component.BACKEND,
            f"clients worked on at most {now} packets at once while more could be claimed",
            lost_ns,
            evidence,
            _with_clients(study, backend, now, best),
        )
    command, note = _wider(backend, best.size)
    return Cause(
        "backend_saturation",
        Component.BACKEND,
        f"{backend.model} took at most {now} calls at once while tasks and agents waited",
        lost_ns,
        evidence,
        WhatIf(f"{best.size} calls at once instead of {now}", best.makespan_ns, command, note, study.base_ns),
    )


def _with_clients(study: Study, backend: Backend, now: int, best: Best) -> WhatIf:
    swarm_id = next(scene.swarm.swarm_id for scene in reversed(study.scenes) if opened.pools(scene, backend))
    return WhatIf(
        f"clients that work on {best.size} packets at once instead of {now}",
        best.makespan_ns,
        study.place.command("work_claim", "--limit", str(min(10, best.size - now)), "--swarm-id", swarm_id),
        "in a further client or sub-agent, again after each report, as fast as those that were seen",
        study.base_ns,
    )


def _wider(backend: Backend, size: int) -> tuple[str | None, str]:
    """The command that lets the backend take `size` calls at once, and what goes with it."""
    if backend.name != opened.PROVIDER:
        return None, f"its program decides: set max_parallel={size} in the backend's info"
    return (
        f"export SWARMTALLY_MAX_PARALLEL={size}",
        f"then start the server again, or give --max-parallel {size} to a command; if the provider takes that many",
    )


def _of_machine(study: Study, backend: Backend) -> Cause | None:
    """A backend whose calls at once slow each other down: what they take beyond what each would take alone."""
    pooled = study.total_ns(lambda scene: _apart(scene, backend))
    lost_ns = study.base_ns - pooled
    if lost_ns < study.worth_ns:
        return None
    calls = opened.calls(study, backend)
    return Cause(
        "backend_saturation",
        Component.BACKEND,
        f"calls of {backend.model} share one machine, which worked on one call or more for most of the time",
        lost_ns,
        (
            Evidence("calls_at_once_max", most_at_once(calls), backend.max_parallel, len(calls)),
            Evidence("busy_s", seconds(at_least_ns(calls, 1)), seconds(study.base_ns), len(calls)),
        ),
        None,
        "more agents or calls at once gain nothing on a compute-bound backend, and no option makes the machine faster",
    )


def _apart(scene: Scene, backend: Backend) -> Recording:
    """Every call of the backend had a machine of its own."""
    numbers = opened.pools(scene, backend)
    if not numbers:
        return scene.recording
    wide = with_slots(scene.recording, numbers, max(len(scene.recording.jobs), 1))
    pools = independent(wide).pools
    return replace(wide, pools=tuple(pools[at] if at in numbers else pool for at, pool in enumerate(wide.pools)))


def _starved(study: Study, swarm: Swarm) -> Cause | None:
    now = _held(study, swarm)
    best = smallest_that_gains_most(
        [size for size in sizes_above(now, _most_jobs(study, swarm)) if size <= MAX_AGENTS_LIMIT],
        lambda size: study.total_ns(lambda scene: _grown(scene, swarm, size)),
        study.base_ns,
        study.worth_ns,
    )
    if best is None:
        return None
    spells = _spells(study, swarm)
    command, note = _scaled(study, swarm, best.size)
    return Cause(
        "agent_starvation",
        Component.SWARM,
        f"swarm {swarm.swarm_id} held at most {now} agents, all busy while tasks and calls' places waited",
        study.base_ns - best.best_ns,
        (
            Evidence("agents_busy_max", most_at_once(spells), now, len(spells)),
            Evidence("all_agents_busy_s", seconds(at_least_ns(spells, now)), 0, len(spells)),
        ),
        WhatIf(f"{best.size} agents instead of {now}", best.makespan_ns, command, note, study.base_ns),
        swarm_id=swarm.swarm_id,
    )


def _scaled(study: Study, swarm: Swarm, size: int) -> tuple[str | None, str | None]:
    """The command that gives the swarm `size` agents; None with a note where it may hold them already."""
    if swarm.max_agents >= size:
        return None, f"it may hold {swarm.max_agents} agents by now"
    size = max(size, len(study.staying(swarm.swarm_id)))
    return study.place.command("swarm_scale", "--target-size", str(size), "--swarm-id", swarm.swarm_id), None


def _short(study: Study, swarm: Swarm, role: str) -> Cause | None:
    mine = [scene for scene in study.scenes if scene.swarm == swarm]
    had = _staff(mine[-1])[role]
    wanting = max(sum(job.task.role == role for job in scene.recording.jobs) for scene in mine)
    best = smallest_that_gains_most(
        [size - 1 for size in sizes_above(1, wanting)],
        lambda count: study.total_ns(lambda scene: _staffed(scene, swarm, role, had + count)),
        study.base_ns,
        study.worth_ns,
    )
    if best is None:
        return None
    ids = {job.task.task_id for scene in mine for job in scene.recording.jobs if job.task.role == role}
    spells = [_spell(each) for scene in mine for each in scene.attempts if each.task_id in ids]
    command, note = _spawned(study, swarm, role, had, best.size)
    return Cause(
        "role_shortage",
        Component.SWARM,
        f"swarm {swarm.swarm_id} is specialized and had {had} of role {role}, busy while tasks of that role waited",
        study.base_ns - best.best_ns,
        (
            Evidence("agents_of_role_busy_max", most_at_once(spells), had, len(spells)),
            Evidence(
                "agents_max", most_at_once(_spells(study, swarm)), _held(study, swarm), len(_spells(study, swarm))
            ),
        ),
        WhatIf(f"{had + best.size} of role {role} instead of {had}", best.makespan_ns, command, note, study.base_ns),
        swarm_id=swarm.swarm_id,
    )


def _spawned(study: Study, swarm: Swarm, role: str, had: int, count: int) -> tuple[str | None, str | None]:
    """The command that gives the swarm `count` more of `role` than the `had` it had; None with a note where it has."""
    staying = study.staying(swarm.swarm_id)
    missing = had + count - sum(member.agent.role == role for member in staying)
    if missing <= 0:
        return None, f"it has {had + count - missing} of role {role} by now"
    of_swarm = ("--swarm-id", swarm.swarm_id)
    present = sum(member.left_ns is None for member in study.memberships.get(swarm.swarm_id, ()))
    if present + missing <= swarm.max_agents:
        return study.place.command("agent_spawn", "--type", role, "--count", str(missing), *of_swarm), None
    size = str(len(staying) + missing)
    command = study.place.command("swarm_scale", "--target-size", size, "--type", role, *of_swarm)
    return command, "the swarm is full: this raises its max_agents and adds them"


def _crowded(study: Study, swarm: Swarm, backend: Backend) -> Cause | None:
    if not any(scene.swarm == swarm and opened.pools(scene, backend) for scene in study.scenes):
        return None
    most = _most_jobs(study, swarm)
    now = _held(study, swarm)
    slots, taken = opened.slots(study, backend), most_taken(study, backend)
    best = smallest_that_gains_most(
        [size for size in sizes_above(min(now, slots), most) if size <= min(MAX_AGENTS_LIMIT, max(slots, taken))],
        lambda size: study.total_ns(lambda scene: _opened(scene, swarm, backend, size)),
        study.base_ns,
        study.worth_ns,
    )
    if best is None:
        return None
    alone_ns = study.base_ns - min(
        study.total_ns(lambda scene: _grown(scene, swarm, max(most, now))),
        study.total_ns(lambda scene: _widened(scene, backend, max(most, slots))),
    )
    if study.base_ns - best.best_ns <= 2 * alone_ns:
        return None
    scaled, already = _scaled(study, swarm, best.size)
    wider, how = _wider(backend, best.size)
    commands = " && ".join(filter(None, (scaled, wider))) or None
    calls, spells = opened.calls(study, backend), _spells(study, swarm)
    return Cause(
        "agents_and_backend",
        Component.BACKEND,
        f"swarm {swarm.swarm_id} held at most {now} agents and {backend.model} took at most {slots} calls at once: "
        "both limit, and raising one alone gains little",
        study.base_ns - best.best_ns,
        (
            Evidence("calls_at_once_max", most_at_once(calls), backend.max_parallel, len(calls)),
            Evidence("agents_busy_max", most_at_once(spells), now, len(spells)),
        ),
        WhatIf(
            f"{best.size} agents and calls at once instead of {now} and {slots}",
            best.makespan_ns,
            commands,
            "; ".join(filter(None, (already, how))),
            study.base_ns,
        ),
        swarm_id=swarm.swarm_id,
    )


def _grown(scene: Scene, swarm: Swarm, size: int) -> Recording:
    if scene.swarm != swarm or scene.recording.max_agents >= size:
        return scene.recording
    return with_max_agents(scene.recording, size)


def _widened(scene: Scene, backend: Backend, size: int) -> Recording:
    fewer = [number for number in opened.pools(scene, backend) if scene.recording.pools[number].slots < size]
    return with_slots(scene.recording, fewer, size) if fewer else scene.recording


def _opened(scene: Scene, swarm: Swarm, backend: Backend, size: int) -> Recording:
    wide = replace(scene, recording=_widened(scene, backend, size))
    return _grown(wide, swarm, size)


def _staffed(scene: Scene, swarm: Swarm, role: str, count: int) -> Recording:
    """The swarm has `count` of `role`."""
    missing = count - _staff(scene)[role] if scene.swarm == swarm else 0
    return with_agents_of(scene.recording, role, missing) if missing > 0 else scene.recording


def _swarms(study: Study, *, specialized: bool) -> list[Swarm]:
    found = dict.fromkeys(scene.swarm for scene in study.scenes)
    return [swarm for swarm in found if (swarm.strategy is Strategy.SPECIALIZED) is specialized]


def _most_jobs(study: Study, swarm: Swarm | None = None) -> int:
    return max(len(scene.recording.jobs) for scene in study.scenes if swarm is None or scene.swarm == swarm)


def _spells(study: Study, swarm: Swarm) -> list[tuple[int, int]]:
    """When each agent of the swarm was busy."""
    return [_spell(each) for scene in study.scenes if scene.swarm == swarm for each in scene.attempts]


def _spell(attempt: Attempt) -> tuple[int, int]:
    return attempt.claimed_ns, attempt.committed_ns or attempt.ended_ns or attempt.claimed_ns

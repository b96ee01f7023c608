"""From recorded rows to what `replay` takes: durations, waits that nothing explains, and what was allowed when."""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from swarmtally.domain.errors import FailureCause
from swarmtally.domain.run import HOST
from swarmtally.domain.swarm import Strategy, Swarm
from swarmtally.domain.task import Task
from swarmtally.domain.topology import Shape
from swarmtally.insight.jobs import Job, Member, Pool, Recording, Spans, Step
from swarmtally.insight.replay import explained
from swarmtally.insight.sharing import Shared
from swarmtally.store.history import Attempt, History, Membership, RecordedRun

_LOST = ("lost", "expired")

_AGES_NS = 10**18
"""Longer than any run."""


@dataclass(frozen=True, slots=True)
class Backend:
    """What one of a recording's pools stands for."""

    name: str
    model: str
    max_parallel: int | None
    """As its process opened it; None: clients did the work."""

    @property
    def host(self) -> bool:
        return self.name == HOST


@dataclass(frozen=True, slots=True)
class Scene:
    """Runs of one swarm that were under way at the same time, ready to be replayed."""

    swarm: Swarm
    runs: tuple[RecordedRun, ...]
    backends: tuple[Backend, ...]
    recording: Recording
    begun_ns: int
    """Its first claim; the recording's times count from here."""
    makespan_ns: int
    """As recorded: first claim to last commit."""
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class Unreplayable:
    """A run that cannot be replayed, and why."""

    run_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Timed:
    """An attempt with an end, recorded or, of one under way, as far as it had come."""

    attempt: Attempt
    end_ns: int
    run_id: str
    pool: int

    @property
    def call(self) -> tuple[int, int] | None:
        """When its calls were under way."""
        if self.attempt.started_ns is None:
            return None
        return self.attempt.started_ns, self.attempt.started_ns + (self.attempt.exec_ns or 0)


def scenes(history: History, until_ns: int) -> tuple[list[Scene], list[Unreplayable]]:
    """The runs of `history` as scenes, oldest first, and those that cannot be replayed."""
    refused: list[Unreplayable] = []
    fit: list[tuple[int, int, RecordedRun]] = []
    for recorded in history.runs:
        reason = _obstacle(history, recorded)
        if reason:
            refused.append(Unreplayable(recorded.run.run_id, reason))
            continue
        timed = _timed(history, recorded, until_ns, 0)
        fit.append((min(each.attempt.claimed_ns for each in timed), max(each.end_ns for each in timed), recorded))
    made = []
    for together in _together(fit):
        try:
            made.append(_scene(history, together, until_ns))
        except ValueError as error:
            refused += [Unreplayable(each.run.run_id, f"its rows do not fit: {error}") for each in together]
    return sorted(made, key=lambda scene: (scene.begun_ns, scene.runs[0].run.run_id)), refused


def _obstacle(history: History, recorded: RecordedRun) -> str | None:
    run = recorded.run
    if run.swarm_id not in history.swarms:
        return "its swarm was deleted, and its agents with it"
    if recorded.max_parallel is None and run.backend.name != HOST:
        return "an older version made it, which did not record how many calls its backend took at once"
    if not any(history.attempts.get(task.task_id) for task in history.tasks.get(run.run_id, ())):
        return "none of its tasks had been claimed"
    return None


def _together(runs: Iterable[tuple[int, int, RecordedRun]]) -> list[list[RecordedRun]]:
    """Runs of one swarm whose times overlap, in the order in which they were made."""
    groups: list[list[RecordedRun]] = []
    reaches: dict[str, tuple[int, list[RecordedRun]]] = {}
    for begin_ns, end_ns, recorded in sorted(runs, key=lambda item: (item[0], item[2].run.run_id)):
        reach = reaches.get(recorded.run.swarm_id)
        if reach is not None and begin_ns < reach[0]:
            reach[1].append(recorded)
            reaches[recorded.run.swarm_id] = (max(reach[0], end_ns), reach[1])
        else:
            group = [recorded]
            groups.append(group)
            reaches[recorded.run.swarm_id] = (end_ns, group)
    return [sorted(group, key=lambda recorded: (recorded.run.created_ns, recorded.run.run_id)) for group in groups]


def _timed(history: History, recorded: RecordedRun, until_ns: int, pool: int) -> list[_Timed]:
    run = recorded.run
    found = []
    for task in history.tasks[run.run_id]:
        for attempt in history.attempts.get(task.task_id, ()):
            end_ns = attempt.committed_ns
            if end_ns is None:
                # What a dead process left behind lasted no longer than its lease.
                lease_ns = attempt.expires_ns if run.backend.name == HOST else run.lease_expires_ns or run.finished_ns
                end_ns = min(until_ns, lease_ns or until_ns)
            end_ns = max(end_ns, attempt.claimed_ns)
            found.append(_Timed(_open_ended(attempt, end_ns), end_ns, run.run_id, pool))
    return found


def _open_ended(attempt: Attempt, end_ns: int) -> Attempt:
    """An attempt under way as if it had ended now; nothing is known of when its call began."""
    if attempt.committed_ns is not None or attempt.status in _LOST:
        return attempt
    began_ns = attempt.claimed_ns
    return replace(attempt, started_ns=began_ns, ended_ns=end_ns, exec_ns=end_ns - began_ns)


def _scene(history: History, runs: Sequence[RecordedRun], until_ns: int) -> Scene:
    keys = list(dict.fromkeys((recorded.run.backend.to_json(), recorded.max_parallel) for recorded in runs))
    number = {key: at for at, key in enumerate(keys)}
    timed = [
        each
        for recorded in runs
        for each in _timed(history, recorded, until_ns, number[recorded.run.backend.to_json(), recorded.max_parallel])
    ]
    begun_ns = min(each.attempt.claimed_ns for each in timed)
    ended_ns = max(each.end_ns for each in timed)
    swarm = history.swarms[runs[0].run.swarm_id]
    members = [
        member
        for member in history.memberships.get(swarm.swarm_id, ())
        if member.agent.created_ns <= ended_ns and (member.left_ns is None or member.left_ns > begun_ns)
    ]
    pools = [_pool(runs, timed, at, key) for key, at in number.items()]
    standing = _standing(members, timed, runs, swarm)
    steps = _steps(history, runs, timed, pools, standing)
    recording = Recording(
        jobs=tuple(_jobs(history, runs, timed, steps, begun_ns)),
        pools=tuple(pools),
        members=tuple(_member(member, begun_ns) for member in standing),
        strategy=swarm.strategy,
        max_agents=_max_agents(swarm, runs),
        created_ns={recorded.run.run_id: recorded.run.created_ns for recorded in runs},
        solo=frozenset(recorded.run.run_id for recorded in runs if recorded.run.shape is Shape.SOLO),
    )
    backends = []
    for key in keys:
        choice = next(each.run.backend for each in runs if (each.run.backend.to_json(), each.max_parallel) == key)
        backends.append(Backend(choice.name, choice.model, key[1]))
    claimed_ns = {
        (task_id, number): attempt.claimed_ns - begun_ns
        for task_id, attempts in history.attempts.items()
        for number, attempt in enumerate(attempts)
    }
    recording = explained(recording, claimed_ns)
    return Scene(
        swarm,
        tuple(runs),
        tuple(backends),
        recording,
        begun_ns,
        ended_ns - begun_ns,
        tuple(each.attempt for each in timed),
    )


def _max_agents(swarm: Swarm, runs: Sequence[RecordedRun]) -> int:
    """The swarm's limit at that time. `places` is that limit where the backend took more calls than it had agents."""
    places = [(recorded.places, recorded.max_parallel) for recorded in runs if recorded.places is not None]
    if not places:
        return swarm.max_agents
    if all(parallel is None or number < parallel for number, parallel in places):
        return max(number for number, _ in places)
    return max(swarm.max_agents, *(number for number, _ in places))


def _pool(runs: Sequence[RecordedRun], timed: Sequence[_Timed], number: int, key: tuple[str, int | None]) -> Pool:
    edges = []
    for each in timed:
        if each.pool == number and each.call is not None:
            edges += [(each.call[0], 1), (each.call[1], -1)]
    at_once = most = 0
    for _, change in sorted(edges):
        at_once += change
        most = max(most, at_once)
    bound = next(each.bound for each in runs if (each.run.backend.to_json(), each.max_parallel) == key)
    # Several processes each have a backend of their own. Of clients nothing is known but what they did.
    return Pool(max(1, most, key[1] or 0), bound == "compute")


def _standing(
    members: Sequence[Membership], timed: Sequence[_Timed], runs: Sequence[RecordedRun], swarm: Swarm
) -> list[Membership]:
    """Those that did not join for a task: the replay makes such agents itself. A specialized swarm gets one agent of
    each role when a run is made."""
    first: dict[str, int] = {}
    for each in timed:
        claimed_ns = each.attempt.claimed_ns
        first[each.attempt.agent_id] = min(first.get(each.attempt.agent_id, claimed_ns), claimed_ns)
    made_ns = {recorded.run.created_ns for recorded in runs} if swarm.strategy is Strategy.SPECIALIZED else set()
    return [
        member
        for member in members
        if first.get(member.agent.agent_id) != member.agent.created_ns or member.agent.created_ns in made_ns
    ]


def _member(member: Membership, begun_ns: int) -> Member:
    since_ns = member.agent.created_ns - begun_ns
    left_ns = None if member.left_ns is None else member.left_ns - begun_ns
    return Member(replace(member.agent, idle_since_ns=since_ns), member.joined, since_ns, left_ns)


def _jobs(
    history: History,
    runs: Sequence[RecordedRun],
    timed: Sequence[_Timed],
    steps: Mapping[tuple[str, int], Step],
    begun_ns: int,
) -> Iterable[Job]:
    pools = {each.run_id: each.pool for each in timed}
    waits_for: dict[str, set[str]] = defaultdict(set)
    for task_id, need in history.dependencies:
        waits_for[task_id].add(need)
    for recorded in runs:
        run, tasks = recorded.run, history.tasks[recorded.run.run_id]
        known = {task.task_id: task for task in tasks}
        expanded = {
            attempt.committed_ns: task.task_id
            for task in tasks
            if task.expands
            for attempt in history.attempts.get(task.task_id, ())
        }
        for task in tasks:
            attempts = history.attempts.get(task.task_id)
            if not attempts:
                continue
            needs = _needs(task.task_id, waits_for, known, history.attempts)
            if task.created_ns > run.created_ns and task.created_ns in expanded:
                needs.add(expanded[task.created_ns])
            ready_ns = attempts[0].ready_ns
            release_ns = (task.created_ns if ready_ns is None else ready_ns) - begun_ns
            yield Job(
                task,
                frozenset(needs),
                release_ns if not needs else run.created_ns - begun_ns,
                tuple(steps[task.task_id, attempt.number] for attempt in attempts),
                pools[run.run_id],
            )


def _needs(
    task_id: str, waits_for: Mapping[str, set[str]], known: Mapping[str, Task], attempts: Mapping[str, object]
) -> set[str]:
    """What the task waited for. One that was cancelled had ended with the last of what it waited for until then."""
    found: set[str] = set()
    for need in waits_for.get(task_id, ()):
        if attempts.get(need):
            found.add(need)
            continue
        ended_ns = known[need].finished_ns
        found |= {
            other
            for other in _needs(need, waits_for, known, attempts)
            if ended_ns is not None and (known[other].finished_ns or ended_ns + 1) <= ended_ns
        }
    return found


def _steps(
    history: History,
    runs: Sequence[RecordedRun],
    timed: Sequence[_Timed],
    pools: Sequence[Pool],
    standing: Sequence[Membership],
) -> dict[tuple[str, int], Step]:
    delays = _delays(history, runs, timed, pools, standing)
    following = {(each.attempt.task_id, each.attempt.number): each.attempt for each in timed}
    alone = [_alone(timed, number) if pool.compute else None for number, pool in enumerate(pools)]
    found = {}
    for each in timed:
        attempt = each.attempt
        fence = (attempt.task_id, attempt.number)
        delay, halted = delays[fence]
        later = following.get((attempt.task_id, attempt.number + 1))
        call, shared = each.call, alone[each.pool]
        if call is None:
            spans = Spans(delay, each.end_ns - attempt.claimed_ns, 0, 0)
        else:
            before = max(0, call[0] - attempt.claimed_ns)
            work: float = call[1] - call[0] if shared is None else shared.between(*call)
            spans = Spans(delay, before, work, max(0, each.end_ns - attempt.claimed_ns - before - (call[1] - call[0])))
        pause = 0
        if later is not None and later.ready_ns is not None:
            pause = max(0, later.ready_ns - (attempt.ended_ns or each.end_ns))
        found[fence] = Step(
            spans,
            halted=halted,
            pause=pause,
            # Clients do not say of which kind a failure is.
            cause=(attempt.cause or FailureCause.OTHER) if attempt.status == "failed" else None,
            lost=attempt.status in _LOST,
        )
    return found


def _delays(
    history: History,
    runs: Sequence[RecordedRun],
    timed: Sequence[_Timed],
    pools: Sequence[Pool],
    standing: Sequence[Membership],
) -> dict[tuple[str, int], tuple[int, int]]:
    """For each attempt how long it waited, at the end, although its agent and a call's place were free; and what of
    that its run was halted."""
    created = {task.task_id: task.created_ns for recorded in runs for task in history.tasks[recorded.run.run_id]}
    # An agent that joined for a task could have joined before: there was room.
    idle_since = {member.agent.agent_id: member.agent.created_ns for member in standing}
    never = min((each.attempt.claimed_ns for each in timed), default=0) - _AGES_NS
    owed = [0] * len(pools)
    places = [[never] * min(pool.slots, len(timed)) for pool in pools]
    found: dict[tuple[str, int], tuple[int, int]] = {}
    # What ended at a moment has made room for what was claimed then, except for itself.
    edges = [(each.end_ns, 1, at) for at, each in enumerate(timed)]
    edges += [
        (each.attempt.claimed_ns, 2 * (each.end_ns > each.attempt.claimed_ns), at) for at, each in enumerate(timed)
    ]
    for at_ns, kind, at in sorted(edges):
        each = timed[at]
        attempt, free = each.attempt, places[each.pool]
        if kind == 1:
            if owed[each.pool]:
                owed[each.pool] -= 1
            else:
                heapq.heappush(free, at_ns)
            idle_since[attempt.agent_id] = at_ns
            continue
        ready_ns = created[attempt.task_id] if attempt.number == 1 else at_ns
        ready_ns = ready_ns if attempt.ready_ns is None else attempt.ready_ns
        # A place is free again when its call has ended, which may be shortly before that is committed.
        owed[each.pool] += not free
        free_ns = heapq.heappop(free) if free else at_ns
        could_ns = max(ready_ns, free_ns, idle_since.get(attempt.agent_id, never))
        delay = max(0, at_ns - could_ns)
        halts = history.halts.get(each.run_id, ())
        halted = sum(max(0, min(at_ns, end) - max(could_ns, begin)) for begin, end in halts)
        found[attempt.task_id, attempt.number] = (delay, min(delay, halted))
    return found


def _alone(timed: Sequence[_Timed], pool: int) -> Shared:
    return Shared([each.call for each in timed if each.pool == pool and each.call is not None])

"""A recorded run done again on paper: the same tasks and durations, decided by the rule that decided then.

A discrete-event simulation. Who takes which task is `core.assignment`, the same code that claims tasks; a turn of the
scheduler happens whenever a result is recorded, a task becomes due or an agent joins. Nothing is drawn at random, so
the same recording gives the same result.
"""

import heapq
from bisect import insort
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from swarmtally.core.assignment import Bound, assign, out_of_reach, precedence
from swarmtally.domain.swarm import IdleAgent, Strategy
from swarmtally.domain.task import Task, TaskStatus
from swarmtally.insight.jobs import Job, Member, Pool, Recording, Step


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay."""

    makespan_ns: int
    """From the first claim to the last commit; 0 without jobs."""
    ended_ns: Mapping[str, int]
    """When each job ended."""
    chain: tuple[str, ...]
    """The jobs that ended last one after the other: each was waited for by the next."""
    busiest: int
    """The most calls under way at once."""


def replay(recording: Recording) -> Replayed:
    """Do the recorded jobs again.

    Raises:
        ValueError: some can never start: they need what is not there, or an agent that never comes.
    """
    return _Replay.of(recording).run()


def explained(recording: Recording, claimed_ns: Mapping[tuple[str, int], int]) -> Recording:
    """`recording` without those of its delays that the rule itself explains, as where a task was not looked at because
    others came first. `claimed_ns`: when each step, (task_id, from 0), was claimed.

    Raises:
        ValueError: as `replay`.
    """
    followed = _Replay.of(recording)
    followed.claimed_ns = claimed_ns
    followed.run()
    return replace(
        recording,
        jobs=tuple(
            replace(
                job,
                steps=tuple(
                    _with_delay(step, followed.delays[job.task.task_id, number])
                    for number, step in enumerate(job.steps)
                ),
            )
            for job in recording.jobs
        ),
    )


def _with_delay(step: Step, delay: int) -> Step:
    return replace(step, spans=replace(step.spans, delay=delay), halted=min(step.halted, delay))


_Key = tuple[int, int, int, int, int, str]


@dataclass(slots=True)
class _Calls:
    """The calls under way on one pool. On a compute-bound one, k at once progress at 1/k (processor sharing,
    Kleinrock 1967): `progress` is how far one that was there all the time has come."""

    pool: Pool
    claimed: int = 0
    running: int = 0
    progress: float = 0.0
    since_ns: int = 0
    due: list[tuple[float, str]] = field(default_factory=list)
    version: int = 0

    def advance(self, now_ns: int) -> None:
        if self.running:
            self.progress += (now_ns - self.since_ns) / self.running
        self.since_ns = now_ns


@dataclass(slots=True)
class _Replay:
    recording: Recording
    jobs: dict[str, Job]
    calls: list[_Calls]
    waits: dict[str, int]
    dependents: dict[str, list[str]]
    events: list[tuple[int, int, str, str, int]] = field(default_factory=list)
    ready: list[dict[str, list[_Key]]] = field(default_factory=list)
    idle: dict[str, IdleAgent] = field(default_factory=dict)
    present: dict[str, int] = field(default_factory=dict)
    """Agents in the swarm, with the order in which they joined."""
    holder: dict[str, str] = field(default_factory=dict)
    step: dict[str, int] = field(default_factory=dict)
    leaving: set[str] = field(default_factory=set)
    last_of: dict[str, tuple[int, str]] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    freed_by: dict[str, str] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    claimed_ns: Mapping[tuple[str, int], int] | None = None
    """Where a recording is followed: no step is delayed beyond its own claim."""
    delays: dict[tuple[str, int], int] = field(default_factory=dict)
    number: int = 0
    first_ns: int | None = None
    busiest: int = 0

    @classmethod
    def of(cls, recording: Recording) -> Self:
        jobs = {job.task.task_id: job for job in recording.jobs}
        dependents: dict[str, list[str]] = defaultdict(list)
        for job in recording.jobs:
            for need in sorted(job.needs):
                dependents[need].append(job.task.task_id)
        made = cls(
            recording,
            jobs,
            [_Calls(pool) for pool in recording.pools],
            {job.task.task_id: len(job.needs) for job in recording.jobs},
            dependents,
            ready=[defaultdict(list) for _ in recording.pools],
        )
        for member in recording.members:
            made._at(member.joins_ns, "join", member.agent.agent_id)
            if member.leaves_ns is not None:
                made._at(member.leaves_ns, "leave", member.agent.agent_id)
        for job in recording.jobs:
            if not job.needs:
                made._at(job.release_ns, "due", job.task.task_id)
        return made

    def run(self) -> Replayed:
        joining = {member.agent.agent_id: member for member in self.recording.members}
        while self.events and len(self.ended) < len(self.jobs):
            now_ns = self.events[0][0]
            turn = False
            while self.events and self.events[0][0] == now_ns:
                _, _, kind, what, version = heapq.heappop(self.events)
                if kind == "join":
                    self._join(joining[what], now_ns)
                turn |= self._happen(kind, what, version, now_ns)
            if turn:
                self._turn(now_ns)
        if len(self.ended) < len(self.jobs):
            missing = sorted(self.jobs.keys() - self.ended.keys())
            raise ValueError(f"{len(missing)} of {len(self.jobs)} tasks can never start, {missing[0]} among them")
        last = max(self.ended.values(), default=0)
        return Replayed(last - (self.first_ns or 0) if self.ended else 0, self.ended, self._chain(), self.busiest)

    def _at(self, when_ns: int, kind: str, what: str, version: int = 0) -> None:
        self.number += 1
        heapq.heappush(self.events, (when_ns, self.number, kind, what, version))

    def _happen(self, kind: str, what: str, version: int, now_ns: int) -> bool:
        """Have an event take place; whether the scheduler takes a turn after it."""
        match kind:
            case "call":
                self._begin_call(what, now_ns)
            case "answer":
                self._end_call(what, now_ns)
            case "shared":
                self._end_shared(int(what), version, now_ns)
            case "leave":
                self.leaving.add(what)
                if what in self.idle:
                    self._leave(what)
            case "due":
                self._make_ready(what)
            case "commit":
                self._commit(what, now_ns)
        return kind in ("join", "due", "commit", "leave")

    def _join(self, member: Member, now_ns: int) -> None:
        agent = member.agent
        self.present[agent.agent_id] = member.joined
        self.roles[agent.agent_id] = agent.role
        self._free(agent.agent_id, min(now_ns, agent.idle_since_ns))

    def _free(self, agent_id: str, since_ns: int) -> None:
        if agent_id in self.leaving:
            self._leave(agent_id)
            return
        self.idle[agent_id] = IdleAgent(agent_id, self.roles[agent_id], since_ns)

    def _leave(self, agent_id: str) -> None:
        self.idle.pop(agent_id, None)
        self.present.pop(agent_id, None)

    def _make_ready(self, task_id: str) -> None:
        job = self.jobs[task_id]
        key = (*precedence(job.task, self.recording.created_ns[job.task.run_id]), task_id)
        insort(self.ready[job.pool][self._queue(job.task)], key)

    def _queue(self, task: Task) -> str:
        """In a specialized swarm each role has a queue of its own."""
        return task.role if self.recording.strategy is Strategy.SPECIALIZED else ""

    def _turn(self, now_ns: int) -> None:
        for number, calls in enumerate(self.calls):
            slots = calls.pool.slots - calls.claimed
            room = self.recording.max_agents - len(self.present)
            if slots <= 0 or not (self.idle or room > 0):
                continue
            bound = self._bound()
            waiting = self._waiting(number, slots, bound)
            if not waiting:
                continue
            longest_first = sorted(self.idle.values(), key=lambda agent: (agent.idle_since_ns, agent.agent_id))
            for found in assign(waiting, longest_first, room, self.recording.strategy, bound)[:slots]:
                self._claim(found.task, found.agent.agent_id if found.agent else self._spawn(found.task.role), now_ns)

    def _bound(self) -> Bound:
        hub = min(self.present, key=lambda agent_id: self.present[agent_id], default=None)
        if self.recording.strategy is Strategy.SPECIALIZED:
            return Bound(hub)
        return Bound(hub, {run: agent for run, (_, agent) in self.last_of.items() if agent in self.present})

    def _waiting(self, pool: int, slots: int, bound: Bound) -> list[Task]:
        found: list[_Key] = []
        for keys in self.ready[pool].values():
            reached = 0
            for key in keys:
                if not out_of_reach(self.jobs[key[-1]].task, bound, self.idle):
                    found.append(key)
                    reached += 1
                    if reached == slots:
                        break
        return [self.jobs[key[-1]].task for key in sorted(found)]

    def _spawn(self, role: str) -> str:
        agent_id = f"new{len(self.roles):06}"
        self.present[agent_id] = max(self.present.values(), default=-1) + 1
        self.roles[agent_id] = role
        return agent_id

    def _claim(self, task: Task, agent_id: str, now_ns: int) -> None:
        job = self.jobs[task.task_id]
        keys = self.ready[job.pool][self._queue(task)]
        keys.remove((*precedence(task, self.recording.created_ns[task.run_id]), task.task_id))
        self.idle.pop(agent_id, None)
        self.holder[task.task_id] = agent_id
        calls = self.calls[job.pool]
        calls.claimed += 1
        spans = job.steps[self.step.setdefault(task.task_id, 0)].spans
        claimed_ns = now_ns + self._delay(task.task_id, spans.delay, now_ns)
        self.first_ns = claimed_ns if self.first_ns is None else min(self.first_ns, claimed_ns)
        self._at(claimed_ns + spans.before, "call", task.task_id)

    def _delay(self, task_id: str, delay: int, now_ns: int) -> int:
        if self.claimed_ns is not None:
            at = (task_id, self.step[task_id])
            delay = self.delays[at] = min(delay, max(0, self.claimed_ns[at] - now_ns))
        return delay

    def _begin_call(self, task_id: str, now_ns: int) -> None:
        job = self.jobs[task_id]
        calls, work = self.calls[job.pool], job.steps[self.step[task_id]].spans.work
        calls.advance(now_ns)
        calls.running += 1
        self.busiest = max(self.busiest, sum(each.running for each in self.calls))
        if calls.pool.compute:
            heapq.heappush(calls.due, (calls.progress + work, task_id))
            self._plan_shared(job.pool, now_ns)
        else:
            self._at(now_ns + round(work), "answer", task_id)

    def _plan_shared(self, pool: int, now_ns: int) -> None:
        """Note when the next of the calls that share a capacity ends, unless their number changes before."""
        calls = self.calls[pool]
        calls.version += 1
        if calls.due:
            left = (calls.due[0][0] - calls.progress) * calls.running
            self._at(now_ns + max(0, round(left)), "shared", str(pool), calls.version)

    def _end_shared(self, pool: int, version: int, now_ns: int) -> None:
        calls = self.calls[pool]
        if version == calls.version:
            _, task_id = heapq.heappop(calls.due)
            self._end_call(task_id, now_ns)
            self._plan_shared(pool, now_ns)

    def _end_call(self, task_id: str, now_ns: int) -> None:
        job = self.jobs[task_id]
        calls = self.calls[job.pool]
        calls.advance(now_ns)
        calls.running -= 1
        calls.claimed -= 1
        self._at(now_ns + job.steps[self.step[task_id]].spans.after, "commit", task_id)

    def _commit(self, task_id: str, now_ns: int) -> None:
        job, number = self.jobs[task_id], self.step[task_id]
        agent_id = self.holder.pop(task_id)
        self._free(agent_id, now_ns)
        if number + 1 < len(job.steps):
            self.step[task_id] = number + 1
            self._at(max(now_ns, now_ns - job.steps[number].spans.after + job.steps[number].pause), "due", task_id)
            return
        self.ended[task_id] = now_ns
        if job.task.run_id in self.recording.solo and job.task.status is TaskStatus.SUCCEEDED:
            self.last_of[job.task.run_id] = (now_ns, agent_id)
        for dependent in self.dependents.get(task_id, ()):
            self.waits[dependent] -= 1
            if not self.waits[dependent]:
                self.freed_by[dependent] = task_id
                self._at(max(now_ns, self.jobs[dependent].release_ns), "due", dependent)

    def _chain(self) -> tuple[str, ...]:
        at = max(self.ended, key=lambda task_id: (self.ended[task_id], task_id), default=None)
        found: list[str] = []
        while at is not None:
            found.append(at)
            at = self.freed_by.get(at)
        return tuple(reversed(found))

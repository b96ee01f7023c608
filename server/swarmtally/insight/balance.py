"""Which agent takes which task when, so that the last one ends early.

List scheduling: whenever agents are free, the ready tasks with the longest chain of work behind them go first (Graham,
"Bounds on multiprocessing timing anomalies", 1969; the rank is the upward rank of HEFT, Topcuoglu et al. 2002, without
communication). That is also how the scheduler hands tasks out. `swarmtally.insight.swapping` then improves the list.

An agent takes tasks of its role. A role that no agent has is taken by any free agent, after the tasks of its own role.
All times are integer nanoseconds from now on, so that sums are exact.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from heapq import heapify, heappop, heappush

from swarmtally.domain.errors import InvalidInput

_NAMED = 10
"""The most ids that an error names."""


@dataclass(frozen=True, slots=True)
class Item:
    """A task to be planned. `depends_on` holds ids of other tasks; of greater `priority` goes first."""

    id: str
    role: str
    duration_ns: int
    priority: int = 0
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Worker:
    """An agent, and in how many nanoseconds it is free."""

    agent_id: str
    role: str
    free_ns: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """Tasks and agents as numbers. A task is its position among the ids in ascending order, so the order in which they
    were given changes nothing; an agent is its position as given."""

    ids: tuple[str, ...]
    duration: list[int]
    before: list[list[int]]
    """The tasks each depends on."""
    after: list[list[int]]
    """The tasks that depend on each."""
    priority: list[int]
    """The greatest of its own and those of all that depend on it: what an urgent task waits for is urgent."""
    bottom: list[int]
    """The longest chain of work that starts with the task, itself included."""
    pool: list[int]
    """Who takes the task: the agents of that pool; of `anyone` all of them."""
    members: list[list[int]]
    """The agents of each pool, those free first in front. One pool for each role."""
    pool_of: list[int]
    """The pool of each agent."""
    free: list[int]
    """When each agent is free."""
    spare: list[int]
    """The pools by how much work of their own they have for each agent, least first: who helps out first."""

    @property
    def anyone(self) -> int:
        return len(self.members)


@dataclass(frozen=True, slots=True)
class Schedule:
    """For each task when it starts, who does it, and after which other task (-1: none); `makespan` is when the last one
    ends."""

    start: list[int]
    agent: list[int]
    previous: list[int]
    makespan: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """What no plan can be shorter than."""

    work_ns: int
    """All work shared evenly among the agents that can take any of it."""
    agents: int
    """How many those are."""
    chain_ns: int
    """The longest chain of dependent tasks."""
    chain: tuple[str, ...]
    """Its ids."""
    floor_ns: int
    """The same with each role's own agents and the times when they are free: never less than the others."""

    @property
    def lower_ns(self) -> int:
        """max(work / p, critical path)."""
        return max(self.work_ns, self.chain_ns)


def check(tasks: Iterable[tuple[str, Sequence[str]]]) -> None:
    """Refuse tasks, given as (id, depends_on), that form no graph to be worked off.

    Raises:
        InvalidInput: an id stands twice, a dependency is unknown, or dependencies form a circle.
    """
    graph: dict[str, Sequence[str]] = {}
    for task_id, depends_on in tasks:
        if task_id in graph:
            raise InvalidInput(f"two tasks have the id {_shown(task_id)}; give each an id of its own")
        graph[task_id] = depends_on
    for task_id, depends_on in graph.items():
        for other in depends_on:
            if other not in graph:
                raise InvalidInput(
                    f"task {_shown(task_id)} depends on {_shown(other)}, which is not among the tasks; "
                    "add that task or remove the dependency"
                )
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = [_shown(task_id) for task_id in error.args[1]]
        told = circle if len(circle) <= _NAMED else [*circle[: _NAMED - 1], "…", circle[-1]]
        raise InvalidInput(
            f"the tasks wait for each other in a circle: {' before '.join(told)}; remove one of these dependencies"
        ) from error


def problem_of(items: Sequence[Item], workers: Sequence[Worker]) -> Problem:
    """`items` (which `check` accepts) for `workers` (at least one) as numbers."""
    ordered = sorted(items, key=lambda item: item.id)
    number = {item.id: at for at, item in enumerate(ordered)}
    before = [sorted({number[other] for other in item.depends_on}) for item in ordered]
    after: list[list[int]] = [[] for _ in ordered]
    for task, needed in enumerate(before):
        for other in needed:
            after[other].append(task)
    duration = [item.duration_ns for item in ordered]
    priority = [item.priority for item in ordered]
    bottom = list(duration)
    for task in reversed(list(TopologicalSorter(dict(enumerate(before))).static_order())):
        for other in before[task]:
            priority[other] = max(priority[other], priority[task])
            bottom[other] = max(bottom[other], duration[other] + bottom[task])
    roles = {role: at for at, role in enumerate(dict.fromkeys(worker.role for worker in workers))}
    members: list[list[int]] = [[] for _ in roles]
    for agent in sorted(range(len(workers)), key=lambda at: (workers[at].free_ns, at)):
        members[roles[workers[agent].role]].append(agent)
    pool = [roles.get(item.role, len(roles)) for item in ordered]
    work = Counter[int]()
    for task, at in enumerate(pool):
        work[at] += duration[task]
    return Problem(
        ids=tuple(item.id for item in ordered),
        duration=duration,
        before=before,
        after=after,
        priority=priority,
        bottom=bottom,
        pool=pool,
        members=members,
        pool_of=[roles[worker.role] for worker in workers],
        free=[worker.free_ns for worker in workers],
        spare=sorted(range(len(roles)), key=lambda at: (work[at] / len(members[at]), at)),
    )


def ranked(problem: Problem) -> list[int]:
    """The tasks in the order in which they go when several could: by priority, then by the work that follows."""
    return sorted(
        range(len(problem.ids)), key=lambda task: (-problem.priority[task], -problem.bottom[task], problem.ids[task])
    )


def list_schedule(problem: Problem, order: Sequence[int], limit: int | None = None) -> Schedule | None:
    """Hand the tasks out in `order` as agents become free; None as soon as the makespan must pass `limit`."""
    rank = [0] * len(order)
    for place, task in enumerate(order):
        rank[task] = place
    line = _Line(problem, order, rank)
    while line.events:
        line.advance()
        if not line.hand_out(limit):
            return None
    ends = [start + duration for start, duration in zip(line.start, problem.duration, strict=True)]
    return Schedule(line.start, line.agent, line.previous, max(ends, default=0))


class _Line:
    """The state of a schedule while it is made: who is free, who does what, which tasks are ready."""

    def __init__(self, problem: Problem, order: Sequence[int], rank: Sequence[int]) -> None:
        self.problem, self.order, self.rank = problem, order, rank
        self.start, self.agent, self.previous = [0] * len(order), [0] * len(order), [-1] * len(order)
        self.now = 0
        self.events = [(free, agent) for agent, free in enumerate(problem.free)]
        heapify(self.events)
        self._doing = [-1] * len(problem.free)
        self._pending = [len(needed) for needed in problem.before]
        self._idle: list[deque[int]] = [deque() for _ in problem.members]
        self._ready: list[list[int]] = [[] for _ in range(problem.anyone + 1)]
        self._touched: set[int] = set()
        for task, pending in enumerate(self._pending):
            if not pending:
                heappush(self._ready[problem.pool[task]], rank[task])

    def advance(self) -> None:
        """Go on to when the next agents become free; what they did is done."""
        problem, self.now = self.problem, self.events[0][0]
        while self.events and self.events[0][0] == self.now:
            _, agent = heappop(self.events)
            pool, task = problem.pool_of[agent], self._doing[agent]
            self._idle[pool].append(agent)
            self._touched.add(pool)
            for other in problem.after[task] if task >= 0 else ():
                self._pending[other] -= 1
                if not self._pending[other]:
                    heappush(self._ready[problem.pool[other]], self.rank[other])
                    self._touched.add(problem.pool[other])

    def hand_out(self, limit: int | None) -> bool:
        """Give free agents the ready tasks, those of their role first; False when one of them would pass `limit`."""
        anyone = self.problem.anyone
        for pool in sorted(self._touched - {anyone}):
            ready, idle = self._ready[pool], self._idle[pool]
            while ready and idle:
                if not self._give(heappop(ready), idle.popleft(), limit):
                    return False
        self._touched.clear()
        for pool in self.problem.spare if self._ready[anyone] else ():
            ready, idle = self._ready[anyone], self._idle[pool]
            while ready and idle:
                if not self._give(heappop(ready), idle.popleft(), limit):
                    return False
        return True

    def _give(self, place: int, agent: int, limit: int | None) -> bool:
        task = self.order[place]
        if limit is not None and self.now + self.problem.bottom[task] > limit:
            return False
        self.start[task], self.agent[task], self.previous[task] = self.now, agent, self._doing[agent]
        self._doing[agent] = task
        heappush(self.events, (self.now + self.problem.duration[task], agent))
        return True


def bounds(problem: Problem) -> Bounds:
    """What no plan of `problem` (with at least one task) can be shorter than."""
    used = set(problem.pool)
    agents = [
        agent
        for pool, members in enumerate(problem.members)
        if pool in used or problem.anyone in used
        for agent in members
    ]
    work = sum(problem.duration)
    first = max(range(len(problem.ids)), key=lambda task: (problem.bottom[task], -task))
    floors = [_evenly(work, [problem.free[agent] for agent in agents]), _chain_floor(problem)]
    for pool, members in enumerate(problem.members):
        own = sum(duration for duration, its in zip(problem.duration, problem.pool, strict=True) if its == pool)
        if own:
            floors.append(_evenly(own, [problem.free[agent] for agent in members]))
    return Bounds(
        work_ns=-(-work // len(agents)),
        agents=len(agents),
        chain_ns=problem.bottom[first],
        chain=tuple(problem.ids[task] for task in _chain(problem, first)),
        floor_ns=max(floors),
    )


def _evenly(work: int, free: Sequence[int]) -> int:
    """The earliest time by which agents that are free at `free` can have done `work` between them."""
    total, ascending = 0, sorted(free)
    for count, at in enumerate(ascending, start=1):
        total += at
        end = -(-(work + total) // count)
        if count == len(ascending) or end <= ascending[count]:
            return end
    return 0


def _chain_floor(problem: Problem) -> int:
    """The longest chain, which cannot start before one of its agents is free."""
    soonest = [problem.free[members[0]] for members in problem.members]
    soonest.append(min(soonest))
    earliest = [soonest[pool] for pool in problem.pool]
    for task in TopologicalSorter(dict(enumerate(problem.before))).static_order():
        for other in problem.before[task]:
            earliest[task] = max(earliest[task], earliest[other] + problem.duration[other])
    return max(at + bottom for at, bottom in zip(earliest, problem.bottom, strict=True))


def _chain(problem: Problem, task: int) -> list[int]:
    found = [task]
    while problem.after[found[-1]]:
        found.append(max(problem.after[found[-1]], key=lambda other: (problem.bottom[other], -other)))
    return found


def _shown(task_id: str) -> str:
    return repr(task_id if len(task_id) <= 60 else f"{task_id[:60]}…")

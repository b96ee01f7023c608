"""In which order a run's tasks should start so that the last one ends early, where it is known how long they take.

The scheduler gives every free agent the first ready task of this order, so an order decides the whole schedule (list
scheduling: Graham, "Bounds on multiprocessing timing anomalies", 1969). One is looked for in three steps: the lists by
the work that follows; going over each backwards and forwards (Li and Willis 1992); then lists with that rank blurred,
and from the best of them a local search on the critical chain (Matsuo, Suh and Sullivan 1988). The draws are the same
each time: the same plan gives the same order. `insight.swapping` plans for given agents with roles and loads; here all
agents are alike and idle, which makes one try ten times cheaper.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from random import Random
from statistics import median_low

from swarmtally.domain.task import NewTask, in_dependency_order, waits_for

TRIES = 1_500
"""The most schedules that are tried of at most `FULLY` tasks: what bounds the time, about 50 ms."""

FULLY = 60
"""Of more tasks fewer schedules are tried, so that as many tasks are placed in all."""

CLOSELY = 200
"""The most tasks of which all the work behind each is added up, which takes the square of their number."""

BLUR = 0.2
"""How far, at most, a blurred rank is from the true one."""

STALE = 120
"""After how many tries without a gain the local search goes on from another list."""

STARTS = 6
"""From how many lists, the best, it goes on in turn."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A plan as numbers: a task is its position in the plan. Times are integer nanoseconds from the start on."""

    agents: int
    duration: list[int]
    before: list[list[int]]
    """The tasks each waits for, among these."""
    after: list[list[int]]
    """The tasks that wait for each."""
    priority: list[int]
    chain: list[int]
    """The longest chain of work that starts with the task, itself included."""
    tail: list[int]
    """From its start on, no schedule can be shorter: that chain, or the task and then all that waits for it, shared
    among the agents."""
    floor: int
    """What no schedule can be shorter than."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An order, when its tasks start, and when the last one ends."""

    makespan: int
    order: list[int]
    start: list[int]


def ordered(plan: Sequence[NewTask], agents: int) -> tuple[NewTask, ...]:
    """`plan` with the `place` of each task, for `agents` that do one task each at a time.

    A task without an expectation counts as long as the middle one of those with. Where none has any, or a place is
    given already, the plan is as it was. Of greater priority always goes first. Pure; takes about 50 ms at most, and
    for thousands of tasks as long as a few schedules of them take.
    """
    if not any(task.expected_ns is not None for task in plan) or any(task.place for task in plan):
        return tuple(plan)
    graph = graph_of(plan, agents)
    place = [0] * len(plan)
    for at, task in enumerate(improved(graph).order, start=1):
        place[task] = at
    return tuple(replace(task, place=at) for task, at in zip(plan, place, strict=True))


def graph_of(plan: Sequence[NewTask], agents: int) -> Graph:
    """The plan as numbers.

    Raises:
        ValueError: the dependencies form a circle.
    """
    number = {task.key: at for at, task in enumerate(plan)}
    known = [task.expected_ns for task in plan if task.expected_ns is not None]
    usual = median_low(known) if known else 0
    duration = [usual if task.expected_ns is None else task.expected_ns for task in plan]
    before = [sorted(number[key] for key in waits_for(task) if key in number) for task in plan]
    after: list[list[int]] = [[] for _ in plan]
    for task, needed in enumerate(before):
        for other in needed:
            after[other].append(task)
    forwards = [number[key] for key in in_dependency_order(plan)]
    backwards = forwards[::-1]
    chain = _chains(duration, after, backwards)
    tail, head = chain, _chains(duration, before, forwards)
    if len(plan) <= CLOSELY:
        tail = _shared(duration, after, backwards, agents)
        head = _shared(duration, before, forwards, agents)
    least = max((one + other - own for one, other, own in zip(head, tail, duration, strict=True)), default=0)
    # Some agent has at least one in so many tasks.
    fewest = sorted(duration)[: -(-len(plan) // agents)]
    floor = max(least, -(-sum(duration) // agents), sum(fewest))
    return Graph(agents, duration, before, after, [task.priority for task in plan], chain, tail, floor)


def _chains(duration: Sequence[int], following: Sequence[Sequence[int]], last_first: Sequence[int]) -> list[int]:
    """For each task, the longest chain over `following` that starts with it."""
    found = list(duration)
    for task in last_first:
        found[task] += max((found[other] for other in following[task]), default=0)
    return found


def _shared(
    duration: Sequence[int], following: Sequence[Sequence[int]], last_first: Sequence[int], agents: int
) -> list[int]:
    """The same, where all that follows takes at least as long as it takes when shared among the agents."""
    found, all_after = list(duration), [0] * len(duration)
    for task in last_first:
        for other in following[task]:
            all_after[task] |= all_after[other] | 1 << other
        work = sum(duration[other] for other in range(len(duration)) if all_after[task] >> other & 1)
        found[task] += max(-(-work // agents), max((found[other] for other in following[task]), default=0))
    return found


def improved(graph: Graph, tries: int = TRIES) -> Listed:
    """The best order found; never one whose schedule is longer than that of `by_chain`.

    Args:
        tries: the most schedules that are tried; of more than `FULLY` tasks fewer.
    """
    return _Search(graph, tries * min(1.0, FULLY / max(1, len(graph.duration)))).run()


def by_chain(graph: Graph) -> list[int]:
    """The tasks by priority, then by the longest chain of work that starts with each."""
    return _greatest_first(graph, graph.chain)


def listed(graph: Graph, order: Sequence[int], limit: int | None = None) -> Listed | None:
    """What comes of `order`: the schedule of free agents that take its first ready task. None as soon as it is clear
    that it takes longer than `limit`."""
    found = _starts(graph, graph.before, graph.after, order, limit)
    return found and Listed(found[1], list(order), found[0])


def _greatest_first(graph: Graph, rank: Sequence[float]) -> list[int]:
    """The tasks by priority, then by their rank."""
    priority = graph.priority
    return sorted(range(len(priority)), key=lambda task: (-priority[task], -rank[task], task))


def _places(order: Sequence[int]) -> list[int]:
    places = [0] * len(order)
    for place, task in enumerate(order):
        places[task] = place
    return places


def _starts(
    graph: Graph,
    before: Sequence[Sequence[int]],
    after: Sequence[Sequence[int]],
    order: Sequence[int],
    limit: int | None = None,
) -> tuple[list[int], int] | None:
    """When each task starts, and when the last one ends. The order may be any; `before` and `after` are the graph's,
    or changed about for a schedule from the end backwards."""
    duration, tail, rank = graph.duration, graph.tail, _places(order)
    pending = [len(needed) for needed in before]
    ready = [rank[task] for task in order if not pending[task]]
    heapify(ready)
    running: list[tuple[int, int]] = []
    start, free, now = [0] * len(order), graph.agents, 0
    while True:
        while free and ready:
            task = order[heappop(ready)]
            if limit is not None and now + tail[task] > limit:
                return None
            start[task] = now
            free -= 1
            heappush(running, (now + duration[task], task))
        if not running:
            return start, now
        now = running[0][0]
        while running and running[0][0] == now:
            free += 1
            for other in after[heappop(running)[1]]:
                pending[other] -= 1
                if not pending[other]:
                    heappush(ready, rank[other])


class _Search:
    """The best order so far, and how many tries are left."""

    def __init__(self, graph: Graph, tries: float) -> None:
        self.graph = graph
        self.size = len(graph.duration)
        # At least the first lists, backwards and forwards.
        self.left = max(12, round(tries))
        self.draw = Random(0)  # noqa: S311 - the same draws each time, which guess nothing secret
        self.best = self._try(by_chain(graph))

    def run(self) -> Listed:
        graph, lists = self.graph, [self._both_ways(self.best)]
        lists.append(self._by(graph.tail))
        half = self.left // 2
        while self.left > half and not self._done:
            lists.append(self._by([tail * (1 + BLUR * (2 * self.draw.random() - 1)) for tail in graph.tail]))
        lists.sort(key=lambda found: found.makespan)
        self._walk(lists[:STARTS])
        return self.best

    @property
    def _done(self) -> bool:
        return self.left <= 0 or self.best.makespan <= self.graph.floor

    def _try(self, order: list[int]) -> Listed:
        self.left -= 1
        found = _starts(self.graph, self.graph.before, self.graph.after, order)
        assert found is not None, "without a limit there is always a schedule"
        return Listed(found[1], order, found[0])

    def _keep(self, found: Listed) -> Listed:
        if found.makespan < self.best.makespan:
            self.best = found
        return found

    def _by(self, rank: Sequence[float]) -> Listed:
        if self._done:
            return self.best
        return self._both_ways(self._keep(self._try(_greatest_first(self.graph, rank))))

    def _both_ways(self, found: Listed) -> Listed:
        """Go on from `found` as long as going over it backwards and forwards again makes it shorter."""
        graph, duration = self.graph, self.graph.duration
        while not self._done:
            ends = [start + own for start, own in zip(found.start, duration, strict=True)]
            self.left -= 1
            back = _starts(graph, graph.after, graph.before, _greatest_first(graph, ends))
            assert back is not None, "without a limit there is always a schedule"
            again = self._try(_greatest_first(graph, [at + own for at, own in zip(back[0], duration, strict=True)]))
            if again.makespan >= found.makespan:
                break
            found = self._keep(again)
        return found

    def _walk(self, lists: Sequence[Listed]) -> None:
        """Change the order a little, and keep what makes it no longer; without a gain go on from the next list."""
        at, stale, here = 0, 0, lists[0]
        while not self._done:
            chain = self._waited(here)
            if not chain or stale > STALE:
                at, stale = at + 1, 0
                here = lists[at % len(lists)]
                self.left -= 1
                continue
            order = list(here.order)
            self._change(order, here.start, chain[self._any(len(chain))])
            self.left -= 1
            stale += 1
            found = listed(self.graph, order, here.makespan)
            if found is not None:
                if found.makespan < here.makespan:
                    stale = 0
                here = self._keep(found)

    def _any(self, count: int) -> int:
        return int(self.draw.random() * count)

    def _change(self, order: list[int], start: Sequence[int], waited: tuple[int, int]) -> None:
        """Have a task that waited for an agent change places with one that had an agent meanwhile, or go before it, or
        that one behind it; now and then two others change places as well, or where there is no such task."""
        (task, since), places = waited, _places(order)
        duration, priority = self.graph.duration, self.graph.priority
        rivals = [
            other
            for other in range(self.size)
            if start[other] < start[task]
            and start[other] + duration[other] > since
            and places[other] < places[task]
            and priority[other] == priority[task]
        ]
        if rivals:
            rival, how = rivals[self._any(len(rivals))], self.draw.random()
            if how < 0.5:
                order[places[task]], order[places[rival]] = rival, task
            elif how < 0.75:
                order.insert(places[rival], order.pop(places[task]))
            else:
                order.insert(places[task], order.pop(places[rival]))
        if not rivals or self.draw.random() < 0.3:
            one, other = self._any(self.size), self._any(self.size)
            if priority[order[one]] == priority[order[other]]:
                order[one], order[other] = order[other], order[one]

    def _waited(self, found: Listed) -> list[tuple[int, int]]:
        """The tasks that waited for an agent, from the last one back over what kept each from starting earlier, and
        since when they waited."""
        start, duration = found.start, self.graph.duration
        ended: dict[int, int] = {}
        for task in found.order:
            # Of no duration is nobody's predecessor here: it would be its own.
            if duration[task]:
                ended.setdefault(start[task] + duration[task], task)
        task = max(range(self.size), key=lambda one: (start[one] + duration[one], -one))
        waited = []
        while True:
            needed = self.graph.before[task]
            ready = max((start[other] + duration[other] for other in needed), default=0)
            if start[task] > ready:
                waited.append((task, ready))
                task = ended[start[task]]
            elif ready:
                task = next(other for other in needed if start[other] + duration[other] == ready)
            else:
                return waited

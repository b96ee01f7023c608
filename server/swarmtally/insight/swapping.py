"""Improves a list schedule: tasks change places in the list as long as the last one ends earlier for it.

A local search on the critical chain, as for job shops (Matsuo, Suh and Sullivan 1988; Nowicki and Smutnicki 1996): walk
back from the task that ends last over whatever kept each from starting earlier. Where that was an agent, the waiting
task changes places with one that was given an agent meanwhile. Nothing is random: the same input gives the same plan.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from swarmtally.insight.balance import (
    Bounds,
    Item,
    Problem,
    Schedule,
    Worker,
    bounds,
    list_schedule,
    problem_of,
    ranked,
)

STEPS = 100_000
"""How many tasks all tries together may place: what bounds the time."""

TRIES = 1_000
"""The most tries, however few tasks there are."""


Heed = Callable[[int], None]
"""Called with the tries so far, before each and between the parts before the first; raises when nobody waits for the
plan any more."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One task's agent and its times, in nanoseconds from now on."""

    id: str
    agent_id: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Who does what when, by start, and what no plan can be shorter than."""

    placements: tuple[Placement, ...]
    makespan_ns: int
    list_makespan_ns: int
    """Of the plain list, before anything changed places."""
    bounds: Bounds


def unheeded(_tries: int) -> None:
    """A `Heed` of whoever waits to the end."""


def plan(items: Sequence[Item], workers: Sequence[Worker], heed: Heed = unheeded) -> Plan:
    """Plan `items` (at least one, a graph that `balance.check` accepts) for `workers` (at least one)."""
    problem = problem_of(items, workers)
    heed(0)
    limits = bounds(problem)
    heed(0)
    order = ranked(problem)
    first = list_schedule(problem, order)
    assert first is not None, "without a limit there is always a schedule"
    best = improved(problem, order, first, limits.floor_ns, heed)
    placements = [
        Placement(task_id, workers[agent].agent_id, start, start + duration)
        for task_id, agent, start, duration in zip(problem.ids, best.agent, best.start, problem.duration, strict=True)
    ]
    placements.sort(key=lambda one: (one.start_ns, one.id))
    return Plan(tuple(placements), best.makespan, first.makespan, limits)


def improved(problem: Problem, order: list[int], first: Schedule, floor_ns: int, heed: Heed) -> Schedule:
    """The best schedule found from `first`, that of `order`; `order` becomes its list. Never a longer one.

    A swap that makes it no longer is kept. Each is tried once between two that make it shorter, so the search ends.
    """
    best, tried = first, set[tuple[int, int]]()
    places = [0] * len(order)
    for place, task in enumerate(order):
        places[task] = place
    swaps = _swaps(problem, best, places)
    for tries in range(min(TRIES, STEPS // max(1, len(order)))):
        heed(tries)
        pair = next((pair for pair in swaps if pair not in tried), None)
        if pair is None or best.makespan <= floor_ns:
            break
        tried.add(pair)
        _swap(order, places, pair)
        found = list_schedule(problem, order, best.makespan)
        if found is None:
            _swap(order, places, pair)
            continue
        if found.makespan < best.makespan:
            tried.clear()
        best, swaps = found, _swaps(problem, found, places)
    return best


def _swap(order: list[int], places: list[int], pair: tuple[int, int]) -> None:
    one, other = pair
    places[one], places[other] = places[other], places[one]
    order[places[one]], order[places[other]] = one, other


def _swaps(problem: Problem, schedule: Schedule, places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The pairs (a task of the critical chain that waited for an agent, one that was given an agent meanwhile)."""
    start = schedule.start
    together: list[list[int]] = [[] for _ in range(problem.anyone + 1)]
    for task in sorted(range(len(start)), key=lambda task: (-start[task], task)):
        together[problem.pool[task]].append(task)
    for task, ready in _waited(problem, schedule):
        for rival in together[problem.pool[task]]:
            if start[rival] < ready:
                break
            # Who is more urgent stays in front.
            alike = problem.priority[rival] == problem.priority[task]
            if alike and start[rival] < start[task] and places[rival] < places[task]:
                yield task, rival


def _waited(problem: Problem, schedule: Schedule) -> Iterator[tuple[int, int]]:
    """The tasks of the critical chain that waited for an agent, from the last one back, and since when."""
    start, duration = schedule.start, problem.duration
    task = max(range(len(start)), key=lambda one: (start[one] + duration[one], -one))
    while task >= 0:
        needed = problem.before[task]
        ready = max((start[other] + duration[other] for other in needed), default=0)
        if start[task] > ready:
            yield task, ready
            task = schedule.previous[task]
        else:
            task = next((other for other in needed if start[other] + duration[other] == ready), -1)

"""Task graphs drawn at random, the same each time: layered, fork-join and series-parallel, of 20 to 60 tasks."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random

LEAST, MOST = 20, 60

AGENTS = (2, 2, 3, 3, 4, 5, 6, 8, 12, 16)
"""Drawn from. Few agents make the harder instances: many are all but free to take the longest chain."""


@dataclass(frozen=True)
class Instance:
    """Tasks by number, each after those it waits for, with durations in ms, for so many agents."""

    name: str
    duration: list[int]
    before: list[list[int]]
    agents: int


def instance(family: str, number: int) -> Instance:
    draw = Random(f"{family} {number}")
    before = FAMILIES[family](draw)
    return Instance(f"{family} {number}", _durations(draw, len(before)), before, draw.choice(AGENTS))


def _durations(draw: Random, count: int) -> list[int]:
    """Of 1 to 60 s, evenly; or lognormal around 10 s, of 0.5 to 120 s, as calls of models are."""
    if draw.random() < 0.5:
        return [draw.randint(1_000, 60_000) for _ in range(count)]
    return [min(120_000, max(500, round(draw.lognormvariate(9.2, 0.8)))) for _ in range(count)]


def _layered(draw: Random) -> list[list[int]]:
    """3 to 8 layers; each task waits for one to three of the layer before."""
    count, layers = draw.randint(LEAST, MOST), draw.randint(3, 8)
    layer = sorted(draw.randrange(layers) for _ in range(count))
    rows = [[task for task in range(count) if layer[task] == at] for at in sorted(set(layer))]
    before: list[list[int]] = [[] for _ in range(count)]
    for upper, lower in pairwise(rows):
        for task in lower:
            before[task] = sorted(draw.sample(upper, min(len(upper), draw.randint(1, 3))))
    return before


def _fork_join(draw: Random) -> list[list[int]]:
    """One task, then 2 to 12 chains that all wait for it, then one that waits for all of them, and so on."""
    before: list[list[int]] = [[]]
    most = draw.randint(LEAST, MOST)
    while len(before) < most - 3:
        join, ends = len(before) - 1, []
        for _ in range(draw.randint(2, 12)):
            if len(before) >= most - 1:
                break
            before.append([join])
            while draw.random() < 0.3 and len(before) < most - 1:
                before.append([len(before) - 1])
            ends.append(len(before) - 1)
        before.append(ends)
    return before


def _series_parallel(draw: Random) -> list[list[int]]:
    """Two halves one after the other or beside each other, each made in the same way."""
    before: list[list[int]] = []

    def made(size: int, needs: list[int]) -> list[int]:
        if size == 1:
            before.append(sorted(needs))
            return [len(before) - 1]
        first = draw.randint(1, size - 1)
        if draw.random() < 0.5:
            return made(size - first, made(first, needs))
        return made(first, needs) + made(size - first, needs)

    made(draw.randint(LEAST, MOST), [])
    return before


FAMILIES: dict[str, Callable[[Random], list[list[int]]]] = {
    "layered": _layered,
    "fork-join": _fork_join,
    "series-parallel": _series_parallel,
}

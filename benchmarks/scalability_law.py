"""What learning says of agents and factors in generated histories whose truth is known: how often intervals hold it (90
% are meant), how often it refuses, what it claims wrongly. Beside it what a table of averages says: the size with the
greatest mean throughput as the best one, and means of topologies as they stand."""

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from swarmtally.learning.answers import Insufficient, Interval
from swarmtally.learning.effects import effects
from swarmtally.learning.rows import TrainingRow
from swarmtally.learning.scalability import Scalability, fit_scalability

POWERS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class World:
    """Runs of each size that follow the law, each off by a factor of about 1 + noise; `tail`: seldom much slower."""

    name: str
    sigma: float
    kappa: float
    sizes: tuple[int, ...] = POWERS
    each: int = 6
    noise: float = 0.15
    tail: bool = False
    kinds: int = 1

    @property
    def best(self) -> float:
        return max(1.0, math.sqrt((1 - self.sigma) / self.kappa)) if self.kappa else math.inf

    def history(self, seed: int) -> tuple[list[tuple[int, float]], list[int]]:
        draw = random.Random(seed)
        points, kinds = [], []
        for n in self.sizes:
            for number in range(self.each):
                kind = draw.randrange(self.kinds) if self.kinds > 1 else number % self.kinds
                off = draw.gauss(0, self.noise)
                if self.tail and draw.random() < 0.05:
                    off -= draw.expovariate(1)
                points.append((n, self.throughput(n) * 10**kind * math.exp(off)))
                kinds.append(kind)
        return points, kinds

    def throughput(self, n: int) -> float:
        return n / (1 + self.sigma * (n - 1) + self.kappa * n * (n - 1))


WORLDS = (
    World("little noise", 0.05, 0.01, noise=0.03),
    World("usual noise", 0.05, 0.01),
    World("much noise", 0.05, 0.01, noise=0.4),
    World("seldom much slower", 0.05, 0.01, tail=True),
    World("few runs", 0.05, 0.01, each=5),
    World("many runs", 0.05, 0.01, each=40),
    World("four sizes", 0.1, 0.03, sizes=(1, 2, 4, 8), each=8),
    World("every size", 0.1, 0.03, sizes=tuple(range(1, 13)), each=3),
    World("one works best alone", 0.6, 0.5),
    World("hardly anything to gain", 0.8, 0.02),
    World("large swarms", 0.01, 0.0005, sizes=(1, 4, 16, 64, 128)),
    World("three kinds of work", 0.05, 0.01, kinds=3),
    World("no end in sight", 0.02, 0.0),
    World("no end, four sizes", 0.1, 0.0, sizes=(1, 2, 4, 8), each=8),
    World("beyond what was tried", 0.02, 0.0005, sizes=(1, 2, 4, 8), each=8),
    World("1, 2 and 4 agents", 0.05, 0.01, sizes=(1, 2, 4), each=10),
    World("12 runs", 0.05, 0.01, each=2),
)


@dataclass
class Score:
    """Over the histories of a world."""

    fitted: int = 0
    answered: int = 0
    held: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("sigma", "kappa", "best"), 0))
    too_high: int = 0
    reasons: set[str] = field(default_factory=set)
    off: list[float] = field(default_factory=list)
    naive_off: list[float] = field(default_factory=list)


def run(smoke: bool) -> list[str]:
    histories = 6 if smoke else 300
    lines = [f"{histories} histories a world; held: the truth lies in the interval; fits: sigma, kappa and n*"]
    spent = time.process_time()
    scores = [(world, _score(world, histories)) for world in WORLDS]
    spent = (time.process_time() - spent) / (len(WORLDS) * histories)
    for world, score in scores:
        lines.append(_told(world, score, histories))
    lines.append(f"processor time of a fit with its intervals, or a refusal: {spent * 1e3:.1f} ms")
    return [*lines, *_effects(3 if smoke else 150)]


def _score(world: World, histories: int) -> Score:
    score = Score()
    for seed in range(histories):
        points, kinds = world.history(seed)
        found = fit_scalability(points, kinds, seed)
        if isinstance(found, Insufficient):
            score.reasons.add(found.reason.partition(":")[0])
            continue
        score.fitted += 1
        score.held["sigma"] += _holds(found.sigma, world.sigma)
        score.held["kappa"] += _holds(found.kappa, world.kappa)
        _score_best(world, found, points, score)
    return score


def _score_best(world: World, found: Scalability, points: Sequence[tuple[int, float]], score: Score) -> None:
    score.too_high += found.at_least is not None and found.at_least > max(1, world.best)
    if found.best is None:
        return
    score.answered += 1
    score.held["best"] += _holds(found.best, world.best)
    if world.kinds == 1:
        score.off.append(_lost(world, round(found.best.value)))
        score.naive_off.append(_lost(world, _fastest(points)))


def _fastest(points: Sequence[tuple[int, float]]) -> int:
    by_size: dict[int, list[float]] = {}
    for n, throughput in points:
        by_size.setdefault(n, []).append(throughput)
    return max(by_size, key=lambda n: sum(by_size[n]) / len(by_size[n]))


def _lost(world: World, n: int) -> float:
    """The share of the best throughput that `n` agents give away."""
    return 1 - world.throughput(n) / max(
        world.throughput(math.floor(world.best)), world.throughput(math.ceil(world.best))
    )


def _holds(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


def _told(world: World, score: Score, histories: int) -> str:
    line = f"{world.name:24} {world.noise:4.0%} noise, {len(world.sizes):2} sizes x {world.each:2}"
    if not score.fitted:
        return f"{line}   refused all: {', '.join(sorted(score.reasons))}"
    held = " / ".join(f"{score.held[name] / score.fitted:4.0%}" for name in ("sigma", "kappa"))
    best = f"{score.held['best'] / score.answered:4.0%}" if score.answered else "   -"
    line += f"   held {held} / {best}   n* told {score.answered / histories:4.0%}"
    if score.too_high:
        line += f", at_least too high {score.too_high / histories:.1%}"
    if score.off:
        ours, naive = (sum(off) / len(off) for off in (score.off, score.naive_off))
        line += f"   throughput given away {ours:.2%}, by averages {naive:.2%}"
    return line


def _effects(histories: int) -> list[str]:
    lines = ["effects of topology (1.5), backend (0.33) and a doubling of agents (0.71) on durations:"]
    worlds: tuple[tuple[str, Callable[[int], list[TrainingRow]]], ...] = (
        ("100 runs", lambda seed: _runs(100, seed)),
        ("40 runs", lambda seed: _runs(40, seed)),
        ("100 runs, steady drift", lambda seed: _runs(100, seed, drift=2.0)),
        ("100 runs, slower ones vary more", lambda seed: _runs(100, seed, uneven=True)),
        ("20 runs of 20 tasks, alike in a run", lambda seed: _runs(20, seed, tasks=20)),
        ("1,000 runs, 5 % of tasks stuck", lambda seed: _runs(1_000, seed, tail=True)),
    )
    for name, made in worlds:
        told = held = plain = 0
        for seed in range(histories):
            rows = made(seed)
            given = _given(rows)
            told += len(given)
            held += sum(_holds(effect, truth) for effect, truth in given)
            plain += _plain_holds(rows)
        lines.append(
            f"  {name:36} held {held / max(1, told):4.0%}, told {told / (3 * histories):4.0%}"
            f"   means of topologies and their 90 % interval, as they stand: held {plain / histories:4.0%}"
        )
    return lines


def _runs(
    count: int, seed: int, drift: float = 0.0, uneven: bool = False, tasks: int = 1, tail: bool = False
) -> list[TrainingRow]:
    """Mesh takes half as long again, and mostly runs on the quick backend, which takes a third of the time."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        mesh = draw.random() < 0.5
        quick = draw.random() < (0.8 if mesh else 0.2)
        agents = draw.choice((1, 2, 4, 8))
        seconds = 10 * (1.5 if mesh else 1) / (3 if quick else 1) * agents**-0.5 * math.exp(drift * number / count)
        alike = draw.gauss(0, 0.3 if tasks > 1 else 0)
        kind: dict[str, Any] = {"topology": "mesh" if mesh else "star", "backend": "quick" if quick else "slow"}
        for task in range(tasks):
            off = draw.gauss(0, 0.6 if uneven and not quick else 0.3) + alike
            off += draw.expovariate(1) if tail and draw.random() < 0.05 else 0
            at_ns = 10**18 + number * 10**10 + task
            took = seconds * math.exp(off)
            rows.append(TrainingRow(at_ns, "own", "task", took, agents=agents, run_id=f"r{number}", **kind))
    return rows


_TRUTHS = {("topology", "mesh"): 1.5, ("backend", "quick"): 1 / 3, ("agents", None): 2**-0.5}


def _given(rows: list[TrainingRow]) -> list[tuple[Interval, float]]:
    found = effects(rows, "duration_s")
    if isinstance(found, Insufficient):
        return []
    told = []
    for each in found.effects:
        truth = _TRUTHS.get((each.factor, each.level)) or _turned(_TRUTHS.get((each.factor, each.against)))
        if each.effect is not None and truth is not None:
            told.append((each.effect, truth))
    return told


def _turned(truth: float | None) -> float | None:
    return None if truth is None else 1 / truth


def _plain_holds(rows: list[TrainingRow]) -> bool:
    """Whether the ratio of geometric means, as they stand, holds the truth."""
    logs = {name: [math.log(row.duration_s) for row in rows if row.topology == name] for name in ("mesh", "star")}
    means = {name: sum(values) / len(values) for name, values in logs.items()}
    squares = [sum((value - means[name]) ** 2 for value in values) / len(values) ** 2 for name, values in logs.items()]
    return abs(means["mesh"] - means["star"] - math.log(1.5)) <= 1.645 * math.sqrt(sum(squares))

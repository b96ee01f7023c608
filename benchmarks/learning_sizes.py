"""What sizes learned from history gain: max_agents of swarm_init beside 8 always, swarm_scale beside Little's
law alone, in generated worlds that follow the Universal Scalability Law."""

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from swarmtally.core.sizing import LOOKBACK_NS, Experience, Load, need
from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.swarm import DEFAULT_MAX_AGENTS
from swarmtally.experience import of_curve
from swarmtally.learning.curve import curves_of
from swarmtally.learning.rows import TrainingRow

LIMIT = 1.02
"""Of the mean makespan of a world's histories, beside not learning."""

HISTORIES = 40

TASKS = 80
"""Of each run, of `TASK_S` seconds each where one works alone."""

TASK_S = 20.0

TASK_TOKENS, AGENT_TOKENS = 1_000, 4_000
"""What a task uses, and what each agent costs that joins a run: its instructions and the shared context."""

SCALED_EVERY_S = 60.0

MOST = 64
"""target_size of swarm_scale."""


@dataclass(frozen=True, slots=True)
class World:
    """Runs follow the law with sigma and kappa, each off by a factor of about 1 + noise; the history has `each` runs of
    every one of `sizes`. `since`: sigma and kappa after it, where the machine was changed."""

    name: str
    sigma: float
    kappa: float
    sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    each: int = 8
    noise: float = 0.15
    since: tuple[float, float] | None = None

    def history(self, seed: int) -> list[TrainingRow]:
        draw = random.Random(seed)
        return [
            TrainingRow(
                at_ns=number + 1,
                source="own",
                level="run",
                duration_s=TASKS * TASK_S / speed_up(n, self.sigma, self.kappa) * math.exp(draw.gauss(0, self.noise)),
                success=True,
                mode="batch",
                agents=n,
                tasks=TASKS,
            )
            for number, n in enumerate(self.sizes * self.each)
        ]

    @property
    def now(self) -> tuple[float, float]:
        return self.since or (self.sigma, self.kappa)


def speed_up(n: int, sigma: float, kappa: float) -> float:
    return n / (1 + sigma * (n - 1) + kappa * n * (n - 1))


WORLDS = (
    World("waiting for each other: sigma 0.05", 0.05, 0.0),
    World("sigma 0.15", 0.15, 0.0),
    World("sigma 0.4", 0.4, 0.0),
    World("sigma 0.9", 0.9, 0.0),
    World("in each other's way: sigma 0.05, kappa 0.003", 0.05, 0.003),
    World("sigma 0.05, kappa 0.01", 0.05, 0.01),
    World("sigma 0.1, kappa 0.06", 0.1, 0.06),
    World("sigma 0.3, kappa 0.3", 0.3, 0.3),
    World("sigma 0.02, kappa 0.001", 0.02, 0.001),
    World("the same, noise of 40 %", 0.02, 0.001, noise=0.4),
    World("sigma 0.1, kappa 0.06, noise of 40 %", 0.1, 0.06, noise=0.4),
    World("the same, 40 runs of up to 16", 0.1, 0.06, (1, 2, 4, 8, 16)),
    World("the same, 32 runs of up to 8", 0.1, 0.06, (1, 2, 4, 8)),
    World("sigma 0.2, kappa 0.02, 32 runs of up to 8, noise of 40 %", 0.2, 0.02, (1, 2, 4, 8), noise=0.4),
    World("no limit", 0.0, 0.0),
    World("no limit, runs of up to 8", 0.0, 0.0, (1, 2, 4, 8)),
    World("12 runs", 0.1, 0.06, each=2),
    World("runs of 1, 2 and 4", 0.1, 0.06, (1, 2, 4), each=20),
)

CHANGED = (
    World("kappa was 0.06, is 0.003 since", 0.05, 0.06, since=(0.05, 0.003)),
    World("kappa was 0.003, is 0.06 since", 0.05, 0.003, since=(0.05, 0.06)),
)
"""What no history can know; here nothing is promised until the model is trained on runs of the new machine."""


@dataclass(slots=True)
class Found:
    """Of one world, a figure for each of its histories."""

    told: int = 0
    pays: list[int] = field(default_factory=list)
    makespan: list[float] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)
    scaled: list[float] = field(default_factory=list)
    scaled_agents: list[float] = field(default_factory=list)


def run(smoke: bool) -> list[str]:
    histories = 3 if smoke else HISTORIES
    lines = [
        f"{histories} histories a world; all against not learning: 1 is the same, less is better; limit {LIMIT}",
        f"a run has {TASKS} tasks of {TASK_S:.0f} s and {TASK_TOKENS:,} tokens; an agent costs {AGENT_TOKENS:,} tokens",
    ]
    missed = []
    for world in (*WORLDS, *CHANGED):
        found = _world(world, range(histories))
        lines.append(_line(world, found))
        means = (fmean(found.makespan), fmean(found.scaled))
        # A few histories, as in a short run, say little of a mean.
        if world not in CHANGED and not smoke and max(means) > LIMIT:
            missed.append(world.name)
    if not smoke:
        lines.append(f"limit missed: {'; '.join(missed)}" if missed else "limit kept in all worlds but changed ones")
    return lines


def _line(world: World, found: Found) -> str:
    sizes = f"{min(found.pays)}" if len(set(found.pays)) == 1 else f"{min(found.pays)} to {max(found.pays)}"
    return (
        f"{world.name:57}  told {found.told:2}  max_agents {sizes:8}"
        f"  makespan {fmean(found.makespan):.3f} (worst {max(found.makespan):.3f})  tokens {fmean(found.tokens):.2f}"
        f"   scaled: makespan {fmean(found.scaled):.3f} (worst {max(found.scaled):.3f})"
        f"  agent-seconds {fmean(found.scaled_agents):.2f}"
    )


def _world(world: World, seeds: Sequence[int]) -> Found:
    found = Found()
    for seed in seeds:
        known = of_curve(curves_of(world.history(seed), "own", seed)["runs"])
        pays = known.pays or DEFAULT_MAX_AGENTS
        found.told += known.pays is not None
        found.pays.append(pays)
        found.makespan.append(speed_up(DEFAULT_MAX_AGENTS, *world.now) / speed_up(pays, *world.now))
        found.tokens.append(_tokens(pays) / _tokens(DEFAULT_MAX_AGENTS))
        without, with_it = Stream(world.now, seed).done(None), Stream(world.now, seed).done(known)
        found.scaled.append(with_it.ended_s / without.ended_s)
        found.scaled_agents.append(with_it.agent_s / without.agent_s)
    return found


def _tokens(agents: int) -> int:
    return TASKS * TASK_TOKENS + min(agents, TASKS) * AGENT_TOKENS


@dataclass(frozen=True, slots=True)
class Done:
    """When the last task had ended, and how long agents were there for it."""

    ended_s: float
    agent_s: float


class Stream:
    """A swarm that gets `TASKS` tasks at once and as many more over ten minutes, and is scaled every minute, by the
    product's own rule; in virtual time. k agents at work do X(k) of what one alone does, each as much."""

    def __init__(self, law: tuple[float, float], seed: int) -> None:
        draw = random.Random(seed)
        arrivals = [0.0] * TASKS + [draw.uniform(0, 600) for _ in range(TASKS)]
        self._law = law
        self._coming = sorted((at, draw.expovariate(1 / TASK_S)) for at in arrivals)
        self._waiting: list[float] = []
        self._at_work: list[tuple[float, float]] = []
        """(how much work had been done for each that is at work when this one will have ended, claimed at)"""
        self._done = 0.0
        """How much work each has got that was at work all the time."""
        self._now = 0.0
        self._agents = DEFAULT_MAX_AGENTS
        self._seen: list[float] = []
        self._ended: list[tuple[float, float]] = []

    def done(self, known: Experience | None) -> Done:
        scaled_at, agent_s = 0.0, 0.0
        while self._coming or self._waiting or self._at_work:
            self._take()
            rate = speed_up(k, *self._law) / k if (k := len(self._at_work)) else 0.0
            ends = self._now + (self._at_work[0][0] - self._done) / rate if rate else math.inf
            comes = self._coming[0][0] if self._coming else math.inf
            at = min(ends, comes, scaled_at)
            agent_s += (at - self._now) * max(self._agents, k)
            self._done += (at - self._now) * rate
            self._now = at
            if at == scaled_at:
                scaled_at += SCALED_EVERY_S
                self._agents = min(MOST, need(self._load(), None, known).wanted)
            elif at == ends:
                _, claimed = heapq.heappop(self._at_work)
                self._ended.append((at, at - claimed))
            else:
                self._seen.append(at)
                self._waiting.append(heapq.heappop(self._coming)[1])
        return Done(self._now, agent_s)

    def _take(self) -> None:
        while self._coming and self._coming[0][0] <= self._now:
            self._seen.append(self._coming[0][0])
            self._waiting.append(heapq.heappop(self._coming)[1])
        while self._waiting and len(self._at_work) < self._agents:
            heapq.heappush(self._at_work, (self._done + self._waiting.pop(0), self._now))

    def _load(self) -> Load:
        since = self._now - LOOKBACK_NS / NS_PER_S
        seen = [at for at in self._seen if at >= since]
        return Load(
            role=None,
            agents=self._agents,
            busy=len(self._at_work),
            arrivals=len(seen),
            since_first_ns=round((self._now - seen[0]) * NS_PER_S) if seen else 0,
            ended=tuple(round(took * NS_PER_S) for at, took in self._ended if at >= since),
            under_way=tuple(round((self._now - claimed) * NS_PER_S) for _, claimed in self._at_work),
            backlog=len(self._waiting),
        )

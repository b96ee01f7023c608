"""Generated histories whose law is known: what each row's duration, tokens and success really follow from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import exp
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from swarmtally.learning.rows import FACTORS, Target, TrainingRow

Floats: TypeAlias = npt.NDArray[np.float64]
Generator: TypeAlias = np.random.Generator
Columns: TypeAlias = Mapping[str, Any]
"""Settings of all rows by factor, and `age`: 0 for the first row, 1 for the last that is learned from."""

MODES = ("architect", "coder", "tester", "reviewer")
TOPOLOGIES = ("star", "mesh", "hierarchical")
MODE_LOG_S = {"architect": 1.2, "coder": 1.0, "tester": 0.6, "reviewer": 0.2}


def gaussian(sd: float) -> Callable[[Generator, Columns], Floats]:
    return lambda random, columns: random.normal(0, sd, len(columns["age"]))


def law(columns: Columns) -> Floats:
    """Logarithm of seconds: by mode, prompt, agents."""
    base = np.array([MODE_LOG_S[mode] for mode in columns["mode"]])
    return base + 0.35 * np.log(columns["prompt_bytes"] / 4_000) - 0.4 * np.log(columns["agents"])


@dataclass(frozen=True)
class World:
    """`n` rows to learn from and the law of all."""

    name: str
    n: int
    law: Callable[[Columns], Floats] = law
    """Of the target: its logarithm, of success its log odds."""
    noise: Callable[[Generator, Columns], Floats] = field(default=gaussian(0.2))
    settings: Mapping[str, Callable[[Generator, Floats], Any]] = field(default_factory=dict)
    """Instead of the usual ones: drawn from the age of the rows."""
    target: Target = "duration_s"
    hidden: tuple[str, ...] = ()
    """Factors that half of the rows do not know."""
    skill: bool | None = True
    """Whether there is any to be had over the mode's median; None where that is open."""
    refused: bool = False
    """Whether no interval is narrow enough."""
    together: Callable[[Generator, dict[str, Any]], None] | None = None
    """Makes settings depend on each other."""
    anywhere: bool = False
    """Whether later rows have each setting apart from the others, also where no row was that is learned from."""
    tasks_of_run: int = 1
    """Tasks of a run, which share its luck."""
    luck: float = 0.0
    """Its standard deviation, in the logarithm or the log odds."""
    asked: tuple[str, ...] = FACTORS
    """What later rows are asked about by."""


def rows_of(world: World, random: Generator, later: int) -> tuple[list[TrainingRow], Floats]:
    """`n` rows and `later` ones after them, with what the law says of each."""
    age = np.arange(world.n + later) / world.n
    draws = {**_usual(), **world.settings}
    columns = {factor: draw(random, age) for factor, draw in draws.items()} | {"age": age}
    if world.together is not None:
        world.together(random, columns)
    if world.anywhere:
        for factor in draws:
            columns[factor] = np.append(columns[factor][: world.n], random.permutation(columns[factor])[:later])
    truth = world.law(columns)
    runs = np.arange(len(age)) // world.tasks_of_run
    lucky = truth + random.normal(0, world.luck, len(age))[runs]
    target = lucky + world.noise(random, columns)
    success = random.random(len(age)) < 1 / (1 + np.exp(-lucky))
    rows = []
    for place in range(len(age)):
        settings = {factor: _plain(values[place]) for factor, values in columns.items() if factor != "age"}
        settings |= {factor: None for factor in world.hidden if random.random() < 0.5}
        run_id = f"r{runs[place]}" if world.tasks_of_run > 1 else None
        row = TrainingRow(place + 1, "given", "task", 1.0, run_id=run_id, **settings)
        rows.append(_with(row, world.target, float(target[place]), bool(success[place])))
    return rows, truth


def _with(row: TrainingRow, target: Target, value: float, success: bool) -> TrainingRow:
    if target == "success":
        return replace(row, success=success)
    if target == "tokens":
        return replace(row, tokens=round(exp(value)))
    return replace(row, duration_s=exp(value))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _usual() -> dict[str, Callable[[Generator, Floats], Any]]:
    return {
        "mode": lambda random, age: random.choice(MODES, len(age)),
        "topology": lambda random, age: random.choice(TOPOLOGIES, len(age)),
        "agents": lambda random, age: random.choice([1, 2, 4, 8], len(age)),
        "prompt_bytes": lambda random, age: np.exp(random.normal(8.3, 0.7, len(age))).astype(int) + 1,
    }


def _useless(count: int) -> dict[str, Callable[[Generator, Floats], Any]]:
    return {
        "backend": lambda random, age: random.choice([f"b{k}" for k in range(count)], len(age)),
        "model": lambda random, age: random.choice([f"m{k}" for k in range(count)], len(age)),
        "strategy": lambda random, age: random.choice(["balanced", "specialized", "adaptive"], len(age)),
        "concurrency": lambda random, age: random.choice([1, 2, 4, 8], len(age)),
        "tasks": lambda random, age: random.integers(1, 30, len(age)),
        "text": lambda random, age: [f"make {'x1 = y; ' * k}" for k in random.integers(1, 40, len(age))],
    }


def _by_mode(columns: Columns) -> Floats:
    return np.array([MODE_LOG_S[mode] for mode in columns["mode"]])


def _meeting(columns: Columns) -> Floats:
    """Agents help in a mesh and hinder in a star; long prompts cost coders only."""
    way = np.where(columns["topology"] == "mesh", -0.5, 0.3) * np.log(columns["agents"])
    coder = columns["mode"] == "coder"
    return way + np.where(coder, 0.8, 0.0) * np.log(columns["prompt_bytes"] / 4_000) + 1.0


def _bent(columns: Columns) -> Floats:
    """The Universal Scalability Law (Gunther 1993): more than about 5 agents slow each other down."""
    n = columns["agents"].astype(float)
    return _by_mode(columns) + 2 - np.log(n / (1 + 0.08 * (n - 1) + 0.03 * n * (n - 1)))


def _odds(columns: Columns) -> Floats:
    return 2.2 - 1.0 * np.log(columns["agents"]) + np.where(columns["topology"] == "mesh", 1.2, -0.4)


def _teams(random: Generator, columns: dict[str, Any]) -> None:
    """Big teams had small prompts."""
    columns["agents"] = random.choice([1, 2, 4, 8, 16], len(columns["age"]))
    sizes = 10 - np.log(columns["agents"]) + random.normal(0, 0.3, len(columns["age"]))
    columns["prompt_bytes"] = np.exp(sizes).astype(int) + 1


def _sizes(random: Generator, columns: dict[str, Any]) -> None:
    """Each mode had its own size of prompts."""
    middle = np.array([7 + 0.7 * MODES.index(mode) for mode in columns["mode"]])
    columns["prompt_bytes"] = np.exp(middle + random.normal(0, 0.15, len(middle))).astype(int) + 1


def _no_coder_in_mesh(random: Generator, columns: dict[str, Any]) -> None:
    other = random.choice(["star", "hierarchical"], len(columns["age"]))
    columns["topology"] = np.where(columns["mode"] == "coder", other, columns["topology"])


def _by_size(columns: Columns) -> Floats:
    return 1 + 0.6 * np.log(columns["prompt_bytes"] / 4_000) - 0.2 * np.log(columns["agents"])


def _bent_by_size(columns: Columns) -> Floats:
    return _bent(columns) + 0.35 * np.log(columns["prompt_bytes"] / 4_000)


def _sum_of_parts(columns: Columns) -> Floats:
    return np.asarray(np.log(2 + columns["prompt_bytes"] / 800 + 9 / columns["agents"]), dtype=np.float64)


USELESS = _useless(8)
"""Factors beside the usual ones that have no effect."""

WORLDS = (
    World("little noise", 300, noise=gaussian(0.05)),
    World("some noise", 300),
    World("much noise", 400, noise=gaussian(0.35)),
    World("heavy tails", 300, noise=lambda random, columns: 0.12 * random.standard_t(3, len(columns["age"]))),
    World("skewed noise", 300, noise=lambda random, columns: random.gamma(1.5, 0.15, len(columns["age"])) - 0.2),
    World(
        "noise by mode",
        400,
        noise=lambda random, columns: (
            random.normal(0, 1, len(columns["age"])) * np.where(columns["mode"] == "coder", 0.35, 0.1)
        ),
    ),
    World(
        "one in 50 hangs",
        400,
        noise=lambda random, columns: (
            random.normal(0, 0.15, len(columns["age"])) + 3.0 * (random.random(len(columns["age"])) < 0.02)
        ),
    ),
    World("30 rows", 30, noise=gaussian(0.15), skill=None),
    World("40 rows", 40, noise=gaussian(0.15), skill=None),
    World("60 rows", 60),
    World("100 rows", 100),
    World("slow drift", 400, lambda columns: law(columns) + 0.4 * columns["age"]),
    World("fast drift", 400, lambda columns: law(columns) + 1.0 * columns["age"]),
    World("faster machine from 70 % on", 400, lambda columns: law(columns) - 0.5 * (columns["age"] > 0.7)),
    World("noise grows", 400, noise=lambda random, columns: random.normal(0, 0.1 + 0.1 * columns["age"])),
    World("day and night", 600, lambda columns: law(columns) + 0.2 * np.sin(40 * columns["age"])),
    World(
        "modes change",
        500,
        settings={
            "mode": lambda random, age: np.where(
                random.random(len(age)) < age, random.choice(MODES[2:], len(age)), random.choice(MODES[:2], len(age))
            )
        },
    ),
    World("only the mode matters", 300, _by_mode, skill=False),
    World("nothing matters", 300, lambda columns: np.ones(len(columns["age"])), skill=False),
    World("nothing matters, 40 rows", 40, lambda columns: np.ones(len(columns["age"])), skill=False),
    World("useless factors", 200, settings=USELESS),
    World("useless factors, 60 rows", 60, settings=_useless(4), skill=None),
    World("only useless factors", 200, _by_mode, settings=USELESS, skill=False),
    World("half is unknown", 400, hidden=("agents", "prompt_bytes", "topology")),
    World("agents in each other's way", 500, _bent, noise=gaussian(0.15)),
    World("factors that meet", 1_500, _meeting),
    World("factors that meet, drifting", 2_000, lambda columns: _meeting(columns) + 0.5 * columns["age"]),
    World("tokens", 300, lambda columns: 4 + law(columns), target="tokens"),
    World("chaos", 300, noise=gaussian(0.9), skill=None, refused=True),
)
"""Of seconds and tokens."""

TOGETHER = (
    World("big teams, small prompts", 300, together=_teams),
    World("teams in their own way", 300, _bent_by_size, together=_teams),
    World("teams, 1,500 rows", 1_500, _meeting, gaussian(0.15), together=_teams),
    World("teams, useless factors", 300, _bent_by_size, gaussian(0.15), USELESS, together=_teams),
    World("each mode its sizes, 48 rows", 48, _by_size, gaussian(0.1), together=_sizes, skill=None),
    World("each mode its sizes, 100 rows", 100, _by_size, gaussian(0.1), together=_sizes, skill=None),
    World("each mode its sizes", 300, _by_size, gaussian(0.1), together=_sizes),
    World("each mode its sizes, useless factors", 200, _by_size, gaussian(0.15), _useless(4), together=_sizes),
    World("each mode its sizes, 1,500 rows", 1_500, _meeting, gaussian(0.15), together=_sizes),
    World("coders never in a mesh", 300, together=_no_coder_in_mesh),
    World("coders never in a mesh, 1,500 rows", 1_500, _meeting, gaussian(0.15), together=_no_coder_in_mesh),
)
"""Of seconds, where settings depend on each other."""

RUNS = (
    World("runs of 5 tasks share luck", 200, noise=gaussian(0.15), tasks_of_run=5, luck=0.25),
    World("runs of 10 tasks share luck", 400, noise=gaussian(0.15), tasks_of_run=10, luck=0.25),
    World("runs of 20 tasks share luck", 1_200, noise=gaussian(0.15), tasks_of_run=20, luck=0.25),
    World("4 runs of 20 tasks", 80, noise=gaussian(0.15), tasks_of_run=20, luck=0.25, skill=None),
    World("only luck matters", 400, _by_mode, gaussian(0.1), tasks_of_run=10, luck=0.4, skill=False),
)
"""Of seconds, where tasks of a run share its luck."""

OUTCOMES = (
    World("success by settings", 600, _odds, target="success"),
    World("success by settings, 150 rows", 150, _odds, target="success", skill=None),
    World("success is chance", 400, lambda columns: np.full(len(columns["age"]), 1.5), target="success", skill=False),
    World(
        "the same, 40 rows, by mode",
        40,
        lambda columns: np.full(len(columns["age"]), 2.0),
        target="success",
        skill=False,
        asked=("mode",),
    ),
    World("success by settings, 60 rows", 60, _odds, target="success", skill=None),
    World("success is chance, 60 rows", 60, lambda c: np.full(len(c["age"]), 1.0), target="success", skill=False),
    World("nearly all succeed", 300, lambda c: np.full(len(c["age"]), 4.0), target="success", skill=False),
    World(
        "success by mode, 150 rows",
        150,
        lambda columns: 3 * _by_mode(columns) - 1,
        target="success",
        skill=None,
    ),
    World("success, runs share luck", 400, _odds, target="success", skill=None, tasks_of_run=10, luck=0.8),
)
"""Of success, whose intervals hold a probability."""

SUMS = (
    World("a sum of parts, 40 rows", 40, _sum_of_parts, gaussian(0.1), skill=None),
    World("a sum of parts", 300, _sum_of_parts, gaussian(0.1)),
    World("a sum of parts, useless factors", 300, _sum_of_parts, settings=USELESS),
)
"""Of seconds that add up in place of factors that multiply."""

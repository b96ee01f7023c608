"""Small histories whose law is known."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import exp, log

import numpy as np

from swarmtally.learning.rows import TrainingRow
from swarmtally.learning.sections import learn, to_document

MODES = ("architect", "coder", "tester")
BASE_LOG_S = {"architect": 3.0, "coder": 2.5, "tester": 2.0}


def truth_s(mode: str, agents: int) -> float:
    """Twice the agents take 0.66 of the time."""
    return exp(BASE_LOG_S[mode] - 0.6 * log(agents))


def history(n: int, noise: float = 0.1, seed: int = 0, agents: tuple[int, ...] = (1, 2, 4, 8)) -> list[TrainingRow]:
    """Tasks by mode and agents, with `noise` as standard deviation of the logarithm."""
    random = np.random.default_rng(seed)
    rows = []
    for place in range(n):
        mode, count = str(random.choice(MODES)), int(random.choice(agents))
        seconds = truth_s(mode, count) * exp(random.normal(0, noise))
        success = bool(random.random() < (0.95 if count < 4 else 0.5))
        rows.append(
            TrainingRow(place + 1, "own", "task", seconds, success, round(100 * seconds), mode, "star", agents=count)
        )
    return rows


def with_durations(rows: list[TrainingRow], seconds: Callable[[TrainingRow], float]) -> list[TrainingRow]:
    return [replace(row, duration_s=seconds(row)) for row in rows]


def by_text(n: int = 120) -> list[TrainingRow]:
    """A history in which a task takes a second for each word, whoever does it. Its prompts say the same."""
    return [
        TrainingRow(
            at_ns=number + 1,
            source="own",
            level="task",
            duration_s=float(words),
            mode=("coder", "tester")[number % 2],
            prompt_bytes=900 + 5 * words,
            text="word " * words,
        )
        for number, words in ((number, 1 + number * 7 % 40) for number in range(n))
    ]


def by_prompt(n: int = 120) -> list[TrainingRow]:
    """The same, with prompts whose size is the work: who knows it needs no text."""
    return [replace(row, prompt_bytes=round(200 * row.duration_s)) for row in by_text(n)]


def document(rows: Sequence[TrainingRow]) -> str:
    """A model of tasks, as it is stored."""
    return json.dumps(to_document(learn(rows, "prediction", 0, lambda section: None)))


def seconds_of_parts(prompt_tokens: int, agents: int) -> float:
    return 3 + 0.01 * (prompt_tokens - 400) + 9 / agents


def parts(n: int) -> list[TrainingRow]:
    """Rows without noise in the order of a plan, mode by mode, agents by agents, with growing prompts (the shape of the
    seed document's performance-logs.json): seconds are a sum of what a call, each token and shared work take."""
    plan = [(mode, agents) for mode in MODES for agents in (1, 2, 4, 8) for _ in range(-(-n // 12))]
    return [
        TrainingRow(
            at_ns=place + 1,
            source="given",
            level="task",
            duration_s=seconds_of_parts(400 + 40 * place, agents),
            success=place % 9 != 0,
            mode=mode,
            topology="mesh",
            agents=agents,
            prompt_bytes=4 * (400 + 40 * place),
        )
        for place, (mode, agents) in enumerate(plan[:n])
    ]

"""What models learn from: one row for each finished task and run, the project's own or given."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["task", "run"]
Target: TypeAlias = Literal["duration_s", "tokens", "success"]
Source: TypeAlias = Literal["own", "given"]

CATEGORIES = ("mode", "topology", "strategy", "backend", "model")
"""Factors that are names."""

AMOUNTS = ("agents", "concurrency", "prompt_bytes", "tasks")
"""Factors that are numbers, all of them at least 1 where known."""

FACTORS = (*CATEGORIES, *AMOUNTS)


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One finished task or run. None is what is not known."""

    at_ns: int
    """When it ended; of given rows without a time their order: 1, 2, 3 …"""
    source: Source
    level: Level
    duration_s: float
    """More than 0."""
    success: bool | None = None
    tokens: int | None = None
    """Input, cached too, and output."""
    mode: str | None = None
    topology: str | None = None
    strategy: str | None = None
    backend: str | None = None
    model: str | None = None
    agents: int | None = None
    """Of the swarm while it ran."""
    concurrency: int | None = None
    """The calls its backend takes at once."""
    prompt_bytes: int | None = None
    tasks: int | None = None
    """Of the run."""
    text: str = ""
    """What was asked for. Only counts are taken from it: no model holds any of its words."""
    run_id: str | None = None
    """The run it is of, or is: rows of one run share their surroundings, and say less than as many apart."""


def known(rows: Sequence[TrainingRow], target: Target) -> list[TrainingRow]:
    """The rows whose target is known, oldest first; those of the same moment stay in their order."""
    return sorted((row for row in rows if getattr(row, target) is not None), key=lambda row: row.at_ns)

"""Identifiers: a letter that says what it names, an underscore, and twelve random characters (60 bits)."""

import random
from collections.abc import Callable
from typing import Literal

Kind = Literal["s", "a", "r", "l"]
"""s: swarm, a: agent, r: run, l: lease of a packet. Task and artefact ids come from their run's id and an ordinal."""

NewId = Callable[[Kind], str]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 12


def id_factory(source: random.Random | None = None) -> NewId:
    """A maker of ids drawing on `source`; by default on the operating system's randomness, so ids cannot be guessed."""
    draw = source or random.SystemRandom()

    def new_id(kind: Kind) -> str:
        return f"{kind}_{''.join(draw.choices(_ALPHABET, k=_LENGTH))}"

    return new_id


def task_id(run_id: str, ordinal: int) -> str:
    """The id of the task at `ordinal` (from 0) in the run: `t_{run}_{ordinal}`."""
    return f"t_{run_id.removeprefix('r_')}_{ordinal}"


def artefact_id(task: str) -> str:
    """The id of the one artefact a task delivers."""
    return f"f_{task.removeprefix('t_')}"

"""What a project's history says of how work is done: its rows, and the patterns that `swarmtally.learning` finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from swarmtally.core.worker import Step, in_thread
from swarmtally.domain.timeframe import Timeframe
from swarmtally.store import models
from swarmtally.store.database import Database
from swarmtally.training_rows import given_rows, training_rows

if TYPE_CHECKING:
    from swarmtally.learning.patterns import Operation, Patterns
    from swarmtally.learning.rows import TrainingRow

ROWS_LIMIT = 10_000
"""The most own tasks, own runs and given rows that patterns are found in, the newest of each."""


@dataclass(frozen=True, slots=True)
class Seen:
    """How many rows an operation could be learned from, and whether there were more than are looked at."""

    own: int
    given: int
    more: bool


@dataclass(frozen=True, slots=True)
class Found:
    """The rows there are for each operation, and what those say that were asked about."""

    seen: "dict[Operation, Seen]"
    patterns: "Patterns"


async def find(
    database: Database, project: str, timeframe: Timeframe, operations: "Sequence[Operation]", limit: int = ROWS_LIMIT
) -> Found:
    """The patterns of the project's rows in the timeframe; given rows that do not say when they ended always count.

    Runs must have been measured (`Bookkeeper.close`).
    """
    own = await training_rows(database, project, timeframe, limit)
    given = await database.read(lambda tx: models.given_to_any(tx, project, timeframe, limit))
    # Arithmetic over thousands of rows: in a thread, so that the event loop goes on.
    return await in_thread(lambda step: _found((*own, *given_rows(given)), operations, limit, step))


def _found(rows: "Sequence[TrainingRow]", operations: "Sequence[Operation]", limit: int, step: Step) -> Found:
    from swarmtally.learning.patterns import Operation, find_patterns, rows_for

    seen = {}
    for operation in Operation:
        counts = [len(rows_for(rows, operation, source)) for source in ("own", "given")]
        seen[operation] = Seen(counts[0], counts[1], max(counts) >= limit)
    parts = count()

    def begin(part: str) -> None:
        step(next(parts), None, f"looking at {part}")

    return Found(seen, find_patterns(rows, operations, begin=begin))

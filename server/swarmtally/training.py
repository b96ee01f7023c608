"""Training for one project: rows from its history and rows given, and models made of them in a process of their own.

Models are `swarmtally.learning`'s, which is imported only where it is used.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio.to_thread

from swarmtally.core.scoring import score_ended
from swarmtally.domain.clock import Clock
from swarmtally.store import models
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from swarmtally.store.models import StoredModel
from swarmtally.training_rows import PagedRows, kept_row

if TYPE_CHECKING:
    from swarmtally.learning.given import Document, Given
    from swarmtally.learning.sections import Section

DEFAULT_MODEL = "performance-predictor"
"""The model that runs are predicted with when they start."""

SEED = 0


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What `neural_train` asks for. `data` are rows to learn from besides the project's own."""

    model_id: str
    pattern: str
    data: "Document | None" = None


@dataclass(frozen=True, slots=True)
class Trained:
    """A model that was trained and kept."""

    model: StoredModel
    sections: "tuple[Section, ...]"
    given: "Given | None"
    """What became of the rows that came with the call; None: none came."""
    again: bool
    """The same rows had been given before, so they were not added."""


class Training:
    """Trains the models of one project.

    Args:
        close_books: has all that ended measured.
    """

    def __init__(self, database: Database, clock: Clock, project: str, close_books: Callable[[], Awaitable[None]]):
        self._database = database
        self._clock = clock
        self._project = project
        self._close_books = close_books

    async def train(self, request: TrainRequest) -> Trained:
        """Train the next version of a model, in a process of its own that ends when this is cancelled.

        Raises:
            TrainingBroken: the process that trained it was ended.
        """
        from swarmtally.learning.sections import PATTERNS
        from swarmtally.training_process import train_in_process

        given, added = await self._give(request)
        await self._close_books()
        await score_ended(self._database, self._clock, self._project)
        now_ns = self._clock.now_ns()
        rows = PagedRows(self._database, self._project, request.model_id, PATTERNS[request.pattern], now_ns)
        text = await train_in_process(rows.pages(), request.pattern, SEED)
        sections = await anyio.to_thread.run_sync(_learned, text)
        model = StoredModel(request.model_id, 0, now_ns, request.pattern, SEED, rows.sha256(), text)
        version = await self._database.write(lambda tx: models.keep(tx, self._project, model))
        return Trained(replace(model, version=version), sections, given, given is not None and not added)

    async def _give(self, request: TrainRequest) -> "tuple[Given | None, bool]":
        """Keep the rows that came with a call; returns what became of them, and whether they were new."""
        if request.data is None:
            return None, False
        from swarmtally.learning.given import read

        given = await anyio.to_thread.run_sync(read, request.data)
        rows = await anyio.to_thread.run_sync(lambda: [kept_row(line, row) for line, row in given.rows])
        if not rows:
            return given, True

        async def unit(tx: Connection) -> bool:
            return await models.give(tx, self._project, request.model_id, given.batch, rows, self._clock.now_ns())

        return given, await self._database.write(unit)


def _learned(text: str) -> "tuple[Section, ...]":
    from swarmtally.learning.sections import from_document

    return tuple(from_document(json.loads(text)))

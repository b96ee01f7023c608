"""The rows that a project's history and what was given teach: all of them at once, or page by page for the process that
trains."""

import hashlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import fields
from functools import partial
from operator import attrgetter
from typing import TypeAlias

from swarmtally.domain.timeframe import Timeframe
from swarmtally.learning.given import encoded
from swarmtally.learning.rows import TrainingRow
from swarmtally.store import models, observations
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from swarmtally.store.models import GivenRow
from swarmtally.store.observations import Observation, Presence

ROWS_LIMIT = 100_000
"""The most own tasks, own runs and given rows that a model is trained on, the newest of each."""

PAGE = 250
"""Rows that are read and sent at once: so few that neither making them nor forgetting them holds up the event loop."""


async def training_rows(
    database: Database, project: str, timeframe: Timeframe, limit: int = ROWS_LIMIT
) -> tuple[TrainingRow, ...]:
    """The project's own tasks and runs that ended in the timeframe: at most `limit` of each, the newest, oldest first.

    Runs must have been measured (`Bookkeeper.close`).
    """

    async def unit(tx: Connection) -> tuple[TrainingRow, ...]:
        tasks = await observations.of_tasks(tx, project, timeframe, limit)
        runs = await observations.of_runs(tx, project, timeframe, limit)
        # Here and not on the event loop: a unit runs in its connection's thread.
        return tuple(sorted(map(_own_row, (*tasks, *runs)), key=lambda row: row.at_ns))

    return await database.read(unit)


_Page: TypeAlias = tuple[bytes, bytes]
"""A line of JSON, and what the digest is of."""


class PagedRows:
    """What a model is trained on, for the process that trains it: of the `levels` named the rows of `training_rows`,
    then those given for the model, all of which ended or were given until `until_ns`.

    Many rows are never objects all at once, which the garbage collector would go through while the event loop waits.
    Which own rows they are is decided at one moment; each page is read when its turn comes. Work that ended is not
    changed, but that a run under way may have got more tasks; rows deleted meanwhile are missing. The digest is of what
    was sent.
    """

    def __init__(self, database: Database, project: str, model_id: str, levels: Sequence[str], until_ns: int) -> None:
        self._database = database
        self._project = project
        self._model_id = model_id
        self._levels = levels
        self._until_ns = until_ns
        self._digest = hashlib.sha256()

    async def pages(self) -> AsyncIterator[bytes]:
        """Lines of JSON, each a list of rows (`swarmtally.learning.given.encoded`)."""
        async for page in self._own():
            yield page
        async for page in self._given():
            yield page

    def sha256(self) -> str:
        """Of the rows of the pages so far (`swarmtally.learning.given.digest`)."""
        return self._digest.hexdigest()

    async def _own(self) -> AsyncIterator[bytes]:
        ended = Timeframe(0, self._until_ns)
        pages = await self._database.read(
            lambda tx: observations.pages(tx, self._project, self._levels, ended, ROWS_LIMIT, PAGE)
        )
        presences: dict[str, Presence] = {}

        async def unit(tx: Connection, keys: str) -> _Page:
            return _page(map(_own_row, await observations.of_page(tx, keys, presences)))

        for keys in pages:
            yield self._sent(await self._database.read(partial(unit, keys=keys)))

    async def _given(self) -> AsyncIterator[bytes]:
        begin = await self._database.read(
            lambda tx: models.first_given(tx, self._project, self._model_id, self._until_ns, ROWS_LIMIT)
        )
        place = 0

        async def unit(tx: Connection) -> tuple[_Page, int, int]:
            found, after = await models.given_after(tx, self._project, self._model_id, self._until_ns, begin, PAGE)
            rows = given_rows(found, place)
            return _page(row for row in rows if row.level in self._levels), after, len(rows)

        read = PAGE
        while read == PAGE:
            line, begin, read = await self._database.read(unit)
            place += read
            yield self._sent(line)

    def _sent(self, page: _Page) -> bytes:
        # Here and not where it was read: a reading may have to begin again.
        line, digested = page
        self._digest.update(digested)
        return line


def _page(rows: Iterable[TrainingRow]) -> _Page:
    made = [encoded(row) for row in rows]
    return b"[" + b",".join(made) + b"]\n", b"".join(made)


_OBSERVED = tuple(field.name for field in fields(Observation))
_SEEN = attrgetter(*_OBSERVED)


def _own_row(seen: Observation) -> TrainingRow:
    return TrainingRow(source="own", **dict(zip(_OBSERVED, _SEEN(seen), strict=True)))


def given_rows(kept: Sequence[GivenRow], before: int = 0) -> tuple[TrainingRow, ...]:
    """Rows that were kept, in the order they were given; that is the place of those that do not say when they ended,
    from 1 or after those `before`."""
    return tuple(map(_given_row, enumerate(kept, before + 1)))


def _given_row(placed: tuple[int, GivenRow]) -> TrainingRow:
    place, row = placed
    named = {name: getattr(row, name) for name in GivenRow._fields if name not in ("line", "at_ns")}
    return TrainingRow(source="given", at_ns=place if row.at_ns is None else row.at_ns, **named)


def kept_row(line: int, row: TrainingRow) -> GivenRow:
    """A row that was given, as it is kept."""
    named = {name: getattr(row, name) for name in GivenRow._fields if name not in ("line", "at_ns")}
    # A row that does not say when it ended has its line in place of that.
    return GivenRow(line=line, at_ns=None if row.at_ns == line else row.at_ns, **named)

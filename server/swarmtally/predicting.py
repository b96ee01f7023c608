"""What a project's models say: of questions, of runs that start, of tasks that are to be put in order. Predictions are
kept and compared with what happened.

Models are `swarmtally.learning`'s, which is imported only where it is used.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import structlog

from swarmtally.core.scoring import score_ended
from swarmtally.domain.clock import Clock
from swarmtally.domain.errors import InvalidInput, NotFound, SwarmError
from swarmtally.domain.timeframe import Timeframe
from swarmtally.store import models, observations
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from swarmtally.store.models import Coverage, NewPrediction, StoredModel
from swarmtally.store.observations import Memory, Price
from swarmtally.training import DEFAULT_MODEL

if TYPE_CHECKING:
    from swarmtally.learning.answers import Prediction
    from swarmtally.learning.curve import Curve
    from swarmtally.learning.recommending import Advice, Expected
    from swarmtally.learning.rows import Target
    from swarmtally.learning.sections import Section
    from swarmtally.learning.understanding import Reading

log = structlog.get_logger(__name__)

FORESEEN = 50
"""The most tasks of a run that predictions are kept of, the first."""

SCORED = 50
"""Coverage is told of so many predictions, the newest."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a model says to a question, and what else is known about it."""

    model: StoredModel
    reading: "Reading"
    advice: "Advice"
    price: Price | None
    memory: Memory | None
    coverage: Coverage
    stored: int
    """Figures that were kept, to be compared with what happens."""
    as_of_ns: int


@dataclass(frozen=True, slots=True)
class _Parsed:
    """The newest default model as it was last seen: its version, itself, and what it says; no sections where it cannot
    be read."""

    version: tuple[int, int] | None
    model: StoredModel | None
    sections: "Sequence[Section]"


class Predicting:
    """Asks the models of one project. The newest default model is parsed once and kept.

    Args:
        close_books: has all that ended measured.
    """

    def __init__(self, database: Database, clock: Clock, project: str, close_books: Callable[[], Awaitable[None]]):
        self._database = database
        self._clock = clock
        self._project = project
        self._close_books = close_books
        self._parsed = _Parsed(None, None, ())
        self._parsing = anyio.Lock()

    async def model(self) -> "Sequence[Section]":
        """The newest version of the default model; none where there is no such model, or it cannot be read, which is
        logged once. One small read where nothing changed.

        Raises:
            StoreError: the database cannot be read.
        """
        return (await self._default()).sections

    async def _default(self) -> "_Parsed":
        async with self._parsing:
            version = await self._database.read(lambda tx: models.newest_version(tx, self._project, DEFAULT_MODEL))
            if version != self._parsed.version:
                found = await self._database.read(lambda tx: models.newest(tx, self._project, DEFAULT_MODEL))
                self._parsed = _Parsed(version, found, await self._read(found) if found else ())
            return self._parsed

    async def _read(self, model: StoredModel) -> "Sequence[Section]":
        try:
            return await anyio.to_thread.run_sync(_sections, model)
        except (SwarmError, ValueError) as error:
            log.warning("model.unreadable", model_id=model.model_id, version=model.version, error=str(error))
            return ()

    async def task_durations(self, tasks: Sequence[Mapping[str, Any]]) -> "list[Prediction | None]":
        """How long tasks take, in seconds, as the project's own tasks taught the default model.

        Args:
            tasks: what is known of each: settings by the names of `swarmtally.learning.rows.FACTORS`, and `text`.

        Returns None for those of which it refuses to say, or has no skill, and where there is no model. Never raises
        what the caller could do without.
        """
        nothing: list[Prediction | None] = [None] * len(tasks)
        try:
            sections = await self.model()
            if not sections or not tasks:
                return nothing
            return await anyio.to_thread.run_sync(_durations, sections, tasks)
        except (SwarmError, ValueError) as error:
            log.warning("expectation.failed", error=str(error))
            return nothing

    async def durations_beside(
        self, shared: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]]
    ) -> "list[float | None]":
        """How long tasks of one run take beside each other, in seconds, for their order alone: see
        `swarmtally.learning.expecting.durations_beside`. None as in `task_durations`; never raises either."""
        nothing: list[float | None] = [None] * len(tasks)
        try:
            sections = await self.model()
            if not sections or not tasks:
                return nothing
            return await anyio.to_thread.run_sync(_beside, sections, shared, tasks)
        except (SwarmError, ValueError) as error:
            log.warning("expectation.failed", error=str(error))
            return nothing

    async def enough_agents(self) -> "Curve | None":
        """How throughput grew with the agents of the project's own runs (given rows may be another machine's): the
        curve that rests on most rows, which may only say why it does not tell; None where there is no model. Never
        raises what the caller could do without."""
        try:
            sections = await self.model()
        except SwarmError as error:
            log.warning("expectation.failed", error=str(error))
            return None
        own = (curve for section in sections if section.source == "own" for curve in section.curves.values())
        return max(own, key=lambda curve: curve.rows, default=None)

    async def predict(self, question: str | Mapping[str, Any], model_id: str) -> Predicted:
        """What the newest version of a model says to a question. Where that names a run or a task that has not ended,
        what is said of it is kept and compared with what happens.

        Raises:
            NotFound: there is no such model, run or task.
        """
        from swarmtally.learning.recommending import advise
        from swarmtally.learning.understanding import understand

        await self._close_books()
        await score_ended(self._database, self._clock, self._project)
        model = await self._find(model_id)
        sections = await anyio.to_thread.run_sync(_sections, model)
        reading = await self._about(understand(question, _names(sections)))
        now_ns = self._clock.now_ns()

        async def unit(tx: Connection) -> tuple[Price | None, Memory | None, Coverage]:
            everything = Timeframe(0, now_ns)
            return (
                await observations.price(tx, self._project, reading.settings.get("model"), everything),
                await observations.memory(tx, self._project),
                await models.coverage(tx, self._project, model_id, "duration_s", SCORED),
            )

        price, memory, coverage = await self._database.read(unit)
        per_token = price.cost_nanousd / 1e9 / price.tokens if price else None
        advice = await anyio.to_thread.run_sync(advise, sections, reading, per_token)
        run_id = reading.settings.get("run_id")
        stored = 0
        if run_id is not None:
            stored = await self._keep(model, _figures(advice.expected, run_id, reading.settings.get("task_id", "")))
        return Predicted(model, reading, advice, price, memory, coverage, stored, now_ns)

    async def foresee(self, run_id: str) -> None:
        """Keep what the default model says of a run that was started, and of its first tasks, as far as it can tell.
        Never raises what the run could do without."""
        try:
            default = await self._default()
            if default.model is None or not default.sections:
                return
            subjects = await self._database.read(lambda tx: self._subjects(tx, run_id))
            found = await anyio.to_thread.run_sync(_foreseen, default.sections, run_id, subjects)
            await self._keep(default.model, found)
        except (SwarmError, ValueError) as error:
            log.warning("prediction.failed", run_id=run_id, error=str(error))

    async def _subjects(self, tx: Connection, run_id: str) -> dict[str | None, dict[str, Any]]:
        """What is known of a run (None) and of its first tasks, by their ids."""
        ids = (None, *await models.first_tasks(tx, run_id, FORESEEN))
        found = {task_id: await models.subject(tx, self._project, run_id, task_id) for task_id in ids}
        return {task_id: subject for task_id, subject in found.items() if subject is not None}

    async def _keep(self, model: StoredModel, figures: Sequence[NewPrediction]) -> int:
        now_ns = self._clock.now_ns()
        if not figures:
            return 0
        return await self._database.write(lambda tx: models.predict(tx, self._project, model, figures, now_ns))

    async def _about(self, reading: "Reading") -> "Reading":
        """The question with what is known of the run or task it names."""
        from swarmtally.learning.understanding import with_subject

        run_id, task_id = reading.settings.get("run_id"), reading.settings.get("task_id")
        if run_id is None and task_id is None:
            return reading
        if run_id is None:
            run_id = await self._database.read(lambda tx: models.run_of(tx, self._project, str(task_id)))
        return with_subject(reading, str(run_id), await self._subject(str(run_id), task_id))

    async def _subject(self, run_id: str, task_id: str | None) -> dict[str, Any]:
        found = await self._database.read(lambda tx: models.subject(tx, self._project, run_id, task_id))
        if found is None:
            raise NotFound(f"project {self._project} has no {task_id or run_id}; runs are listed by run_status")
        return found

    async def _find(self, model_id: str) -> StoredModel:
        async def unit(tx: Connection) -> tuple[StoredModel | None, list[str]]:
            return await models.newest(tx, self._project, model_id), await models.names(tx, self._project)

        found, known = await self._database.read(unit)
        if found is None:
            have = f"it has {', '.join(known[:10])}" if known else "it has none"
            raise NotFound(
                f"project {self._project} has no model {model_id!r} ({have}); train it with neural_train"
                f" --model-id {model_id}"
            )
        return found


def _sections(model: StoredModel) -> "list[Section]":
    from swarmtally.learning.sections import from_document

    try:
        return from_document(json.loads(model.document))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            f"model {model.model_id} version {model.version} cannot be read ({error}); train it again with neural_train"
        ) from None


def _durations(sections: "Sequence[Section]", tasks: Sequence[Mapping[str, Any]]) -> "list[Prediction | None]":
    from swarmtally.learning.expecting import expected_durations, own_tasks

    predictor = own_tasks(sections)
    return [None] * len(tasks) if predictor is None else expected_durations(predictor, tasks)


def _beside(
    sections: "Sequence[Section]", shared: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]]
) -> "list[float | None]":
    from swarmtally.learning.expecting import durations_beside, own_tasks

    predictor = own_tasks(sections)
    return [None] * len(tasks) if predictor is None else durations_beside(predictor, shared, tasks)


def _names(sections: "Sequence[Section]") -> dict[str, frozenset[str]]:
    """The names that were seen, by factor."""
    found: dict[str, frozenset[str]] = {}
    for section in sections:
        for factor, names in section.categories.items():
            found[factor] = found.get(factor, frozenset()) | frozenset(names)
    return found


def _foreseen(
    sections: "Sequence[Section]", run_id: str, subjects: Mapping[str | None, Mapping[str, Any]]
) -> list[NewPrediction]:
    from swarmtally.learning.recommending import expect
    from swarmtally.learning.understanding import Reading

    found = []
    for task_id, subject in subjects.items():
        known = {name: value for name, value in subject.items() if value is not None}
        found += _figures(expect(sections, Reading(known, {}, ())), run_id, task_id or "")
    return found


def _figures(expected: "Mapping[Target, Expected]", run_id: str, task_id: str) -> list[NewPrediction]:
    from swarmtally.learning.answers import Prediction

    made = {target: each.answer.expected for target, each in expected.items() if isinstance(each.answer, Prediction)}
    return [
        NewPrediction(run_id, task_id, target, one.value, one.low, one.high, one.level) for target, one in made.items()
    ]

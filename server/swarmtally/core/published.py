"""What a project holds as clients find it by address: the list, a deliverable, a timeline, and what has changed."""

from collections.abc import Collection
from dataclasses import dataclass

from swarmtally.core.memory import ARTEFACTS
from swarmtally.domain.addresses import (
    Address,
    CurrentSwarm,
    DeliverableAddress,
    MemoryAddress,
    PerformanceReport,
    RunAddress,
    TimelineAddress,
)
from swarmtally.domain.clock import Clock
from swarmtally.domain.errors import NotFound
from swarmtally.domain.files import media_type
from swarmtally.domain.run import Run
from swarmtally.domain.task import Artefact, Task
from swarmtally.store import artefacts, history, runs, tasks
from swarmtally.store import published as rows
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from swarmtally.store.published import ListedDeliverable, ListedRun, WorkSeen

TIMELINE_TASKS = 1_000
"""The most tasks a timeline shows."""

Listed = ListedRun | ListedDeliverable


@dataclass(frozen=True, slots=True)
class Place:
    """How far the pages of the list have come: the last that was listed. `ordinal` is -1 for a run itself."""

    created_ns: int
    run_id: str
    ordinal: int


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the list."""

    items: tuple[Listed, ...]
    following: Place | None
    """None on the last."""
    current_swarm: bool
    """Whether the project has one."""


@dataclass(frozen=True, slots=True)
class Deliverable:
    """A text that a task delivered, or one of its files."""

    text: str
    media_type: str
    memory_key: str
    files: tuple[str, ...]
    """Paths of the files that are part of the text."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run's first tasks in order and their attempts, as they stood at `as_of_ns`."""

    run: Run
    total: int
    """Tasks of the run known so far."""
    tasks: tuple[Task, ...]
    attempts: dict[str, tuple[history.Attempt, ...]]
    """Of each task that has any, in order."""
    as_of_ns: int


@dataclass(frozen=True, slots=True)
class TheList:
    """The list itself, where it is looked for changes."""


Watched = Address | TheList


class Published:
    """One project's."""

    def __init__(self, database: Database, clock: Clock, project: str) -> None:
        self._database = database
        self._clock = clock
        self._project = project
        self._work: WorkSeen | None = None

    async def page(self, after: Place | None, limit: int) -> Page:
        """The next `limit` of the list: runs, newest first, each that ended followed by what it delivered."""

        async def unit(tx: Connection) -> Page:
            found = await rows.runs_from(
                tx, self._project, after.created_ns if after else None, after.run_id if after else "", limit + 1
            )
            items: list[Listed] = []
            places: list[Place] = []
            for run in found:
                last = after.ordinal if after and run.run_id == after.run_id else None
                if last is None:
                    items.append(run)
                    places.append(Place(run.created_ns, run.run_id, -1))
                if run.finished_ns is not None and len(items) <= limit:
                    made = await rows.deliverables(tx, run.run_id, -1 if last is None else last, limit + 1 - len(items))
                    items += made
                    places += [Place(run.created_ns, run.run_id, each.ordinal) for each in made]
                if len(items) > limit:
                    break
            more = len(items) > limit
            swarm = await rows.has_current_swarm(tx, self._project)
            return Page(tuple(items[:limit]), places[limit - 1] if more else None, swarm)

        return await self._database.read(unit)

    async def deliverable(self, run_id: str, path: str) -> Deliverable:
        """What is found there; see `DeliverableAddress`.

        Raises:
            NotFound: nothing is.
        """

        async def unit(tx: Connection) -> Deliverable:
            for made in await artefacts.by_path(tx, self._project, run_id, path):
                text, kind = _part(made, path)
                if text is not None:
                    files = tuple(file.path for file in made.files) if kind is None else ()
                    return Deliverable(text, kind or "text/markdown", made.memory_key, files)
            if await runs.get(tx, self._project, run_id) is None:
                raise NotFound(f"project {self._project} has no run {run_id!r}; list them with run_status")
            raise NotFound(f"run {run_id} has delivered no {path!r}; run_status names what it has")

        return await self._database.read(unit)

    async def timeline(self, run_id: str) -> Timeline:
        """The run's tasks and attempts with their times.

        Raises:
            NotFound: the project has no such run.
        """

        async def unit(tx: Connection) -> Timeline:
            now_ns = self._clock.now_ns()
            run = await runs.get(tx, self._project, run_id)
            if run is None:
                raise NotFound(f"project {self._project} has no run {run_id!r}; list them with run_status")
            counts = (await tasks.counts(tx, [run_id]))[run_id]
            return Timeline(
                run=run,
                total=sum(counts.values()),
                tasks=tuple(await tasks.of_run(tx, run_id, TIMELINE_TASKS)),
                attempts=await history.attempts_of_run(tx, run_id, now_ns),
                as_of_ns=now_ns,
            )

        return await self._database.read(unit)

    async def versions(self, watched: Collection[Watched]) -> dict[Watched, str]:
        """A short text for each that is there; it differs from an earlier one when what is found there does."""

        async def unit(tx: Connection) -> dict[Watched, str]:
            return await self._versions(tx, watched)

        return await self._database.read(unit)

    async def _versions(self, tx: Connection, watched: Collection[Watched]) -> dict[Watched, str]:
        now_ns = self._clock.now_ns()
        found: dict[Watched, str] = {}
        run_ids = {each.run_id for each in watched if isinstance(each, RunAddress | TimelineAddress)}
        of_runs = await rows.run_versions(tx, self._project, run_ids, now_ns) if run_ids else {}
        entries = {(each.namespace, each.key) for each in watched if isinstance(each, MemoryAddress)}
        of_entries = await rows.entry_versions(tx, self._project, entries, now_ns)
        paths = {(each.run_id, each.path) for each in watched if isinstance(each, DeliverableAddress)}
        of_paths = await rows.deliverable_versions(tx, self._project, paths)
        for each in watched:
            match each:
                case RunAddress(run_id) | TimelineAddress(run_id):
                    version = of_runs.get(run_id)
                case MemoryAddress(namespace, key):
                    version = of_entries.get((namespace, key)) or await self._of_memory(tx, key)
                case DeliverableAddress(run_id, path):
                    version = of_paths.get((run_id, path))
                case CurrentSwarm():
                    version = await rows.swarm_version(tx, self._project, now_ns)
                case PerformanceReport():
                    self._work = await rows.work_seen(tx, self._project, self._work)
                    version = str(self._work.counted)
                case TheList():
                    version = await rows.list_version(tx, self._project)
            if version is not None:
                found[each] = version
        return found

    async def _of_memory(self, tx: Connection, key: str) -> str | None:
        """Of what memory shows under the key of a deliverable."""
        parts = key.split("/", 3)
        if len(parts) < 4 or not key.startswith(ARTEFACTS):
            return None
        _, run_id, phase, name = parts
        place = (run_id, f"{phase}/{name}")
        return (await rows.deliverable_versions(tx, self._project, [place])).get(place)


def _part(made: Artefact, path: str) -> tuple[str | None, str | None]:
    """The text under that path and, of a file, its type; no text where the deliverable has no such file."""
    if path in (made.name, f"{made.phase}/{made.name}"):
        return made.whole, None
    inside = path.removeprefix(f"{made.name}/")
    return next(((file.text, media_type(file.path)) for file in made.files if file.path == inside), (None, None))

"""How long tasks are expected to take before they start, and on what that rests: on what the project's default model
says, where it has skill and does not refuse; else on what finished tasks took; else on nothing."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio.from_thread
import structlog

from swarmtally.core.ports import BackendInfo, Planner
from swarmtally.domain.clock import NS_PER_S, Clock
from swarmtally.domain.errors import SwarmError
from swarmtally.domain.ordering import ordered
from swarmtally.domain.run import BackendChoice, NewRun, Run, RunKind
from swarmtally.domain.swarm import Swarm
from swarmtally.domain.task import Expansion, NewTask, Task
from swarmtally.domain.topology import Shape
from swarmtally.insight.durations import MODEL, ROLE, Estimate, History
from swarmtally.predicting import Predicting
from swarmtally.sparc.plan import initial_shape
from swarmtally.store import agents, durations, models, runs
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from swarmtally.store.observations import TEXT_LIMIT

if TYPE_CHECKING:
    from swarmtally.insight.balancing import Wanted

log = structlog.get_logger(__name__)

Settings: TypeAlias = Mapping[str, Any]
"""By the names of `swarmtally.learning.rows.FACTORS`; None is what is not known."""

HISTORY = 1_000
"""The newest finished tasks of the project that expectations rest on: read with every start, so not more."""

_SHARED = ("topology", "strategy", "backend", "model", "concurrency", "agents")
"""What all tasks of a run have in common, beside how many they are."""


@dataclass(frozen=True, slots=True)
class Expectations:
    """What tasks of one project are expected to take.

    A model is asked with what is known before the start, by the names and in the meaning of the rows it was trained on
    (`store.observations`): the agents are those in the swarm now, and what is not decided yet is left out.
    """

    database: Database
    clock: Clock
    project: str
    predicting: Predicting

    async def of_run(
        self, plan: Sequence[NewTask], new: NewRun, swarm: Swarm, info: BackendInfo | None
    ) -> Sequence[NewTask]:
        """The plan of a run that is about to start, with how long its tasks are expected to take where that is not
        given.

        Args:
            info: of the backend that does the work; None: clients do.
        """
        if len(plan) < 2:
            return plan  # nothing to put in order
        # What a task makes possible belongs to the run too.
        size = None if any(task.expands for task in plan) else len(plan)
        concurrency = info.max_parallel if info else None
        told = await self._told(plan, lambda: self._in_swarm(swarm, new.shape, new.backend, concurrency, size))
        return await self._expecting(plan, told)

    async def of_more(self, plan: Sequence[NewTask], run: Run, topology: str | None) -> Sequence[NewTask]:
        """The same of tasks that come to a run under way.

        Args:
            topology: that the run takes with them; None: it has one.
        """
        if len(plan) < 2:
            return plan
        told = await self._told(plan, lambda: self._in_run(run, topology, len(plan)))
        return await self._expecting(plan, told)

    async def of_queue(
        self, wanted: "Sequence[Wanted]", swarm: Swarm, choice: BackendChoice | None
    ) -> dict[str, Estimate]:
        """By id, what the model says of tasks whose mode and text are known and whose duration was not given.

        Args:
            choice: what would do the work; None: that is not known.
        """
        shape, _ = initial_shape(swarm.topology, RunKind.QUEUE, len(wanted))
        asked = [task for task in wanted if task.duration_ns is None and task.mode is not None and task.text]
        if not asked:
            return {}
        shared = await self._shared(lambda: self._in_swarm(swarm, shape, choice, None, len(wanted)))
        if shared is None:
            return {}
        settings = [{**shared, "mode": task.mode, "text": (task.text or "")[:TEXT_LIMIT]} for task in asked]
        found = await self.predicting.task_durations(settings)
        return {
            task.id: Estimate(_ns(one.expected.value), one.n, MODEL)
            for task, one in zip(asked, found, strict=True)
            if one is not None
        }

    async def _told(self, plan: Sequence[NewTask], settings: Callable[[], Awaitable[Settings]]) -> dict[str, int]:
        """By key, what the model says of the tasks nobody gave a duration, in nanoseconds."""
        asked = [task for task in plan if task.expected_ns is None]
        shared = await self._shared(settings) if asked else None
        if shared is None:
            return {}
        own = [{"mode": task.mode, "text": task.text[:TEXT_LIMIT]} for task in asked]
        found = await self.predicting.durations_beside(shared, own)
        return {task.key: _ns(seconds) for task, seconds in zip(asked, found, strict=True) if seconds is not None}

    async def _shared(self, settings: Callable[[], Awaitable[Settings]]) -> Settings | None:
        """What is known of what all tasks share; None where there is no model to ask. Never raises: plans and runs can
        do without."""
        try:
            if not await self.predicting.model():
                return None
            return {name: value for name, value in (await settings()).items() if value is not None}
        except SwarmError as error:
            log.warning("expectation.failed", error=str(error))
            return None

    async def _expecting(self, plan: Sequence[NewTask], known: Mapping[str, int]) -> Sequence[NewTask]:
        """The plan with what the model told, else the median of the project's finished tasks of the same mode, at least
        `insight.durations.MIN_ROWS` of them; else nothing is expected."""
        usual: dict[str, int] = {}
        if any(task.expected_ns is None and task.key not in known for task in plan):
            rows = await self.database.read(
                lambda tx: durations.of_modes(tx, self.project, self.clock.now_ns(), HISTORY)
            )
            history = History.of(rows)
            found = {mode: history.duration(mode) for mode in {task.mode for task in plan}}
            # What other modes took says nothing of which task should go first.
            usual = {mode: one.duration_ns for mode, one in found.items() if one and one.basis == ROLE}
        return tuple(
            replace(task, expected_ns=known.get(task.key, usual.get(task.mode))) if task.expected_ns is None else task
            for task in plan
        )

    async def _in_swarm(
        self, swarm: Swarm, shape: Shape | None, choice: BackendChoice | None, concurrency: int | None, size: int | None
    ) -> Settings:
        """What the tasks of a run that is about to start have in common."""
        count = await self.database.read(lambda tx: agents.count(tx, swarm.swarm_id))
        return {
            "topology": None if shape is None else str(shape),
            "strategy": str(swarm.strategy),
            "backend": choice.name if choice else None,
            "model": choice.model if choice else None,
            "concurrency": concurrency,
            "agents": count or None,
            "tasks": size,
        }

    async def _in_run(self, run: Run, topology: str | None, more: int) -> Settings:
        """What tasks that come to a run under way have in common."""

        async def unit(tx: Connection) -> dict[str, Any] | None:
            return await models.subject(tx, self.project, run.run_id, None)

        found = await self.database.read(unit) or {}
        known = {name: found.get(name) for name in _SHARED}
        return {**known, "topology": topology or found.get("topology"), "tasks": (found.get("tasks") or 0) + more}


@dataclass(frozen=True, slots=True)
class ForesightedPlanner:
    """A planner whose tasks have the order in which they should start (`swarmtally.core.ports.Planner`)."""

    planner: Planner
    expectations: Expectations

    def expand(self, run: Run, task: Task, output: str) -> Expansion:
        """What the planner says, in order. In a worker thread: the database is asked on the event loop."""
        made = self.planner.expand(run, task, output)
        if len(made.tasks) < 2:
            return made
        shape = None if made.shape is None else str(made.shape)
        plan = anyio.from_thread.run(self.expectations.of_more, made.tasks, run, shape)
        places = anyio.from_thread.run(self.expectations.database.read, lambda tx: runs.places(tx, run.run_id))
        return replace(made, tasks=ordered(plan, places)) if places else made


def _ns(seconds: float) -> int:
    return max(1, round(seconds * NS_PER_S))

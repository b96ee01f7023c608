"""What the recorded rows say: the operations of `swarmtally.insight` for one project.

Each imports what it needs when it is called, so that a memory command in the shell stays fast.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio.to_thread

from swarmtally.core.scoring import score_ended
from swarmtally.domain.clock import Clock
from swarmtally.domain.run import RunKind
from swarmtally.domain.swarm import Swarm
from swarmtally.store.database import Database

if TYPE_CHECKING:
    from swarmtally.core.bookkeeping import Bookkeeper
    from swarmtally.domain.health import Finding
    from swarmtally.insight.balancing import Balance, Wanted
    from swarmtally.insight.durations import Estimate
    from swarmtally.insight.health import Health
    from swarmtally.insight.health_limits import Limits
    from swarmtally.insight.monitor import Monitor
    from swarmtally.insight.performance import Report
    from swarmtally.insight.tokens import Tokens
    from swarmtally.store.tokens import Group


@dataclass(frozen=True, slots=True)
class PerformanceRequest:
    """What `performance_report` asks for: a timeframe up to `as_of` (ISO 8601; None: now), of a swarm or of all.

    `explain` names figures whose query is wanted; `runs` and `tasks` say how many of them are listed.
    """

    timeframe: str
    swarm_id: str | None = None
    as_of: str | None = None
    explain: tuple[str, ...] = ()
    runs: int = 0
    tasks: int = 0


@dataclass(frozen=True, slots=True)
class Performance:
    """A report and the moment it is of."""

    report: "Report"
    as_of_ns: int


@dataclass(frozen=True, slots=True)
class TokensRequest:
    """What `token_usage` asks for: calls opened in a timeframe up to `as_of` (ISO 8601; None: now), of a swarm or of
    all, of one kind of runs or of all."""

    timeframe: str
    kind: RunKind | None
    group: "Group"
    swarm_id: str | None = None
    as_of: str | None = None


class Analysis:
    """Reads what is recorded, and changes nothing but the measures and outcomes of predictions that reports rest on.

    Args:
        books: gives who measures runs that ended.
        reach: says whether the backend that this process would use is there.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        project: str,
        books: "Callable[[], Bookkeeper]",
        reach: "Callable[[], Awaitable[Finding]]",
    ) -> None:
        self._database = database
        self._clock = clock
        self._project = project
        self._books = books
        self._reach = reach
        self._began_ns = (clock.now_ns(), clock.monotonic_ns())

    async def performance(self, request: PerformanceRequest) -> Performance:
        """The figures of the project's recorded rows; see `swarmtally.insight.performance`.

        Raises:
            InvalidInput: the timeframe, the moment or a figure's name means nothing.
            NotFound: the project has and had no such swarm.
        """
        from swarmtally.insight.performance import report
        from swarmtally.insight.window import window_of

        window = window_of(request.timeframe, request.as_of, self._clock.now_ns())
        await self._books().close()
        await score_ended(self._database, self._clock, self._project)
        found = await report(
            self._database,
            self._project,
            request.swarm_id,
            window,
            explain=request.explain,
            runs=request.runs,
            tasks=request.tasks,
        )
        return Performance(found, window.until_ns)

    async def tokens(self, request: TokensRequest) -> "Tokens":
        """What the project's calls used, cost and saved; see `swarmtally.insight.tokens`.

        Raises:
            InvalidInput: the timeframe or the moment means nothing.
            NotFound: the project has and had no such swarm.
        """
        from swarmtally.insight.tokens import usage
        from swarmtally.insight.window import window_of

        window = window_of(request.timeframe, request.as_of, self._clock.now_ns())
        await self._books().close()
        return await usage(self._database, self._project, request.swarm_id, window, request.kind, request.group)

    async def lone_calls(self, run_id: str) -> tuple[int, str | None]:
        """How many calls of the run's model are known to have run alone, and what one takes then; None: too few."""
        from swarmtally.insight.performance import lone_calls

        return await lone_calls(self._database, self._project, run_id, self._clock.now_ns())

    async def monitor(self) -> "Monitor":
        """Looks at the project's swarms again and again."""
        from swarmtally.core.resources import ResourceProbe
        from swarmtally.insight.monitor import Monitor

        probe = await anyio.to_thread.run_sync(ResourceProbe)
        return Monitor(self._database, self._clock, self._project, probe)

    def health(self, limits: "Limits | None" = None) -> "Health":
        """The checks of this process and of what it depends on."""
        from swarmtally.insight.health import Health
        from swarmtally.insight.health_limits import Limits
        from swarmtally.insight.surroundings import Beginning

        began = Beginning(*self._began_ns)
        return Health(self._database, self._clock, self._project, began, self._reach, limits or Limits())

    async def balance(self, swarm: Swarm, wanted: Sequence["Wanted"], expected: Mapping[str, "Estimate"]) -> "Balance":
        """Which agent of the swarm takes which task when; nothing is changed.

        Args:
            expected: how long a model says that tasks take, by id.

        Raises:
            SwarmError: something about the tasks is wrong, or there is no swarm or agent for them.
        """
        from swarmtally.insight import balancing

        return await balancing.balance(self._database, self._clock, swarm, wanted, expected)

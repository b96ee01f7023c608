"""How long runs take beside the shortest schedule there is (OR-tools CP-SAT), where it is known how long tasks take:
the real scheduler over a clock that moves on when nothing can start, and a few runs by the machine's clock."""

import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
from ortools.sat.python import cp_model

from benchmarks.durable_tasks import CHOICE, NoPlanner, NoShelf, TextPacker
from benchmarks.task_graphs import FAMILIES, Instance, instance
from swarmtally.core import owner
from swarmtally.core.attempt import Workshop
from swarmtally.core.ports import Backend, BackendInfo, Prompt, Reply
from swarmtally.core.runs import Runs
from swarmtally.core.scheduler import Scheduler
from swarmtally.core.swarms import Swarms
from swarmtally.domain import ordering
from swarmtally.domain.clock import Clock, SystemClock
from swarmtally.domain.ids import id_factory
from swarmtally.domain.retry import RetryPolicy
from swarmtally.domain.run import BackendChoice, NewRun, RunKind
from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.domain.task import NewTask, remaining_paths
from swarmtally.domain.usage import TokenUsage
from swarmtally.store import location
from swarmtally.store.database import Database, open_database

LIMIT = 1.01
"""Makespan / optimum, at most."""

NEARLY = 1.001
"""An optimum that is at most so many times what is proven counts as known."""

SEED_LIMIT = 0.99
"""Bound / makespan of the seed's example, at least."""

SEED_S = (45, 42, 38, 41)
"""Its tasks; each has an agent of its own."""

SCALE = 100
"""By the machine's clock tasks take a hundredth."""

VIRTUAL_NS = 1_000
"""What a millisecond is where the clock is moved: runs end before any lease does."""

LONGER = 40
"""A search so many times as long tells whether a longer one would have found more."""


@dataclass(frozen=True)
class Measured:
    """What came of one instance, in ms."""

    instance: Instance
    ours: int
    plain: int
    """Without expectations."""
    chains: int
    """By expected critical path alone, not improved."""
    optimum: int
    """The best known; never longer than ours."""
    bound: int
    """What no schedule can be shorter than."""

    @property
    def ratio(self) -> float:
        return self.ours / self.optimum

    @property
    def undecided(self) -> bool:
        """Not longer than allowed beside the best known, and maybe beside a better one that nobody knows."""
        return self.ratio <= LIMIT < self.ours / self.bound


def run(smoke: bool) -> list[str]:
    count, executed, seconds = (2, 1, 0.5) if smoke else (60, 10, 5.0)
    lines = [
        f"makespan / optimum of {count} graphs each, {executed} of them executed: those took exactly what is given"
    ]
    above: list[Measured] = []
    with tempfile.TemporaryDirectory() as folder:
        for family in FAMILIES:
            instances = [instance(family, number) for number in range(count)]
            anyio.run(_execute, Path(folder, f"{family}.db"), instances[:executed])
            found = [_measured(given, seconds) for given in instances]
            lines += _told(family, found)
            above += [one for one in found if one.ratio > LIMIT]
        lines += _explained(above)
        lines.append(_time(count))
        lines += anyio.run(_for_real, Path(folder), smoke)
    return lines


def _told(family: str, found: Sequence[Measured]) -> list[str]:
    beyond, undecided = sum(one.ratio > LIMIT for one in found), sum(one.undecided for one in found)
    verdict = "ABOVE" if beyond else "undecided" if undecided else "within"
    proven = sum(one.optimum <= one.bound * NEARLY for one in found)
    known = f"{beyond} of {len(found)} above, {undecided} undecided; optimum known to 0.1 % of {proven}"
    known += f"; beside what is proven worst {max(one.ours / one.bound for one in found):.4f}"
    ours, chains = _spread(one.ratio for one in found), _spread(one.chains / one.optimum for one in found)
    plain = _spread(one.plain / one.optimum for one in found)
    return [
        f"{family:16} {ours}: {verdict} {LIMIT} ({known})",
        f"{'':16} by expected critical path alone {chains}; by number of tasks, expecting nothing {plain}",
    ]


def _spread(ratios: Iterable[float]) -> str:
    values = list(ratios)
    return f"worst {max(values):.4f}, median {statistics.median(values):.4f}"


def _explained(above: Sequence[Measured]) -> list[str]:
    """Of those above the limit: whether a much longer search finds an order that is not."""
    lines = []
    for one in above:
        graph = ordering.graph_of(_plan(one.instance), one.instance.agents)
        longest = ordering.improved(graph, ordering.TRIES * LONGER).makespan / VIRTUAL_NS / one.optimum
        lines.append(
            f"  above: {one.instance.name} ({len(one.instance.duration)} tasks, {one.instance.agents} agents)"
            f" {one.ratio:.4f}; a search {LONGER} times as long {longest:.4f}"
        )
    if lines:
        lines.append("  (what that does not find either, probably needs an agent to be left idle on purpose)")
    return lines


def _time(count: int) -> str:
    took = []
    for family in FAMILIES:
        for number in range(count):
            one = instance(family, number)
            plan = _plan(one)
            begun = time.process_time()
            ordering.ordered(plan, one.agents)
            took.append(time.process_time() - begun)
    return f"finding an order: median {statistics.median(took) * 1e3:.1f} ms, longest {max(took) * 1e3:.0f} ms"


def _plan(given: Instance, ns: int = VIRTUAL_NS, expecting: bool = True) -> list[NewTask]:
    return [
        NewTask(
            key=f"t{task}",
            phase="work",
            mode="coder",
            role="coder",
            text=f"t{task}",
            depends_on=tuple(f"t{other}" for other in needed),
            expected_ns=duration * ns if expecting else None,
        )
        for task, (duration, needed) in enumerate(zip(given.duration, given.before, strict=True))
    ]


async def _execute(path: Path, instances: Sequence[Instance]) -> None:
    """Have the scheduler do them, with expectations and without, and hold it to what the rule alone comes to."""
    async with Stage.opened(path) as stage:
        for given in instances:
            for plan, promised in ((_plan(given), _ours), (_plan(given, expecting=False), plain)):
                took = await stage.makespan(given, plan)
                expected = promised(given)
                assert took == expected, f"{given.name}: the scheduler took {took} ns, its rule comes to {expected}"


def _ours(given: Instance) -> int:
    return ordering.improved(ordering.graph_of(_plan(given), given.agents)).makespan


def plain(given: Instance) -> int:
    """As the scheduler hands tasks out where nothing is expected."""
    paths = remaining_paths(_plan(given, expecting=False))
    return listed(given, sorted(range(len(given.duration)), key=lambda task: (-paths[f"t{task}"], task)))


def _by_chain(given: Instance) -> int:
    return listed(given, ordering.by_chain(ordering.graph_of(_plan(given), given.agents)))


def listed(given: Instance, order: Sequence[int]) -> int:
    found = ordering.listed(ordering.graph_of(_plan(given), given.agents), order)
    assert found is not None, "without a limit there is always a schedule"
    return found.makespan


def _measured(given: Instance, seconds: float) -> Measured:
    ours, floor = _ours(given), ordering.graph_of(_plan(given), given.agents).floor
    optimum, bound = ours, floor
    if ours > floor:
        optimum, proven = (ms * VIRTUAL_NS for ms in _optimum(given, seconds))
        bound = min(optimum, max(proven, floor))
    return Measured(given, *(round(ns / VIRTUAL_NS) for ns in (ours, plain(given), _by_chain(given), optimum, bound)))


def _optimum(given: Instance, seconds: float) -> tuple[int, int]:
    """The shortest makespan CP-SAT finds in that time, beginning with ours, and what it proved to be the least, in
    ms."""
    model, size = cp_model.CpModel(), len(given.duration)
    ours = ordering.improved(ordering.graph_of(_plan(given), given.agents))
    known = ours.makespan // VIRTUAL_NS
    start = [model.new_int_var(0, known - own, "") for own in given.duration]
    spans = [model.new_fixed_size_interval_var(start[task], given.duration[task], "") for task in range(size)]
    model.add_cumulative(spans, [1] * size, given.agents)
    makespan = model.new_int_var(-(-sum(given.duration) // given.agents), known, "")
    above = _ancestors(given)
    for task in range(size):
        model.add(makespan >= start[task] + given.duration[task])
        # Implied: what must lie between two tasks takes at least as long as it takes when shared.
        below = {other for other in range(size) if task in above[other]}
        model.add(start[task] * given.agents >= sum(given.duration[other] for other in above[task]))
        rest = sum(given.duration[other] for other in below)
        model.add((makespan - start[task] - given.duration[task]) * given.agents >= rest)
        for other in below:
            between = sum(given.duration[one] for one in below & above[other])
            model.add(start[other] >= start[task] + given.duration[task] + -(-between // given.agents))
    for task in range(size):
        model.add_hint(start[task], ours.start[task] // VIRTUAL_NS)
    model.minimize(makespan)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = 2
    solver.parameters.relative_gap_limit = NEARLY - 1
    solved = solver.solve(model)
    found = round(solver.objective_value) if solved in (cp_model.OPTIMAL, cp_model.FEASIBLE) else known
    return found, -(-round(solver.best_objective_bound * 1_000) // 1_000)


def _ancestors(given: Instance) -> list[set[int]]:
    found: list[set[int]] = []
    for needed in given.before:
        found.append(set(needed).union(*(found[other] for other in needed)))
    return found


@dataclass
class MovedClock:
    """Stands still until it is moved."""

    ns: int = 1_700_000_000_000_000_000

    def now_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns


@dataclass
class MovedBackend:
    """Moves the clock on to the end of the next call whenever no other task can start. The first word of a prompt
    is its task's key."""

    clock: MovedClock
    duration_ns: dict[str, int] = field(default_factory=dict)
    needs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    agents: int = 1
    ended: set[str] = field(default_factory=set)
    calls: dict[str, tuple[int, anyio.Event]] = field(default_factory=dict)

    def prepare(self, given: Instance) -> None:
        tasks = range(len(given.duration))
        self.duration_ns = {f"t{task}": given.duration[task] * VIRTUAL_NS for task in tasks}
        self.needs = {f"t{task}": tuple(f"t{other}" for other in given.before[task]) for task in tasks}
        self.agents, self.ended = given.agents, set()

    @property
    def info(self) -> BackendInfo:
        return BackendInfo("null", "null", None, self.agents, True, "latency", 10_000, 100)

    async def execute(self, prompt: Prompt) -> Reply:
        key, over = prompt.parts[-1].partition(" ")[0], anyio.Event()
        self.calls[key] = (self.clock.ns + self.duration_ns[key], over)
        self._move()
        await over.wait()
        return Reply(key, TokenUsage(1, 1, 0, 0, 0))

    def _move(self) -> None:
        able = sum(
            key not in self.ended and all(other in self.ended for other in needs) for key, needs in self.needs.items()
        )
        if self.calls and len(self.calls) == min(self.agents, able):
            self.clock.ns = min(end for end, _ in self.calls.values())
            for key in [key for key, (end, _) in self.calls.items() if end == self.clock.ns]:
                self.ended.add(key)
                self.calls.pop(key)[1].set()
            # What is able now may be nothing new: then nobody comes to move the clock.
            self._move()

    async def aclose(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class WaitingBackend:
    """Waits as long as the prompt says, in ms."""

    agents: int

    @property
    def info(self) -> BackendInfo:
        return BackendInfo("null", "null", None, self.agents, True, "latency", 10_000, 100)

    async def execute(self, prompt: Prompt) -> Reply:
        await anyio.sleep(float(prompt.parts[-1]) / 1_000)
        return Reply("done", TokenUsage(1, 1, 0, 0, 0))

    async def aclose(self) -> None:
        """Nothing is held."""


class Stage:
    """The real store, runs and scheduler."""

    def __init__(self, database: Database, swarms: Swarms, runs: Runs, backend: Backend) -> None:
        self.database, self.swarms, self.runs, self.backend = database, swarms, runs, backend

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, path: Path, clock: Clock | None = None, backend: Backend | None = None
    ) -> "AsyncIterator[Stage]":
        moved = MovedClock()
        clock, backend, new_id = clock or moved, backend or MovedBackend(moved), id_factory()

        async def open_backend(choice: BackendChoice) -> Backend:
            return backend

        async with open_database(location.prepare(path), clock) as database, anyio.create_task_group() as group:
            shop = Workshop(database, clock, TextPacker(), NoPlanner(), RetryPolicy(), lambda: 0.5)
            scheduler = Scheduler(shop, NoShelf(), new_id)
            group.start_soon(scheduler.run)
            swarms = Swarms(database, clock, new_id, "p")
            runs = Runs(database, clock, new_id, "p", owner.this_process(), scheduler, open_backend)
            yield cls(database, swarms, runs, backend)
            group.cancel_scope.cancel()

    async def makespan(self, given: Instance, plan: Sequence[NewTask]) -> int:
        """From the first claim to the last commit, in ns, as recorded."""
        if isinstance(self.backend, MovedBackend):
            self.backend.prepare(given)
        made = await self.swarms.init(Topology.MESH, Strategy.BALANCED, given.agents, None, None)
        new = NewRun(RunKind.BATCH, "t", (), None, CHOICE)
        run_id = await self.runs.start(new, plan, made.swarm, ["coder"])
        ended = await self.runs.wait(run_id, None)
        assert ended.status == "succeeded", ended
        (row,) = await self.database.read(
            lambda tx: tx.rows(
                "SELECT MAX(committed_ns) - MIN(claimed_ns) AS took FROM attempt JOIN task USING (task_id)"
                " WHERE run_id = :run_id",
                {"run_id": run_id},
            )
        )
        return int(row["took"])


async def _for_real(folder: Path, smoke: bool) -> list[str]:
    """By the machine's clock: the seed's example, and one instance of each family beside what its order promised."""
    seed = Instance("seed", [second * 1_000 for second in SEED_S], [[] for _ in SEED_S], len(SEED_S))
    took = (await _real_s(folder / "seed.db", seed, 3 if smoke else 8))[1:]
    reached = max(SEED_S) / SCALE / statistics.median(took)
    verdict = "within" if reached >= SEED_LIMIT else "BELOW"
    shown = ", ".join(map(str, SEED_S))
    lines = [f"for real, at 1:{SCALE}: the seed's {shown} s on {len(SEED_S)} agents (bound {max(SEED_S) / SCALE} s):"]
    lines[0] += f" {statistics.median(took):.4f} s (longest {max(took):.4f}), {reached:.1%} of the bound"
    lines[0] += f" ({verdict} {SEED_LIMIT:.0%})"
    for family in () if smoke else FAMILIES:
        given = replace(instance(family, 0), agents=8)
        promised = ordering.improved(ordering.graph_of(_plan(given), given.agents)).makespan / VIRTUAL_NS / 1e3 / SCALE
        (real,) = await _real_s(folder / f"real {family}.db", given, 1)
        lines.append(
            f"for real, at 1:{SCALE}: {given.name}, {len(given.duration)} tasks on {given.agents} agents:"
            f" {real:.3f} s, promised {promised:.3f} s, ratio {real / promised:.4f}"
        )
    return lines


async def _real_s(path: Path, given: Instance, times: int) -> list[float]:
    """The makespans, in seconds, of so many runs of it one after another."""
    plan = [
        replace(task, text=str(duration / SCALE))
        for task, duration in zip(_plan(given, 1_000_000 // SCALE), given.duration, strict=True)
    ]
    async with Stage.opened(path, SystemClock(), WaitingBackend(given.agents)) as stage:
        return [await stage.makespan(given, plan) / 1e9 for _ in range(times)]

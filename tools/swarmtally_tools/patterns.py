"""What history says of how work is done."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from swarmtally.app import App
from swarmtally.domain import timeframe as frames
from swarmtally.domain.clock import iso
from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.timeframe import Timeframe
from swarmtally_tools.definition import Tool, View, tool

if TYPE_CHECKING:
    from swarmtally.learning.answers import Insufficient, Interval
    from swarmtally.learning.effects import Effect
    from swarmtally.learning.patterns import Curve, Operation, Pattern
    from swarmtally.patterns import Found, Seen

LISTED = 60
"""The most effects one answer names, and the most gaps."""

SIZES_LISTED = 30
"""The most sizes of a curve."""

OBSERVATIONAL = (
    "History is observational: whoever chose a setting may have had a reason that no row holds, and then the effect is"
    " that reason's too. To be sure, make the same runs with only that setting changed."
)

_NS_PER_MS = 1_000_000


class Action(StrEnum):
    ANALYZE = "analyze"
    LIST = "list"


class About(StrEnum):
    TASK_EXECUTION = "task_execution"
    RUN_EXECUTION = "run_execution"
    PARALLEL_EXECUTION = "parallel_execution"
    ALL = "all"


class RangeView(View):
    value: float
    """The estimate."""
    low: float
    """Where its interval begins."""
    high: float
    """Where it ends."""
    level: float
    """How often such an interval holds the truth."""


class EffectView(View):
    source: str
    """own: recorded here; given: rows given to neural_train."""
    operation: str
    """Rows of tasks or of runs."""
    target: str
    """What is affected: duration_s, tokens or success."""
    factor: str
    """What was changed."""
    level: str
    """To what; "doubled" for numbers."""
    against: str
    """From what: the most common level; for numbers the range that was seen."""
    unit: str
    """ratio: the target is multiplied by it; difference: it is added to the share of successes."""
    effect: RangeView
    """With all other recorded factors held as they are."""
    n: int
    """Rows with that level; for numbers rows that say it."""


class GapView(View):
    source: str
    """own or given."""
    operation: str
    """What it is about."""
    factor: str
    """Whose effect is not known; "all": of none."""
    level: str | None
    """Which level, where it is about one."""
    targets: list[str]
    """On what."""
    reason: str
    """Why."""
    runs_to_make: list[str]
    """What would tell."""


class SizeView(View):
    agents: int
    """At work at once: no more than tasks, or calls the backend takes."""
    runs: int
    """How many."""
    speed_up: RangeView
    """Measured throughput against that of one alone."""
    fitted: RangeView
    """The curve there."""


class CurveView(View):
    source: str
    """own or given."""
    of: str
    """runs (without pipelines), pipelines, or given."""
    rows: int
    """Runs with known agents that did not fail."""
    kinds: int | None
    """Kinds of work (mode, topology, backend, model), compared each with itself; null without a curve."""
    left_out: int | None
    """Runs whose kind was seen at one size only, or is rare among more than 50; null without a curve."""
    throughput_alone: float | None
    """Tasks a second of one agent, as fitted; null for several kinds of work."""
    sigma: RangeView | None
    """Share of the work that only one can do at a time."""
    kappa: RangeView | None
    """What keeping each other up to date costs, per pair."""
    best_agents: RangeView | None
    """n*, where throughput is greatest; null where history does not tell."""
    at_least: int | None
    """What n* is not below, where it is null."""
    enough_agents: int | None
    """Smallest number whose next agent adds under a tenth of one alone; null where that was not reached."""
    sizes: list[SizeView]
    """What was seen, at most 30 sizes."""
    reason: str | None
    """Why there is no curve, or no n*."""
    runs_to_make: list[str]
    """What would tell."""
    note: str | None
    """Where the curve does not describe the runs well."""


class OperationView(View):
    operation: str
    """Give it as operation."""
    own: int
    """Recorded rows it can be learned from."""
    given: int
    """Given rows."""
    needed: int
    """The fewest of one source that say anything."""
    ready: bool
    """Whether a source has as many."""


class PatternsView(View):
    status: str
    """ok, or insufficient_data: nothing can be said yet, see gaps and curves for the runs to make."""
    action: str
    """analyze or list."""
    operation: str
    """As asked."""
    project: str
    """Whose rows."""
    as_of: str
    """Up to when rows count; the same as_of gives the same figures."""
    since: str
    """Where the timeframe begins."""
    until: str
    """Where it ends."""
    operations: list[OperationView]
    """What there are rows for."""
    effects: list[EffectView]
    """Those whose interval lies apart from no effect first, then by size; at most 60."""
    effects_total: int
    """How many are known."""
    curves: list[CurveView]
    """How throughput grows with agents (Universal Scalability Law)."""
    gaps: list[GapView]
    """What is not known, at most 60."""
    warning: str | None
    """What effects and curves are not; null where there are none."""
    reasons: dict[str, str]
    """Why something is empty or left out."""


@tool(title="Find patterns in the history", read_only=True, idempotent=True)
async def neural_patterns(
    app: App,
    action: Annotated[Action, Field(description="analyze, or list what there are rows for")] = Action.ANALYZE,
    operation: Annotated[About, Field(description="What to look at")] = About.ALL,
    timeframe: Annotated[
        str, Field(description="What ended then: 24h, 7d, all, start/end", max_length=frames.TEXT_LIMIT)
    ] = "30d",
    as_of: Annotated[str | None, Field(description="ISO 8601; omitted: now", max_length=frames.TEXT_LIMIT)] = None,
) -> PatternsView:
    """Effect of mode, agents and other settings on duration, tokens, success, adjusted for each other, with interval
    and n. parallel_execution: the scalability curve. Own and given rows apart; else the runs to make."""
    from swarmtally.learning.patterns import Operation
    from swarmtally.patterns import find

    now_ns = app.clock.now_ns()
    # To the millisecond, so that giving it back means the same moment.
    as_of_ns = now_ns // _NS_PER_MS * _NS_PER_MS if as_of is None else frames.moment(as_of)
    if as_of_ns > now_ns:
        raise InvalidInput(f"as_of {as_of} lies in the future; leave it out for now")
    frame = Timeframe.parse(timeframe, as_of_ns)
    asked = tuple(Operation) if operation is About.ALL else (Operation(operation),)
    await app.books().close()
    found = await find(app.database, app.settings.project, frame, asked if action is Action.ANALYZE else ())
    return _view(app.settings.project, action, operation, frame, as_of_ns, found)


def _view(
    project: str, action: Action, operation: About, frame: Timeframe, as_of_ns: int, found: "Found"
) -> PatternsView:
    operations = [_operation(each, seen) for each, seen in found.seen.items()]
    effects = sorted(_effects(found.patterns.patterns), key=_weight)
    curves = [_curve(curve) for curve in found.patterns.curves]
    gaps = _gaps(found.patterns.patterns)
    told = bool(effects) or any(curve.sigma for curve in curves)
    listing = action is Action.LIST
    return PatternsView(
        status="ok" if (any(each.ready for each in operations) if listing else told) else "insufficient_data",
        action=action,
        operation=operation,
        project=project,
        as_of=iso(as_of_ns),
        since=iso(frame.since_ns),
        until=iso(frame.until_ns),
        operations=operations,
        effects=effects[:LISTED],
        effects_total=len(effects),
        curves=curves,
        gaps=gaps[:LISTED],
        warning=OBSERVATIONAL if told else None,
        reasons=_reasons(found, listing, len(effects), len(gaps)),
    )


def _reasons(found: "Found", listing: bool, effects: int, gaps: int) -> dict[str, str]:
    from swarmtally.learning.scalability import Scalability
    from swarmtally.patterns import ROWS_LIMIT

    reasons = {}
    if listing:
        reasons["effects"] = reasons["curves"] = "action list counts rows only; use action analyze"
    elif effects > LISTED:
        reasons["effects"] = f"{effects - LISTED} more are not shown; ask about one operation"
    if gaps > LISTED:
        reasons["gaps"] = f"{gaps - LISTED} more are not shown; ask about one operation"
    fitted = [curve.found for curve in found.patterns.curves if isinstance(curve.found, Scalability)]
    if any(len(each.sizes) > SIZES_LISTED for each in fitted):
        reasons["curves"] = f"the smallest {SIZES_LISTED} sizes are shown"
    if any(seen.more for seen in found.seen.values()):
        reasons["operations"] = f"only the newest {ROWS_LIMIT} tasks, runs and given rows are looked at"
    return reasons


def _operation(operation: "Operation", seen: "Seen") -> OperationView:
    from swarmtally.learning.effects import MIN_ROWS

    ready = max(seen.own, seen.given) >= MIN_ROWS
    return OperationView(operation=operation, own=seen.own, given=seen.given, needed=MIN_ROWS, ready=ready)


def _effects(patterns: "Sequence[Pattern]") -> Iterator[EffectView]:
    from swarmtally.learning.effects import Effects

    for pattern in patterns:
        if isinstance(pattern.found, Effects):
            for effect in pattern.found.effects:
                if effect.effect is not None:
                    yield _effect(pattern, effect, effect.effect)


def _effect(pattern: "Pattern", effect: "Effect", value: "Interval") -> EffectView:
    return EffectView(
        source=pattern.source,
        operation=pattern.operation,
        target=pattern.target,
        factor=effect.factor,
        level=effect.level or "doubled",
        against=effect.against or f"{effect.low} to {effect.high}",
        unit=effect.unit,
        effect=_range(value),
        n=effect.n,
    )


def _weight(effect: EffectView) -> tuple[bool, float]:
    """Sorts what is told apart from nothing first, then what is large."""
    from math import log

    nothing = 1.0 if effect.unit == "ratio" else 0.0
    size = abs(log(effect.effect.value)) if effect.unit == "ratio" else abs(effect.effect.value)
    return effect.effect.low <= nothing <= effect.effect.high, -size


def _gaps(patterns: "Sequence[Pattern]") -> list[GapView]:
    """What is not known, once for all targets that lack it for the same reason."""
    from swarmtally.learning.answers import Insufficient

    found: dict[tuple[str, str, str, str | None, Insufficient], list[str]] = {}
    for pattern in patterns:
        if isinstance(pattern.found, Insufficient):
            missing: list[tuple[str, str | None, Insufficient]] = [("all", None, pattern.found)]
        else:
            missing = [(each.factor, each.level, each.missing) for each in pattern.found.effects if each.missing]
        for factor, level, why in missing:
            found.setdefault((pattern.source, pattern.operation, factor, level, why), []).append(pattern.target)
    return [
        GapView(
            source=source,
            operation=operation,
            factor=factor,
            level=level,
            targets=targets,
            reason=why.reason,
            runs_to_make=list(why.runs_to_make),
        )
        for (source, operation, factor, level, why), targets in found.items()
    ]


def _curve(curve: "Curve") -> CurveView:
    from swarmtally.learning.answers import Insufficient

    found = curve.found
    if isinstance(found, Insufficient):
        return _no_curve(curve, found)
    return CurveView(
        source=curve.source,
        of=curve.of,
        rows=curve.rows,
        kinds=found.kinds,
        left_out=found.left_out,
        throughput_alone=found.throughput_alone,
        sigma=_range(found.sigma),
        kappa=_range(found.kappa),
        best_agents=None if found.best is None else _range(found.best),
        at_least=found.at_least,
        enough_agents=found.enough,
        sizes=[
            SizeView(agents=size.n, runs=size.rows, speed_up=_range(size.speed_up), fitted=_range(size.fitted))
            for size in found.sizes[:SIZES_LISTED]
        ],
        reason=found.reason,
        runs_to_make=list(found.runs_to_make),
        note="sizes scatter more around the curve than runs of one size do: it does not describe them well"
        if found.misfit
        else None,
    )


def _no_curve(curve: "Curve", why: "Insufficient") -> CurveView:
    return CurveView(
        source=curve.source,
        of=curve.of,
        rows=curve.rows,
        kinds=None,
        left_out=None,
        throughput_alone=None,
        sigma=None,
        kappa=None,
        best_agents=None,
        at_least=None,
        enough_agents=None,
        sizes=[],
        reason=why.reason,
        runs_to_make=list(why.runs_to_make),
        note=None,
    )


def _range(found: "Interval") -> RangeView:
    return RangeView(value=found.value, low=found.low, high=found.high, level=found.level)


TOOLS: tuple[Tool, ...] = (neural_patterns,)

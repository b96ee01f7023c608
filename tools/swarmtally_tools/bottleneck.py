"""What limited the runs, and what would change it."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from swarmtally.app import App
from swarmtally.domain import timeframe as frames
from swarmtally.domain.clock import NS_PER_S, iso
from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.timeframe import Timeframe
from swarmtally.insight.bottleneck import Analysis, Asked, analyze
from swarmtally.insight.sampled import Metric
from swarmtally.insight.study import Cause, Component, WhatIf
from swarmtally_tools.definition import Tool, View, tool

LISTED = 20
"""The most causes one answer names."""

_NS_PER_MS = 1_000_000


class Place(StrEnum):
    SWARM = "swarm"
    QUEUE = "queue"
    BACKEND = "backend"
    MEMORY = "memory"
    NETWORK = "network"
    ALL = "all"


class EvidenceView(View):
    figure: str
    """What was measured, with its unit."""
    value: float
    """As recorded."""
    threshold: float | None
    """What it is held against; null where nothing is."""
    n: int
    """How many attempts, calls or samples it is made of."""


class WhatIfView(View):
    change: str
    """What is changed in the replay."""
    predicted_makespan_s: float
    """What the runs would have taken with it, added up."""
    saved_s: float
    """What that is less than the replay with the sizes that hold by now: what was raised already is not counted."""
    command: str | None
    """Applies the change; null where nothing does, or it was applied already: see note."""
    note: str | None
    """What goes with the command, or why there is none."""


class CauseView(View):
    cause: str
    """Its name."""
    component: str
    """Where it lies."""
    summary: str
    """What happened, in a sentence."""
    seconds_lost: float
    """What the runs would take less without it, by a replay with that one thing changed."""
    evidence: list[EvidenceView]
    """The recorded figures behind it."""
    what_if: WhatIfView | None
    """A change and its predicted effect; null when it cannot be replayed."""
    reason: str | None
    """Why there is no what_if."""
    swarm_id: str | None
    """The swarm it is about, where it is about one."""
    tasks: list[str]
    """Tasks it is about, at most 20."""


class FigureView(View):
    mean: float | None
    """Over the time that was sampled."""
    max: float | None
    """The most of any sample."""
    n: int
    """Samples."""
    unit: str
    """What it is measured in."""


class LeftOutView(View):
    run_id: str
    """A run of the timeframe that is not replayed."""
    reason: str
    """Why."""


class BottleneckView(View):
    as_of: str
    """Up to when rows count; the same as_of gives the same figures."""
    since: str
    """Where the timeframe begins."""
    until: str
    """Where it ends."""
    causes: list[CauseView]
    """What cost most first; at most 20."""
    ruled_out: list[str]
    """Causes that cost less than half a percent, or whose what-if saves nothing: under 1 % and 0.05 s."""
    makespan_s: float | None
    """What the runs took, first claim to last commit, those that ran together counted once; added up."""
    replayed_s: float | None
    """The same from the unchanged replay."""
    replay_error: float | None
    """How far the unchanged replays are off, as a share; from 0.15 on what-ifs are unreliable."""
    runs: list[str]
    """The runs replayed: the newest, at most 20."""
    runs_total: int
    """Runs of the timeframe, also those beyond that limit."""
    left_out: list[LeftOutView]
    """Runs that cannot be replayed."""
    tasks: int
    """Tasks replayed."""
    metrics: dict[str, FigureView]
    """The metrics asked for; network is the whole machine's."""
    reasons: dict[str, str]
    """Why something is unknown or null."""


@tool(title="Find what limits the runs", read_only=True, idempotent=True)
async def bottleneck_analyze(
    app: App,
    component: Annotated[Place, Field(description="Where to look")] = Place.ALL,
    metrics: Annotated[list[Metric] | None, Field(description="Resource figures to add", max_length=3)] = None,
    timeframe: Annotated[
        str, Field(description="Runs that ended then: 15m, 24h, 7d, all, start/end", max_length=frames.TEXT_LIMIT)
    ] = "24h",
    swarm_id: Annotated[str | None, Field(description="Only its runs; omitted: all swarms", max_length=100)] = None,
    as_of: Annotated[str | None, Field(description="ISO 8601; omitted: now", max_length=frames.TEXT_LIMIT)] = None,
) -> BottleneckView:
    """What limited the runs, ranked by seconds lost: backend, agents, roles, critical path, queue, failures, locks,
    memory. Each with evidence and a what-if: the recorded tasks replayed by the real scheduling rule with the change
    made, its predicted makespan and the command that applies it. Says how far the replay itself is off."""
    now_ns = app.clock.now_ns()
    # To the millisecond, so that giving it back means the same moment.
    as_of_ns = now_ns // _NS_PER_MS * _NS_PER_MS if as_of is None else frames.moment(as_of)
    if as_of_ns > now_ns:
        raise InvalidInput(f"as_of {as_of} lies in the future; leave it out for now")
    if swarm_id is not None:
        await app.swarms.find(swarm_id)
    frame = Timeframe.parse(timeframe, as_of_ns)
    asked = Asked(
        app.settings.project,
        frame,
        swarm_id,
        None if component is Place.ALL else Component(component),
        tuple(metrics or ()),
    )
    return _view(await analyze(app.database, asked), frame, as_of_ns)


def _view(found: Analysis, frame: Timeframe, as_of_ns: int) -> BottleneckView:
    base_ns = found.replayed_ns or 0
    return BottleneckView(
        as_of=iso(as_of_ns),
        since=iso(frame.since_ns),
        until=iso(frame.until_ns),
        causes=[_cause(cause, base_ns) for cause in found.causes[:LISTED]],
        ruled_out=list(found.ruled_out),
        makespan_s=_seconds(found.makespan_ns),
        replayed_s=_seconds(found.replayed_ns),
        replay_error=found.replay_error,
        runs=list(found.runs),
        runs_total=found.total_runs,
        left_out=[LeftOutView(run_id=each.run_id, reason=each.reason) for each in found.left_out],
        tasks=found.tasks,
        metrics={
            metric.value: FigureView(mean=figure.mean, max=figure.most, n=figure.n, unit=figure.unit)
            for metric, figure in found.figures.items()
        },
        reasons=dict(found.reasons),
    )


def _cause(cause: Cause, base_ns: int) -> CauseView:
    return CauseView(
        cause=cause.name,
        component=cause.component,
        summary=cause.summary,
        seconds_lost=cause.lost_ns / NS_PER_S,
        evidence=[
            EvidenceView(figure=each.figure, value=each.value, threshold=each.threshold, n=each.n)
            for each in cause.evidence
        ],
        what_if=_what_if(cause.what_if, base_ns) if cause.what_if else None,
        reason=cause.reason,
        swarm_id=cause.swarm_id,
        tasks=list(cause.tasks),
    )


def _what_if(what_if: WhatIf, base_ns: int) -> WhatIfView:
    return WhatIfView(
        change=what_if.change,
        predicted_makespan_s=what_if.makespan_ns / NS_PER_S,
        saved_s=what_if.saved_ns(base_ns) / NS_PER_S,
        command=what_if.command,
        note=what_if.note,
    )


def _seconds(ns: int | None) -> float | None:
    return None if ns is None else ns / NS_PER_S


TOOLS: tuple[Tool, ...] = (bottleneck_analyze,)

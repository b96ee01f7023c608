"""The health of a process and of what it depends on."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from swarmtally.app import App
from swarmtally.domain.clock import iso
from swarmtally.insight.health import Check, Component, worst
from swarmtally_tools.definition import Tool, View, tool

Named = Literal["all", "store", "loop", "work", "backend", "clock", "memory"]

_NS_PER_MS = 1_000_000


class ComponentView(View):
    component: str
    """store, loop, work, backend, clock or memory."""
    status: str
    """ok, degraded or failed: the worst of its checks'."""
    latency_ms: float
    """How long its checks took, one after the other."""
    detail: str
    """What its worst check found; when all is well, the names of its checks."""
    remedy: str | None
    """What to do about that; null when nothing is to be done."""


class CheckView(View):
    component: str
    """What it belongs to."""
    check: str
    """What was looked at."""
    status: str
    """ok, degraded or failed."""
    latency_ms: float
    """How long the look took."""
    detail: str
    """The fact with its figure and its limit."""
    remedy: str | None
    """What to do about it: a shell command where there is one."""


class HealthView(View):
    status: str
    """ok, degraded or failed: the worst of all."""
    components: list[ComponentView]
    """One row for each component that was asked for."""
    checks: list[CheckView]
    """What was looked at in each."""
    project: str
    """Whose work was looked at."""
    database: str
    """The one file that holds everything."""
    as_of: str
    """When the last check ended (UTC)."""


@tool(title="Check health", read_only=True, idempotent=True, open_world=True)
async def health_check(
    app: App,
    components: Annotated[
        list[Named] | None, Field(description="What to look at; omitted: all", min_length=1, max_length=7)
    ] = None,
) -> HealthView:
    """Check the server now: database (integrity, schema, a real commit, log, disk, mode), event-loop lag, stuck runs,
    tasks, packets and agents by id, the model's reachability (no tokens spent), clock, memory. Each is ok, degraded or
    failed, with the figure, its limit and the command that mends it. Changes no row; takes at most 25 s."""
    report = await app.analysis.health().check(_wanted(components))
    return HealthView(
        status=report.status,
        components=[_component(name, checks) for name, checks in report.components().items()],
        checks=[_check(check) for check in report.checks],
        project=app.settings.project,
        database=str(app.settings.database),
        as_of=iso(report.as_of_ns),
    )


def _wanted(named: Sequence[Named] | None) -> frozenset[Component]:
    if named is None or "all" in named:
        return frozenset(Component)
    return frozenset(Component(name) for name in named)


def _component(name: Component, checks: Sequence[Check]) -> ComponentView:
    status = worst(checks)
    first = next(check.finding for check in checks if check.finding.status is status)
    fine = f"{len(checks)} checks: {', '.join(check.name for check in checks)}" if len(checks) > 1 else first.detail
    return ComponentView(
        component=name,
        status=status,
        latency_ms=_ms(sum(check.latency_ns for check in checks)),
        detail=fine if status == "ok" else first.detail,
        remedy=None if status == "ok" else first.remedy,
    )


def _check(check: Check) -> CheckView:
    return CheckView(
        component=check.component,
        check=check.name,
        status=check.finding.status,
        latency_ms=_ms(check.latency_ns),
        detail=check.finding.detail,
        remedy=check.finding.remedy,
    )


def _ms(ns: int) -> float:
    return round(ns / _NS_PER_MS, 2)


TOOLS: tuple[Tool, ...] = (health_check,)

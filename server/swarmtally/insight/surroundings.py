"""Health of what the process runs in: its event loop, the clock, memory."""

from dataclasses import dataclass

import anyio
import anyio.to_thread
import psutil

from swarmtally.domain.clock import NS_PER_S, Clock, iso
from swarmtally.domain.health import Finding, Status, at_least, at_most, ok
from swarmtally.domain.run import LEASE_NS
from swarmtally.insight.health_limits import Limits
from swarmtally.store import health
from swarmtally.store.database import Database

_MIB = 1024 * 1024
_STEP_S = 0.005

_SET_CLOCK = "set the machine's clock right: timedatectl set-ntp true"


async def loop(clock: Clock, limits: Limits) -> Finding:
    """The longest that a timer of this process's event loop was late, while it was watched."""
    began = clock.monotonic_ns()
    end = began + round(limits.loop_s * NS_PER_S)
    worst, timers = 0, 0
    while (now := clock.monotonic_ns()) < end:
        await anyio.sleep(_STEP_S)
        worst = max(worst, clock.monotonic_ns() - now - round(_STEP_S * NS_PER_S))
        timers += 1
    watched_s = (clock.monotonic_ns() - began) / NS_PER_S
    lag_s = worst / NS_PER_S
    status = at_most(lag_s, limits.lag_s, limits.lag_worst_s)
    detail = (
        f"the event loop was late by at most {lag_s * 1000:.1f} ms in {timers} timers over {watched_s:.2f} s "
        f"(degraded above {limits.lag_s * 1000:g}, failed above {limits.lag_worst_s * 1000:g} ms)"
    )
    if status is Status.OK:
        return ok(detail)
    return Finding(status, detail, "give the machine more free processor time, or run fewer things in this process")


@dataclass(frozen=True, slots=True)
class Beginning:
    """What both clocks showed when this process began to use the database."""

    wall_ns: int
    monotonic_ns: int

    @classmethod
    def now(cls, clock: Clock) -> "Beginning":
        return cls(clock.now_ns(), clock.monotonic_ns())


async def recorded_times(database: Database, clock: Clock, limits: Limits) -> Finding:
    """Rows from the future say that the clock was set back, or that another machine's is ahead."""
    newest = await database.read(health.newest_ns)
    if newest is None:
        return ok("no times are recorded yet")
    ahead_s = (newest - clock.now_ns()) / NS_PER_S
    status = at_most(ahead_s, limits.clock_s, LEASE_NS / NS_PER_S)
    if status is Status.OK:
        return ok(f"the newest recorded time, {iso(newest)}, is {max(0.0, -ahead_s):.1f} s ago")
    detail = (
        f"the newest recorded time, {iso(newest)}, is {ahead_s:.1f} s ahead of the clock (limit {limits.clock_s:g} s): "
        "the clock was set back, and leases end that much later"
    )
    return Finding(status, detail, _SET_CLOCK)


async def steadiness(began: Beginning, clock: Clock, limits: Limits) -> Finding:
    """How far the wall clock has moved against the monotonic one in this process's life."""
    monotonic_ns = clock.monotonic_ns() - began.monotonic_ns
    moved_s = (clock.now_ns() - began.wall_ns - monotonic_ns) / NS_PER_S
    detail = (
        f"in {monotonic_ns / NS_PER_S:.1f} s of this process the wall clock moved {moved_s:+.3f} s against the "
        f"monotonic one (limit {limits.clock_s:g} s)"
    )
    if abs(moved_s) <= limits.clock_s:
        return ok(detail)
    why = "it was set back" if moved_s < 0 else "it was set forward, or the machine slept"
    return Finding(Status.DEGRADED, f"{detail}: {why}", f"{_SET_CLOCK}; then restart this process")


@dataclass(frozen=True, slots=True)
class _MemoryUse:
    total: int
    available: int
    own: int
    children: int


async def machine_memory(limits: Limits) -> Finding:
    used = await anyio.to_thread.run_sync(_memory_use, abandon_on_cancel=True)
    status = at_least(used.available / used.total, limits.available_low, limits.available_least)
    detail = (
        f"{used.available // _MIB} of {used.total // _MIB} MiB are available, {used.available / used.total:.0%} "
        f"(degraded below {limits.available_low:.0%}, failed below {limits.available_least:.0%})"
    )
    return Finding(status, detail, None if status is Status.OK else "end programs that hold memory: ps aux --sort=-rss")


async def process_memory(limits: Limits) -> Finding:
    used = await anyio.to_thread.run_sync(_memory_use, abandon_on_cancel=True)
    share = (used.own + used.children) / used.total
    status = at_most(share, limits.process_share)
    detail = (
        f"this process holds {used.own // _MIB} MiB, its children {used.children // _MIB} MiB: {share:.1%} of the "
        f"machine (limit {limits.process_share:.0%})"
    )
    return Finding(status, detail, None if status is Status.OK else "restart this process; its runs can be resumed")


def _memory_use() -> _MemoryUse:
    machine, process = psutil.virtual_memory(), psutil.Process()
    children = 0
    for child in process.children(recursive=True):
        try:
            children += child.memory_info().rss
        except psutil.Error:
            continue
    return _MemoryUse(machine.total, machine.available, process.memory_info().rss, children)

"""Health of the work: what nobody goes on with, by id, and the command that mends it."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from swarmtally.core import leases
from swarmtally.domain.clock import NS_PER_S, Clock
from swarmtally.domain.health import Finding, Status, ok
from swarmtally.insight.commands import Place
from swarmtally.store import health
from swarmtally.store.connection import Connection, Row
from swarmtally.store.database import Database
from swarmtally.store.health import Hold

NAMED = 10
"""The most ids one finding names; the count is of all."""


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one project."""

    database: Database
    clock: Clock
    project: str

    async def runs(self) -> Finding:
        """Runs that should be executed and that no living process holds."""
        held, ended = await self._abandoned()
        interrupted = [hold for hold in ended if hold.status in ("queued", "running")]
        if not interrupted:
            return ok(f"{len(held)} unfinished runs, none is interrupted (limit 0)")
        now_ns = self.clock.now_ns()
        named = _named([f"{hold.run_id} ({_why(hold, now_ns)})" for hold in interrupted])
        detail = f"{len(interrupted)} of {len(held)} unfinished runs are interrupted (limit 0): {named}"
        return Finding(Status.DEGRADED, detail, self._resume(interrupted[0]))

    async def tasks(self) -> Finding:
        """Tasks that count as running, of runs whose lease is dead: their agents are not free either."""
        held, ended = await self._abandoned()
        stuck = [hold for hold in ended if hold.running]
        running = sum(hold.running for hold in held)
        if not stuck:
            return ok(f"{running} tasks are running, none with a dead lease (limit 0)")
        ids = await self.database.read(lambda tx: health.running_tasks(tx, [hold.run_id for hold in stuck], NAMED + 1))
        count = sum(hold.running for hold in stuck)
        detail = f"{count} of {running} running tasks have a dead lease (limit 0): {_named(ids, count)}"
        return Finding(Status.DEGRADED, detail, self._resume(stuck[0]))

    async def packets(self) -> Finding:
        """Packets whose time is over and that no client has claimed again."""
        now_ns = self.clock.now_ns()
        found = await self.database.read(lambda tx: health.unclaimed_packets(tx, self.project, now_ns))
        if not found:
            return ok("no packet is expired and unclaimed (limit 0)")
        named = _named([f"{row['task_id']} ({_ago(row['expires_ns'], now_ns)})" for row in found])
        detail = f"{len(found)} packets are expired and unclaimed (limit 0): {named}"
        claim = f"swarmtally mcp work_claim --run-id {found[0]['run_id']}{self._place}"
        return Finding(Status.DEGRADED, detail, claim)

    async def agents(self) -> Finding:
        """Agents that are busy with a task that does not run with them."""

        async def unit(tx: Connection) -> list[Row]:
            return await health.agents_with_nothing(tx, self.project)

        found = await self.database.read(unit)
        if not found:
            return ok("no agent is busy with nothing (limit 0)")
        swarm_id, size = found[0]["swarm_id"], found[0]["agents"]
        idle = sum(row["swarm_id"] == swarm_id for row in found)
        detail = (
            f"{len(found)} agents are busy with a task that does not run with them (limit 0): "
            f"{_named([row['agent_id'] for row in found])}"
        )
        # Nothing frees such an agent, which no path of ours makes: others take its place.
        remedy = f"swarmtally mcp swarm_scale --target-size {size + idle} --swarm-id {swarm_id}{self._place}"
        return Finding(Status.DEGRADED, detail, remedy)

    async def _abandoned(self) -> tuple[list[Hold], list[Hold]]:
        """The project's unfinished runs, and those of them whose lease is dead."""
        dead = await leases.dead_owners(self.database)
        held = await self.database.read(lambda tx: health.holds(tx, self.project))
        now_ns = self.clock.now_ns()
        ended = [hold for hold in held if not hold.host and (hold.expires_ns <= now_ns or hold.owner in dead)]
        return held, ended

    def _resume(self, hold: Hold) -> str:
        return f"swarmtally runs resume {hold.run_id}{self._place}"

    @property
    def _place(self) -> str:
        """The options with which a command in any folder meets this project's work."""
        return f" {shlex.join(Place(self.project, self.database.path).options)}"


def _why(hold: Hold, now_ns: int) -> str:
    if hold.owner is None:
        return "let go"
    return f"lease ended {_ago(hold.expires_ns, now_ns)}" if hold.expires_ns <= now_ns else "its process is gone"


def _ago(ns: int, now_ns: int) -> str:
    return f"{(now_ns - ns) / NS_PER_S:.0f} s ago"


def _named(items: Sequence[str], count: int | None = None) -> str:
    more = (len(items) if count is None else count) - NAMED
    return ", ".join(items[:NAMED]) + (f" and {more} more" if more > 0 else "")

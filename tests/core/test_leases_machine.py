"""A Hypothesis state machine drives claims, results and leases beside a plain model of what must be true."""

import asyncio
import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from swarmtally.core import claims, leases, results
from swarmtally.core.claims import Demand, HeldRun
from swarmtally.core.swarms import Swarms
from swarmtally.domain.errors import RunFinished, RunHeld
from swarmtally.domain.ids import id_factory
from swarmtally.domain.run import LEASE_NS, BackendChoice, Lease, Run, RunKind, RunStatus
from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.domain.task import Claim, NewTask, Outcome
from swarmtally.domain.usage import TokenUsage
from swarmtally.store import location, runs, tasks, usage
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database, open_database
from swarmtally.store.tasks import RunScope

KEYS = [f"k{number}" for number in range(5)]
OWNERS = ["here:1:1", "here:2:2", "there:3:3"]
CHOICE = BackendChoice("none", "none", None, "the machine is its own backend", None)


@dataclass
class HandClock:
    ns: int = 1_700_000_000_000_000_000

    def now_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns


@dataclass
class Model:
    """What the database must agree with."""

    status: dict[str, str] = field(default_factory=dict)
    needs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tolerant: dict[str, bool] = field(default_factory=dict)
    epoch: int = 1
    owner: str | None = OWNERS[0]
    expires_ns: int = 0
    finished: bool = False
    results: dict[str, str] = field(default_factory=dict)

    def settle(self) -> None:
        """Cancel or free what waits, until nothing changes."""
        changed = True
        while changed:
            changed = False
            for key in self.status:
                if self.status[key] == "blocked":
                    new = self._settled(key)
                    changed |= new != "blocked"
                    self.status[key] = new

    def _settled(self, key: str) -> str:
        states = [self.status[need] for need in self.needs[key]]
        lost = [state for state in states if state in ("failed", "cancelled")]
        if lost and not self.tolerant[key]:
            return "cancelled"
        if any(state in ("blocked", "ready", "running") for state in states):
            return "blocked"
        return "ready" if not states or "succeeded" in states else "cancelled"


class LeaseMachine(RuleBasedStateMachine):
    """Several owners pass one run between them; late results of earlier owners keep coming in."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.clock = HandClock()
        self.model = Model()
        self.claims: list[tuple[Claim, int]] = []
        self.run_: Run | None = None
        self.opening = open_database(location.prepare(Path(self.folder.name) / "m.db"), self.clock)
        self.database: Database = self.do(self.opening.__aenter__())
        self.new_id = id_factory(random.Random(0))  # the same steps do the same again

    def do(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        self.do(self.opening.__aexit__(None, None, None))
        self.runner.close()
        self.folder.cleanup()

    @initialize(data=st.data(), agents=st.integers(1, 4))
    def begin(self, data: st.DataObject, agents: int) -> None:
        plan = []
        for number, key in enumerate(KEYS):
            needs = data.draw(st.lists(st.sampled_from(KEYS[:number]), unique=True, max_size=3)) if number else []
            tolerant = data.draw(st.booleans())
            plan.append(NewTask(key, "work", "coder", "coder", key, tuple(needs), tolerates_failure=tolerant))
            self.model.needs[key], self.model.tolerant[key] = tuple(needs), tolerant
            self.model.status[key] = "blocked"
        self.model.settle()
        swarms = Swarms(self.database, self.clock, self.new_id, "p")
        swarm = self.do(swarms.init(Topology.STAR, Strategy.BALANCED, agents, None, None)).swarm
        self.model.expires_ns = self.clock.ns + LEASE_NS
        run = Run(
            run_id=self.new_id("r"), project="p", swarm_id=swarm.swarm_id, kind=RunKind.BATCH, task="t", context=(),
            out_dir=None, backend=CHOICE, status=RunStatus.QUEUED, reason=None, shape=None,
            shape_reason=None, created_ns=self.clock.ns, started_ns=None, finished_ns=None,
            lease_owner=OWNERS[0], lease_epoch=1,
            lease_expires_ns=self.model.expires_ns,
        )  # fmt: skip
        self.run_ = run

        async def unit(tx: Connection) -> None:
            await runs.insert(tx, run)
            await tasks.insert(tx, RunScope(run.run_id, "p", swarm.swarm_id), plan, self.clock.ns)

        self.do(self.database.write(unit))

    @property
    def run_row(self) -> Run:
        assert self.run_ is not None
        return self.run_

    def lease(self, epoch: int) -> HeldRun:
        return HeldRun(self.run_row, Lease(self.run_row.run_id, epoch, "whoever"))

    @precondition(lambda self: self.run_ is not None)
    @rule(slots=st.integers(1, 3), stale=st.booleans())
    def claim(self, slots: int, stale: bool) -> None:
        """An owner claims: with the lease's epoch it gets ready tasks, with an older one nothing."""
        epoch = self.model.epoch - (1 if stale else 0)
        demand = Demand((self.lease(epoch),), slots)
        got = self.do(self.database.write(lambda tx: claims.claim(tx, demand, self.new_id, self.clock.ns)))
        if stale or self.model.finished:
            assert got == []
            return
        ready = [key for key, status in self.model.status.items() if status == "ready"]
        busy = sum(status == "running" for status in self.model.status.values())
        agents = self.do(self.database.read(lambda tx: tx.row("SELECT max_agents FROM swarm")))["max_agents"]
        assert len(got) == min(slots, len(ready), agents - busy)
        for claim in got:
            assert claim.task.key in ready
            self.model.status[claim.task.key] = "running"
            self.claims.append((claim, self.open_usage(claim)))

    def open_usage(self, claim: Claim) -> int:
        call = usage.OpenedCall(
            self.run_row.run_id,
            claim.task.task_id,
            claim.number,
            claim.agent_id,
            "none",
            "none",
            1,
            "",
            0,
        )
        (found,) = self.do(self.database.write(lambda tx: usage.open_calls(tx, [call], self.clock.ns)))
        assert isinstance(found, int)
        return found

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), how=st.sampled_from(["succeeded", "failed", "ready"]))
    def report(self, data: st.DataObject, how: str) -> None:
        """A result comes in, maybe late: accepted exactly when its fence still holds, its usage always."""
        index = data.draw(st.integers(0, len(self.claims) - 1))
        self.record(*self.claims.pop(index), how)

    def record(self, claim: Claim, usage_id: int, how: str) -> None:
        text = f"by {claim.epoch}" if how == "succeeded" else None
        outcome = Outcome(
            claim=claim, started_ns=1, ended_ns=2, exec_ns=1, text=text, error=None if text else "no",
            retry_at_ns=self.clock.ns if how == "ready" else None, usage_id=usage_id, usage=TokenUsage(1, 1),
        )  # fmt: skip
        held = {self.run_row.run_id: self.lease(claim.epoch)}
        accepted = self.do(self.database.write(lambda tx: results.record(tx, held, [outcome], self.clock.ns)))
        fresh = claim.epoch == self.model.epoch
        assert accepted == int(fresh)
        row = self.do(
            self.database.read(lambda tx: tx.row("SELECT status FROM usage WHERE usage_id = :id", {"id": usage_id}))
        )
        assert row["status"] == "reported"
        if fresh:
            self.model.status[claim.task.key] = how
            if text:
                assert claim.task.key not in self.model.results
                self.model.results[claim.task.key] = text
            self.model.settle()

    @precondition(lambda self: self.run_ is not None)
    @rule(seconds=st.integers(1, 20))
    def time_passes(self, seconds: int) -> None:
        self.clock.ns += seconds * 1_000_000_000

    @precondition(lambda self: self.run_ is not None)
    @rule()
    def renew(self) -> None:
        lease = Lease(self.run_row.run_id, self.model.epoch, self.model.owner or "")
        kept = self.do(self.database.write(lambda tx: runs.renew_leases(tx, [lease], self.clock.ns + LEASE_NS)))
        assert kept == (set() if self.model.finished else {self.run_row.run_id})
        if kept:
            self.model.expires_ns = self.clock.ns + LEASE_NS

    @precondition(lambda self: self.run_ is not None)
    @rule(owner=st.sampled_from(OWNERS), dead=st.sets(st.sampled_from(OWNERS)))
    def take_over(self, owner: str, dead: set[str]) -> None:
        """Another owner takes the run: only when its lease ended or its holder is dead, and one epoch on."""
        free = self.model.expires_ns <= self.clock.ns or self.model.owner is None or self.model.owner in dead

        def take(tx: Connection) -> Any:
            return leases.take_over(tx, "p", self.run_row.run_id, owner, dead, self.clock.ns)

        if self.model.finished or not free:
            with pytest.raises(RunFinished if self.model.finished else RunHeld):
                self.do(self.database.write(take))
            return
        lease = self.do(self.database.write(take))
        self.model.epoch += 1
        assert (lease.epoch, lease.owner) == (self.model.epoch, owner)
        self.model.owner, self.model.expires_ns = owner, self.clock.ns + LEASE_NS
        for key, status in self.model.status.items():
            self.model.status[key] = "ready" if status == "running" else status

    @precondition(lambda self: self.run_ is not None)
    @rule()
    def finish(self) -> None:
        held = self.lease(self.model.epoch)
        finished, _ = self.do(self.database.write(lambda tx: results.finish_runs(tx, [held], {}, self.clock.ns)))
        done = all(status in ("succeeded", "failed", "cancelled") for status in self.model.status.values())
        assert bool(finished) == (done and not self.model.finished)
        self.model.finished |= done

    @precondition(lambda self: bool(self.claims) and not self.model.finished)
    @rule(how=st.sampled_from(["succeeded", "failed", "ready"]))
    def a_result_comes_after_the_run_changed_hands(self, how: str) -> None:
        self.take_over(owner=OWNERS[1], dead={self.model.owner or ""})
        self.record(*self.claims.pop(0), how)

    @precondition(lambda self: self.run_ is not None)
    @rule()
    def run_to_the_end(self) -> None:
        """The present owner does all that is left, so that what comes after the end is tried too."""
        while any(status in ("ready", "running") for status in self.model.status.values()):
            self.claim(slots=3, stale=False)
            for claim, usage_id in [pair for pair in self.claims if pair[0].epoch == self.model.epoch]:
                self.claims.remove((claim, usage_id))
                self.record(claim, usage_id, "succeeded")
        self.finish()

    @invariant()
    def database_agrees_with_the_model(self) -> None:
        if self.run_ is None:
            return

        async def unit(tx: Connection) -> tuple[Any, Any, Any]:
            return (
                await tx.rows("SELECT key, status FROM task"),
                await tx.rows("SELECT task.key, artefact.text FROM artefact JOIN task USING (task_id)"),
                await tx.rows(
                    "SELECT task.key, agent.agent_id FROM agent JOIN task ON task.task_id = agent.task_id"
                    " WHERE agent.status = 'busy'"
                ),
            )

        statuses, artefacts, busy = self.do(self.database.read(unit))
        assert {row["key"]: row["status"] for row in statuses} == self.model.status
        assert {row["key"]: row["text"] for row in artefacts} == self.model.results
        running = sorted(key for key, status in self.model.status.items() if status == "running")
        assert sorted(row["key"] for row in busy) == running, "an agent is busy with what does not run"


TestLeases = LeaseMachine.TestCase
TestLeases.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)

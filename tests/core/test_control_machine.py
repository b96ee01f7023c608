"""A Hypothesis state machine drives runs of two owners with every control there is; after each step the laws hold."""

import asyncio
import random
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from swarmtally.core import claims, control, leases, results, scaling
from swarmtally.core.claims import Demand, HeldRun
from swarmtally.core.ledger import opened_call
from swarmtally.core.ports import Prompt
from swarmtally.core.swarms import Swarms
from swarmtally.domain.errors import InvalidInput, RunFinished, RunHeld, SwarmFull
from swarmtally.domain.ids import id_factory
from swarmtally.domain.run import LEASE_NS, BackendChoice, Lease, Run, RunKind, RunStatus
from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.domain.task import Claim, NewTask, Outcome
from swarmtally.domain.usage import TokenUsage
from swarmtally.store import location, runs, swarms, tasks, usage
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database, open_database
from swarmtally.store.tasks import RunScope
from tests.core.invariants import broken
from tests.core.test_leases_machine import HandClock

OWNERS = ["here:1:1", "there:2:2"]
CHOICE = BackendChoice("none", "none", None, "the machine is its own backend", None)
KEYS = [f"k{number}" for number in range(4)]

owners = st.sampled_from(OWNERS)
dead = st.sets(owners)


class ControlMachine(RuleBasedStateMachine):
    """Two owners, who need not know that their hold is gone, and users who cancel, pause, resume, retry and scale."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.clock = HandClock()
        self.new_id = id_factory(random.Random(0))  # the same steps do the same again
        self.held: dict[str, dict[str, HeldRun]] = {owner: {} for owner in OWNERS}
        self.calls: list[tuple[str, Claim, int]] = []
        self.unsent: list[tuple[str, Claim]] = []
        self.final: dict[str, str] = {}
        self.swarm_id = ""
        self.opening = open_database(location.prepare(Path(self.folder.name) / "m.db"), self.clock)
        self.database: Database = self.do(self.opening.__aenter__())

    def do(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    def write(self, unit: Any) -> Any:
        return self.do(self.database.write(unit))

    def rows(self, sql: str) -> list[Any]:
        found: list[Any] = self.do(self.database.read(lambda tx: tx.rows(sql)))
        return found

    def teardown(self) -> None:
        self.do(self.opening.__aexit__(None, None, None))
        self.runner.close()
        self.folder.cleanup()

    @initialize(data=st.data(), agents=st.integers(1, 4), owner=owners)
    def begin(self, data: st.DataObject, agents: int, owner: str) -> None:
        made = self.do(self.swarms.init(Topology.STAR, Strategy.BALANCED, agents, None, None))
        self.swarm_id = made.swarm.swarm_id
        for _ in range(2):
            plan = []
            for number, key in enumerate(KEYS):
                needs = data.draw(st.lists(st.sampled_from(KEYS[:number]), unique=True, max_size=2)) if number else []
                plan.append(
                    NewTask(
                        key, "work", "coder", "coder", key, tuple(needs), tolerates_failure=data.draw(st.booleans())
                    )
                )
            self.start(plan, owner)

    @property
    def swarms(self) -> Swarms:
        return Swarms(self.database, self.clock, self.new_id, "p")

    def start(self, plan: list[NewTask], owner: str) -> None:
        run = Run(
            run_id=self.new_id("r"), project="p", swarm_id=self.swarm_id, kind=RunKind.BATCH, task="t", context=(),
            out_dir=None, backend=CHOICE, status=RunStatus.QUEUED, reason=None, shape=None, shape_reason=None,
            created_ns=self.clock.ns, started_ns=None, finished_ns=None, lease_owner=owner, lease_epoch=1,
            lease_expires_ns=self.clock.ns + LEASE_NS,
        )  # fmt: skip

        async def unit(tx: Connection) -> None:
            await runs.insert(tx, run)
            await tasks.insert(tx, RunScope(run.run_id, "p", self.swarm_id), plan, self.clock.ns)

        self.write(unit)
        self.held[owner][run.run_id] = HeldRun(run, Lease(run.run_id, 1, owner))

    def any_run(self, data: st.DataObject) -> str:
        found: str = data.draw(st.sampled_from([row["run_id"] for row in self.rows("SELECT run_id FROM run")]))
        return found

    @rule(owner=owners, slots=st.integers(1, 3))
    def claim(self, owner: str, slots: int) -> None:
        """An owner claims for all it believes to hold; it gets tasks only of runs that it holds and nobody paused."""
        demand = Demand(tuple(self.held[owner].values()), slots)
        for claim in self.write(lambda tx: claims.claim(tx, demand, self.new_id, self.clock.ns)):
            (row,) = self.rows(f"SELECT status, lease_epoch FROM run WHERE run_id = '{claim.task.run_id}'")
            assert row["status"] == "running"
            assert row["lease_epoch"] == claim.epoch
            self.unsent.append((owner, claim))

    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        """A call is about to be sent, maybe after its attempt has ended: then it must not be."""
        if not self.unsent:
            return
        owner, claim = self.unsent.pop(data.draw(st.integers(0, len(self.unsent) - 1)))
        run = Run.from_row(self.rows(f"SELECT * FROM run WHERE run_id = '{claim.task.run_id}'")[0])
        call = opened_call(run, claim, ("none", "none"), Prompt("", ()))
        (usage_id,) = self.write(lambda tx: usage.open_calls(tx, [call], self.clock.ns))
        (row,) = self.rows(
            f"SELECT status FROM attempt WHERE task_id = '{claim.task.task_id}' AND number = {claim.number}"
        )
        assert (usage_id is not None) == (row["status"] == "running")
        if usage_id is not None:
            self.calls.append((owner, claim, usage_id))

    @rule(data=st.data(), how=st.sampled_from(["succeeded", "failed", "again"]))
    def answer(self, data: st.DataObject, how: str) -> None:
        """A call is answered, maybe long after its run went elsewhere: what it used is recorded in any case."""
        if not self.calls:
            return
        _, claim, usage_id = self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))
        text = "done" if how == "succeeded" else None
        outcome = Outcome(
            claim=claim, started_ns=1, ended_ns=2, exec_ns=1, text=text, error=None if text else "no",
            retry_at_ns=self.clock.ns if how == "again" else None, usage_id=usage_id, usage=TokenUsage(1, 1),
        )  # fmt: skip
        run_id = claim.task.run_id
        (before,) = self.rows(f"SELECT * FROM run WHERE run_id = '{run_id}'")
        held = {run_id: HeldRun(Run.from_row(before), Lease(run_id, claim.epoch, ""))}
        accepted = self.write(lambda tx: results.record(tx, held, [outcome], self.clock.ns))
        assert accepted == (before["finished_ns"] is None and before["lease_epoch"] == claim.epoch)
        (row,) = self.rows(f"SELECT status FROM usage WHERE usage_id = {usage_id}")
        assert row["status"] == "reported"

    @rule(owner=owners)
    def finish(self, owner: str) -> None:
        checked = list(self.held[owner].values())
        self.write(lambda tx: results.finish_runs(tx, checked, {}, self.clock.ns))
        rows = self.rows("SELECT run_id FROM run WHERE finished_ns IS NULL")
        for gone in set(self.held[owner]) - {row["run_id"] for row in rows}:
            del self.held[owner][gone]

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        run_id = self.any_run(data)
        try:
            self.write(lambda tx: control.cancel(tx, "p", run_id, self.clock.ns))
        except RunFinished:
            return
        states = {row["status"] for row in self.rows(f"SELECT status FROM task WHERE run_id = '{run_id}'")}
        assert states <= {"succeeded", "failed", "cancelled"}

    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        run_id = self.any_run(data)
        try:
            self.write(lambda tx: control.pause(tx, "p", run_id, "by request", self.clock.ns))
        except RunFinished:
            return

    @rule(data=st.data(), owner=owners, dead=dead, how=st.sampled_from(["resume", "adopt", "retry"]))
    def go_on(self, data: st.DataObject, owner: str, dead: set[str], how: str) -> None:
        run_id = self.any_run(data)
        (before,) = self.rows(f"SELECT * FROM run WHERE run_id = '{run_id}'")
        succeeded = self.succeeded()
        act: control.Resuming = getattr(control, how)
        try:
            resumed = self.write(lambda tx: act(tx, "p", run_id, owner, dead, self.clock.ns))
        except (RunFinished, RunHeld, InvalidInput):
            assert self.rows(f"SELECT * FROM run WHERE run_id = '{run_id}'") == [before], "a refusal changes nothing"
            return
        assert how != "adopt" or before["status"] in ("queued", "running")
        assert self.succeeded() == succeeded, "what succeeded is never redone"
        (after,) = self.rows(f"SELECT * FROM run WHERE run_id = '{run_id}'")
        assert after["status"] in ("queued", "running")
        if resumed.lease is not None:
            assert (after["lease_owner"], after["lease_epoch"]) == (owner, before["lease_epoch"] + 1)
            self.held[owner][run_id] = HeldRun(Run.from_row(after), resumed.lease)

    def succeeded(self) -> set[str]:
        return {row["task_id"] for row in self.rows("SELECT task_id FROM task WHERE status = 'succeeded'")}

    @rule(owner=owners, dead=dead)
    def beat(self, owner: str, dead: set[str]) -> None:
        """An owner renews, drops what it has lost, and frees what the dead left."""
        held = [item.lease for item in self.held[owner].values()]

        async def unit(tx: Connection) -> set[str]:
            ours = await runs.renew_leases(tx, held, self.clock.ns + LEASE_NS)
            await leases.free_abandoned(tx, dead - {owner}, ours, self.clock.ns)
            return ours

        ours = self.write(unit)
        self.held[owner] = {run_id: item for run_id, item in self.held[owner].items() if run_id in ours}

    @rule(owner=owners)
    def let_go(self, owner: str) -> None:
        """The owner's program is closed."""
        for item in self.held[owner].values():
            self.write(lambda tx, item=item: leases.give_up(tx, item.run, item.lease, self.clock.ns))
        self.held[owner].clear()

    @rule(size=st.integers(0, 5))
    def scale(self, size: int) -> None:
        async def unit(tx: Connection) -> scaling.Scaled:
            swarm = await swarms.get(tx, "p", self.swarm_id)
            assert swarm is not None
            return await scaling.scale(tx, swarm, size, None, self.new_id, self.clock.ns)

        scaled = self.write(unit)
        (row,) = self.rows("SELECT COUNT(*) AS n, SUM(draining) AS draining FROM agent WHERE status <> 'left'")
        assert (row["n"], row["n"] - (row["draining"] or 0)) == (scaled.size, size)
        assert scaled.leaving == (row["draining"] or 0)

    @rule(count=st.integers(1, 2))
    def spawn(self, count: int) -> None:
        try:
            self.do(self.swarms.spawn("coder", None, (), count, None))
        except SwarmFull:
            return

    @rule(seconds=st.integers(1, 20))
    def time_passes(self, seconds: int) -> None:
        self.clock.ns += seconds * 1_000_000_000

    @invariant()
    def the_laws_hold(self) -> None:
        assert self.do(self.database.read(broken)) == {}


TestControl = ControlMachine.TestCase
TestControl.settings = settings(
    max_examples=50,
    stateful_step_count=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)

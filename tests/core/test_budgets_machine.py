"""A Hypothesis state machine opens and closes calls of one run with a budget; a plain sum says what must come of it."""

import asyncio
import random
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from swarmtally.core import budgets, claims, control
from swarmtally.core.budgets import Verdict
from swarmtally.core.claims import Demand, HeldRun
from swarmtally.core.swarms import Swarms
from swarmtally.domain.budget import Budget
from swarmtally.domain.errors import InvalidInput, RunHeld
from swarmtally.domain.ids import id_factory
from swarmtally.domain.run import LEASE_NS, Lease, Run, RunKind, RunStatus
from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.domain.task import Claim, NewTask
from swarmtally.domain.usage import TokenUsage
from swarmtally.store import budgets as store
from swarmtally.store import location, runs, tasks, usage
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database, open_database
from swarmtally.store.tasks import RunScope
from swarmtally.store.usage import ClosedCall, OpenedCall
from tests.core.harness import CHOICE
from tests.core.invariants import broken
from tests.core.test_leases_machine import HandClock

RUN, OWNER = "r_1", "here:1:1"
figures = st.integers(0, 120)


class BudgetMachine(RuleBasedStateMachine):
    """Agents that open calls of all sizes, providers that report, do not report or pass their limit, and a user who
    gives more."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.clock = HandClock()
        self.new_id = id_factory(random.Random(0))  # the same steps do the same again
        self.claimed: list[Claim] = []
        self.open: dict[int, int] = {}
        self.spent: dict[int, int] = {}
        self.passed = 0
        self.opening = open_database(location.prepare(Path(self.folder.name) / "m.db"), self.clock)
        self.database: Database = self.do(self.opening.__aenter__())

    def do(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        self.do(self.opening.__aexit__(None, None, None))
        self.runner.close()
        self.folder.cleanup()

    @initialize(budget=st.integers(1, 600))
    def begin(self, budget: int) -> None:
        self.budget = budget
        made = self.do(
            Swarms(self.database, self.clock, self.new_id, "p").init(Topology.STAR, Strategy.BALANCED, 8, None, None)
        )
        self.run = Run(
            run_id=RUN, project="p", swarm_id=made.swarm.swarm_id, kind=RunKind.BATCH, task="t", context=(),
            out_dir=None, backend=CHOICE, status=RunStatus.QUEUED, reason=None, shape=None, shape_reason=None,
            created_ns=self.clock.ns, started_ns=None, finished_ns=None, lease_owner=OWNER, lease_epoch=1,
            lease_expires_ns=self.clock.ns + LEASE_NS, budget=Budget(budget),
        )  # fmt: skip

        async def unit(tx: Connection) -> None:
            await runs.insert(tx, self.run)
            plan = [NewTask(f"k{number}", "work", "coder", "coder", "text") for number in range(60)]
            await tasks.insert(tx, RunScope(RUN, "p", self.run.swarm_id), plan, self.clock.ns)

        self.do(self.database.write(unit))

    @property
    def total(self) -> int:
        return sum(self.spent.values()) + sum(self.open.values())

    def status(self) -> str:
        row = self.do(self.database.read(lambda tx: tx.row("SELECT status FROM run")))
        return str(row["status"])

    @rule()
    def claim(self) -> None:
        demand = Demand((HeldRun(self.run, Lease(RUN, 1, OWNER)),), 2)
        paused = self.status() == "paused"
        found = self.do(self.database.write(lambda tx: claims.claim(tx, demand, self.new_id, self.clock.ns)))
        assert not (paused and found)
        self.claimed += found

    @precondition(lambda self: self.claimed)
    @rule(wanted=st.integers(1, 200), which=st.integers(0, 7))
    def send(self, wanted: int, which: int) -> None:
        claim = self.claimed.pop(which % len(self.claimed))
        call = OpenedCall(
            RUN, claim.task.task_id, claim.number, claim.agent_id, "b", "m", 10, "", 0,
            reserved_tokens=wanted,
        )  # fmt: skip

        async def unit(tx: Connection) -> tuple[Verdict, int | None]:
            verdict = await budgets.admit(tx, self.run, call, self.clock.ns)
            sent = [call] if verdict is Verdict.SEND else []
            return verdict, next(iter(await usage.open_calls(tx, sent, self.clock.ns)), None)

        was_paused, settled = self.status() == "paused", sum(self.spent.values())
        verdict, usage_id = self.do(self.database.write(unit))
        if verdict is Verdict.SEND:
            assert not was_paused
            assert self.total + wanted <= self.budget
            assert usage_id is not None
            self.open[usage_id] = wanted
        elif verdict is Verdict.WAIT:
            assert self.open
            assert self.total + wanted > self.budget >= settled + wanted
            self.claimed.append(claim)
        else:
            assert was_paused or settled + wanted > self.budget
            assert self.status() == "paused"

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 7), given=figures, written=figures)
    def report(self, which: int, given: int, written: int) -> None:
        usage_id = list(self.open)[which % len(self.open)]
        self.close(usage_id, TokenUsage(given, written), given + written)

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 7), given=figures)
    def report_half(self, which: int, given: int) -> None:
        usage_id = list(self.open)[which % len(self.open)]
        self.close(usage_id, TokenUsage(input_tokens=given), max(given, self.open[usage_id]))

    @rule()
    def lose(self) -> None:
        """The process died: what its calls spent is not known."""
        self.do(self.database.write(lambda tx: usage.lose_open(tx, RUN, self.clock.ns)))
        self.spent |= self.open
        self.open.clear()

    def close(self, usage_id: int, used: TokenUsage, counts: int) -> None:
        closed = ClosedCall(usage_id, used, 1)
        self.do(self.database.write(lambda tx: usage.close_calls(tx, [closed], self.clock.ns)))
        self.passed += max(0, counts - self.open.pop(usage_id))
        self.spent[usage_id] = counts

    @rule(more=st.integers(-5, 400))
    def resume(self, more: int) -> None:
        higher = Budget(self.budget + more) if self.budget + more > 0 else Budget()
        paused = self.status() == "paused"
        refused = self.do(self.database.read(lambda tx: store.refused(tx, RUN)))
        assert (refused is not None) == paused

        async def unit(tx: Connection) -> None:
            await control.resume(tx, "p", RUN, OWNER, set(), self.clock.ns, higher)

        try:
            self.do(self.database.write(unit))
        except InvalidInput:
            assert more <= 0 or (refused is not None and self.total + refused.tokens > self.budget + more)
        except RunHeld:
            assert not paused
        else:
            assert paused
            self.budget = higher.tokens or self.budget

    @invariant()
    def what_is_spent_and_held_is_what_the_calls_say_and_within_the_budget(self) -> None:
        if not hasattr(self, "budget"):
            return
        spending = self.do(self.database.read(lambda tx: store.spending(tx, RUN)))
        assert spending.tokens == self.total
        assert spending.open_tokens == sum(self.open.values())
        assert spending.tokens <= self.budget + self.passed
        assert self.do(self.database.read(broken)) == {}


TestBudget = BudgetMachine.TestCase
TestBudget.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)

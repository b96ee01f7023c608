"""A Hypothesis state machine drives packets beside a plain model of what must be true."""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from swarmtally.core.packets import LEASE_NS, Packet
from swarmtally.domain.errors import InvalidInput, PacketRefused, RunFinished
from swarmtally.domain.task import NewTask
from swarmtally.domain.usage import TokenUsage
from tests.core.harness import KeyPacker
from tests.core.hosted import Hosted, failed, hosted, made
from tests.core.invariants import broken

KEYS = [f"k{number}" for number in range(5)]
FINAL = ("succeeded", "failed", "cancelled")


@dataclass
class Out:
    """A packet that was handed out: `state` is out, expired, superseded, reported or cancelled."""

    packet: Packet
    expires_ns: int
    state: str = "out"

    @property
    def key(self) -> str:
        return self.packet.task.key


@dataclass
class Model:
    """What the database must agree with."""

    status: dict[str, str] = field(default_factory=dict)
    needs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tolerant: dict[str, bool] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)
    usage: dict[str, str] = field(default_factory=dict)
    packets: list[Out] = field(default_factory=list)
    run: str = "waiting_for_host"
    endings: int = 0

    def settle(self) -> None:
        """Cancel or free what waits, until nothing changes."""
        changed = True
        while changed:
            changed = False
            for key in self.status:
                if self.status[key] == "blocked":
                    self.status[key] = self._settled(key)
                    changed |= self.status[key] != "blocked"

    def _settled(self, key: str) -> str:
        states = [self.status[need] for need in self.needs[key]]
        if not self.tolerant[key] and any(state in ("failed", "cancelled") for state in states):
            return "cancelled"
        if any(state not in FINAL for state in states):
            return "blocked"
        return "ready" if not states or "succeeded" in states else "cancelled"

    def expire(self, now_ns: int) -> None:
        """What any claim does first."""
        for one in self.packets:
            if one.state == "out" and one.expires_ns <= now_ns:
                one.state = "expired"
                self.status[one.key] = "ready"
                self.attempts[one.key] -= 1
                self.usage[one.packet.lease] = "unknown"

    def end(self) -> None:
        """Finish the run when everything has ended."""
        if self.run not in FINAL and all(status in FINAL for status in self.status.values()):
            self.run = "succeeded" if set(self.status.values()) == {"succeeded"} else "failed"
            self.endings += 1


class PacketMachine(RuleBasedStateMachine):
    """Two clients share one run; packets expire, are claimed again, and reported late, twice or never."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.model = Model()
        opening = hosted(Path(self.folder.name), packer=KeyPacker())
        self.host: Hosted = self.do(self.stack.enter_async_context(opening))
        self.clients = [self.host.packets, self.do(self.host.another_client())]
        self.run_id = ""
        self.agents = 0

    def do(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        self.do(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()

    @property
    def now_ns(self) -> int:
        return self.host.clock.ns

    @initialize(data=st.data(), agents=st.integers(1, 4))
    def begin(self, data: st.DataObject, agents: int) -> None:
        plan = []
        for number, key in enumerate(KEYS):
            needs = data.draw(st.lists(st.sampled_from(KEYS[:number]), unique=True, max_size=3)) if number else []
            tolerant = data.draw(st.booleans())
            plan.append(NewTask(key, "work", "coder", "coder", key, tuple(needs), tolerates_failure=tolerant))
            self.model.needs[key], self.model.tolerant[key] = tuple(needs), tolerant
            self.model.status[key], self.model.attempts[key] = "blocked", 0
        self.model.settle()
        self.agents = agents
        self.do(self.host.init(max_agents=agents))
        self.run_id = self.do(self.host.start(*plan))

    @rule(client=st.integers(0, 1), limit=st.integers(1, 3))
    def claim(self, client: int, limit: int) -> None:
        claimed = self.do(self.clients[client].claim(limit))
        model = self.model
        model.expire(self.now_ns)
        model.end()
        ready = [key for key, status in model.status.items() if status == "ready"]
        free = self.agents - list(model.status.values()).count("running")
        assert len(claimed.packets) == (min(limit, len(ready), free) if model.run == "waiting_for_host" else 0)
        for packet in claimed.packets:
            key = packet.task.key
            assert key in ready
            for one in model.packets:
                if one.key == key and one.state == "expired":
                    one.state = "superseded"
            model.status[key] = "running"
            model.attempts[key] += 1
            model.usage[packet.lease] = "open"
            assert packet.expires_ns == self.now_ns + LEASE_NS
            model.packets.append(Out(packet, packet.expires_ns))
        assert [run.status for run in claimed.runs] == ([] if model.run in FINAL else [model.run])
        assert claimed.rest.out == list(model.status.values()).count("running")

    @precondition(lambda self: self.model.packets)
    @rule(data=st.data(), client=st.integers(0, 1), good=st.booleans(), figures=st.booleans())
    def report(self, data: st.DataObject, client: int, good: bool, figures: bool) -> None:
        """A report comes, in time, late, again or from a packet that is somebody else's by now."""
        one = self.model.packets[data.draw(st.integers(0, len(self.model.packets) - 1))]
        used = TokenUsage(3, 2, source="client") if figures else TokenUsage()
        text = f"by {one.packet.lease}"
        report = made(text, usage=used) if good else failed()
        sent = self.clients[client].report(one.packet.task.task_id, one.packet.lease, report)
        if one.state not in ("out", "expired"):
            with pytest.raises(PacketRefused):
                self.do(sent)
            return
        self.do(sent)
        model = self.model
        if one.state == "expired":
            model.attempts[one.key] += 1
        one.state = "reported"
        model.status[one.key] = "succeeded" if good else "failed"
        model.usage[one.packet.lease] = "reported" if good and figures else "unknown"
        if good:
            assert one.key not in model.results
            model.results[one.key] = text
        model.settle()
        model.end()

    @precondition(lambda self: self.model.packets)
    @rule(data=st.data(), client=st.integers(0, 1))
    def give_back(self, data: st.DataObject, client: int) -> None:
        """Its holder will not report it after all, and says so; others say it of a packet that is nobody's."""
        one = self.model.packets[data.draw(st.integers(0, len(self.model.packets) - 1))]
        given = self.do(self.clients[client].give_back([one.packet.lease]))
        assert given == (one.state == "out")
        if given:
            one.state = "expired"
            self.model.status[one.key] = "ready"
            self.model.attempts[one.key] -= 1
            self.model.usage[one.packet.lease] = "unknown"

    @precondition(lambda self: self.model.packets)
    @rule(data=st.data(), client=st.integers(0, 1))
    def renew(self, data: st.DataObject, client: int) -> None:
        one = self.model.packets[data.draw(st.integers(0, len(self.model.packets) - 1))]
        asked = self.clients[client].renew(one.packet.task.task_id, one.packet.lease)
        if one.state == "out" and one.expires_ns > self.now_ns:
            one.expires_ns = self.do(asked).expires_ns
            assert one.expires_ns == self.now_ns + LEASE_NS
            return
        with pytest.raises(PacketRefused):
            self.do(asked)

    @rule(minutes=st.sampled_from([1, 7, 14, 15, 16]))
    def time_passes(self, minutes: int) -> None:
        self.host.clock.pass_minutes(minutes)

    @precondition(lambda self: any(one.state == "out" for one in self.model.packets))
    @rule(data=st.data(), noticed=st.booleans(), reports=st.booleans())
    def a_client_is_late(self, data: st.DataObject, noticed: bool, reports: bool) -> None:
        """Its packet has run out; it asks for more time, or reports, and maybe somebody has noticed before."""
        self.time_passes(16)
        if noticed and self.model.run == "waiting_for_host":
            # A claim from a paused run notices what has expired, and takes nothing.
            self.pause_or_resume(resume=False)
            self.claim(client=1, limit=1)
            self.pause_or_resume(resume=True)
        if reports:
            self.report(data=data, client=0, good=True, figures=True)
        else:
            self.renew(data=data, client=0)

    @rule()
    def cancel(self) -> None:
        if self.model.run in FINAL:
            with pytest.raises(RunFinished):
                self.do(self.host.runs.cancel(self.run_id))
            return
        self.do(self.host.runs.cancel(self.run_id))
        for key, status in self.model.status.items():
            if status not in FINAL:
                self.model.status[key] = "cancelled"
                for one in self.model.packets:
                    if one.key == key and one.state in ("out", "expired", "superseded"):
                        self.model.usage[one.packet.lease] = "unknown"
                        one.state = "cancelled"
        self.model.run = "cancelled"

    @rule()
    def retry(self) -> None:
        again = [key for key, status in self.model.status.items() if status in ("failed", "cancelled")]
        if not again:
            with pytest.raises(InvalidInput):
                self.do(self.host.runs.retry(self.run_id))
            return
        assert self.do(self.host.runs.retry(self.run_id)) == len(again)
        for key in again:
            self.model.status[key], self.model.attempts[key] = "blocked", 0
        for key, status in self.model.status.items():
            if status == "ready" and any(self.model.status[need] not in FINAL for need in self.model.needs[key]):
                self.model.status[key] = "blocked"
        self.model.settle()
        self.model.run = "waiting_for_host"

    @rule(resume=st.booleans())
    def pause_or_resume(self, resume: bool) -> None:
        act = self.host.runs.resume if resume else self.host.runs.pause
        if self.model.run in FINAL:
            with pytest.raises(RunFinished):
                self.do(act(self.run_id))
        elif resume and self.model.run != "paused":
            with pytest.raises(InvalidInput):
                self.do(act(self.run_id))
        else:
            self.do(act(self.run_id))
            self.model.run = "waiting_for_host" if resume else "paused"

    @rule()
    def work_to_the_end(self) -> None:
        """One client does all that is left, so that what comes after the end is tried too."""
        if self.model.run != "waiting_for_host":
            return
        self.time_passes(16)
        before = len(self.model.packets)
        self.claim(client=0, limit=3)
        while len(self.model.packets) > before:
            for one in self.model.packets[before:]:
                self.do(self.host.report(one.packet, made(f"by {one.packet.lease}")))
                one.state = "reported"
                self.model.status[one.key], self.model.usage[one.packet.lease] = "succeeded", "unknown"
                self.model.results[one.key] = f"by {one.packet.lease}"
            self.model.settle()
            self.model.end()
            before = len(self.model.packets)
            self.claim(client=1, limit=3)
        assert self.model.run in FINAL

    @invariant()
    def database_agrees_with_the_model(self) -> None:
        if not self.run_id:
            return
        model, rows = self.model, self.host.rows
        found = self.do(rows("SELECT key, status, attempts FROM task"))
        assert {row["key"]: row["status"] for row in found} == model.status
        assert {row["key"]: row["attempts"] for row in found} == model.attempts
        results = self.do(rows("SELECT task.key, artefact.text FROM artefact JOIN task USING (task_id)"))
        assert {row["key"]: row["text"] for row in results} == model.results
        busy = self.do(rows("SELECT key FROM agent JOIN task USING (task_id) WHERE agent.status = 'busy'"))
        out = [one.key for one in model.packets if one.state == "out"]
        assert sorted(row["key"] for row in busy) == sorted(out), "an agent is busy with what is not out"
        assert sorted(key for key, status in model.status.items() if status == "running") == sorted(out)
        used = self.do(rows("SELECT lease, usage.status FROM usage JOIN attempt USING (task_id, number)"))
        assert {row["lease"]: row["status"] for row in used} == model.usage
        (run,) = self.do(rows("SELECT status, finished_ns IS NULL AS unfinished FROM run"))
        assert run["status"] == model.run
        assert bool(run["unfinished"]) == (model.run not in FINAL)
        kinds = "('run.succeeded', 'run.failed')"
        assert self.do(self.host.one(f"SELECT COUNT(*) FROM event WHERE kind IN {kinds}")) == model.endings
        (swarm,) = self.do(rows("SELECT agents, max_agents, (SELECT COUNT(*) FROM agent) AS n FROM swarm"))
        assert swarm["agents"] == swarm["n"] <= swarm["max_agents"]
        assert self.do(self.host.database.read(broken)) == {}


TestPackets = PacketMachine.TestCase
TestPackets.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)

"""Sampling in the protocol of 2026, where a server sends no requests: a call is answered with what it asks.

Each answer holds one wave of the swarm: a question for each task that is ready and has an agent. The client makes the
same call again with its answers and the state it was given, which names the run and the leases of its packets. The
state is sealed by the server's middleware: a client can neither read nor change it, nor use it with another call.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import anyio
from mcp_types import InputRequest, InputRequiredResult
from pydantic import BaseModel

from swarmtally.app import App
from swarmtally.core import lending
from swarmtally.core.packets import Packet
from swarmtally.domain.run import RunStatus
from swarmtally.mcp import questions
from swarmtally_tools.definition import Tool, View
from swarmtally_tools.run_views import run_view
from swarmtally_tools.runs import tell

ROUNDS = 9
"""The most waves of one call. The official SDKs give up a call that asks more than ten times; it goes on with
run_status."""

AT_ONCE = 100
"""The most questions of one wave: at their longest they stay below what a message may hold."""

_LOOK_S = 0.25
"""How often a call looks whether there is something to ask, while others have all packets or all agents."""


@dataclass(frozen=True, slots=True)
class _State:
    """What a call has asked so far; its client brings it back."""

    run_id: str
    rounds: int
    notes: str
    leases: Mapping[str, str] = field(default_factory=dict)
    """task_id → lease, of the wave that is being answered."""


class Waves:
    """The lender of one call, or of its next round, where `state` is what the last one gave."""

    def __init__(self, app: App, state: str | None = None) -> None:
        self._app = app
        self._state = None if state is None else _State(**json.loads(state))
        self._asked: InputRequiredResult | None = None
        self._wave: list[Packet] = []

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """What is called inside finds this lender. A wave that cannot be asked, because that fails or is cancelled, is
        given back."""
        try:
            with lending.lent_by(self):
                yield
        except BaseException:
            if self._wave:
                await questions.give_back(await self._app.packets(), list(_leases(self._wave).values()))
            raise

    async def record(self, answers: Mapping[str, BaseModel]) -> None:
        """Record the answers to the last wave. What was not answered is asked again, as the protocol wants it."""
        assert self._state is not None, "answers belong to a round"
        packets, leases = await self._app.packets(), dict(self._state.leases)
        for task_id, given in answers.items():
            lease = leases.pop(task_id, None)
            if lease is not None:
                await questions.deliver(packets, task_id, lease, questions.answer(given))
        await questions.give_back(packets, list(leases.values()))

    async def go_on(self, tool: Tool, arguments: Mapping[str, Any]) -> View | InputRequiredResult:
        """The next wave, or the call's result. A run that the call began is not begun again."""
        assert self._state is not None, "only a call that has asked goes on"
        if tool.name == "run_status":
            view = await tool.call(self._app, arguments)
        else:
            run_id, notes = self._state.run_id, self._state.notes
            wait_s: float = tool.check(arguments).model_dump()["wait_s"]
            await self.work(run_id, wait_s, notes)
            view = run_view(self._app, await (await self._app.runs()).show(run_id), notes=notes)
        return self._asked or view

    def asked(self) -> InputRequiredResult | None:
        """The wave to be asked; None when the call has its result."""
        return self._asked

    async def work(self, run_id: str, wait_s: float, notes: str = "") -> None:
        """Claim a wave; while others have all that is ready, wait for it for at most `wait_s`."""
        rounds = self._state.rounds if self._state is not None else 0
        runs, packets = await self._app.runs(), await self._app.packets()
        deadline = anyio.current_time() + wait_s
        while rounds < ROUNDS:
            run = await runs.get(run_id)
            if run.status is not RunStatus.WAITING_FOR_HOST:
                return
            wave, rest = await questions.take(packets, run, min(run.backend.max_parallel or AT_ONCE, AT_ONCE))
            if wave:
                self._wave = wave
                self._asked = _ask(wave, _State(run_id, rounds + 1, notes, _leases(wave)))
                return
            left_s = deadline - anyio.current_time()
            if left_s <= 0 or not (rest.ready or rest.out):
                return
            await runs.wait(run_id, left_s, tell)
            # That returns at once while something is ready that has no agent.
            await anyio.sleep(min(_LOOK_S, left_s))


def _leases(wave: list[Packet]) -> dict[str, str]:
    return {packet.task.task_id: packet.lease for packet in wave}


def _ask(wave: list[Packet], state: _State) -> InputRequiredResult:
    asked: dict[str, InputRequest] = {packet.task.task_id: questions.question(packet) for packet in wave}
    return InputRequiredResult(input_requests=asked, request_state=json.dumps(asdict(state)))

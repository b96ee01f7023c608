"""Sampling in the protocols before 2026: requests to the client while it waits for its call, several at once.

Over a connection of the client's own (stdio) requests go on when the call has been answered: the model would only poll
meanwhile. Over HTTP they travel on the call's stream, so the call stays open until those under way are answered, and
sends no new ones once its time is over; the next call that follows the run goes on with it.
"""

from dataclasses import dataclass
from typing import Any, cast

import anyio
import structlog
from anyio.abc import TaskGroup
from mcp.shared.exceptions import MCPError, NoBackChannelError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import CONNECTION_CLOSED, CreateMessageRequest, CreateMessageResult
from pydantic import RootModel, ValidationError

from swarmtally.app import App
from swarmtally.core.packets import Packet, Packets, Report
from swarmtally.domain.errors import SwarmError
from swarmtally.domain.run import Run, RunStatus
from swarmtally.mcp import questions
from swarmtally.mcp.calling import Context
from swarmtally.mcp.sizes import VALUES_LIMIT, has_more_than
from swarmtally.mcp.wire import ANSWER_UNREAD
from swarmtally_tools.runs import tell

log = structlog.get_logger(__name__)


class _Answer(RootModel[dict[str, Any]]):
    """What a client answered, not looked at yet."""


@dataclass(frozen=True, slots=True)
class _Question:
    """A question as the SDK sends it, with a method of whose answers the SDK knows nothing: it would look for faults in
    each value, however many there are (see sizes)."""

    asked: CreateMessageRequest
    method: str = "sampling/createMessage, its answer unseen"

    def model_dump(self, **how: Any) -> dict[str, Any]:
        return self.asked.model_dump(**how)


AT_ONCE = 8
"""The most requests under way over one connection, or of one call over HTTP, unless --max-parallel says otherwise; as
for a provider's model."""

ANSWER_S = 600.0
"""How long a client may take for one request: its user may be asked first. Below the time of a packet's lease."""

_CLOSED = "Connection closed"
"""What the SDK says with its code for that, which clients use for errors of their own as well."""

_LOOK_S = 0.25
"""How often others' changes are looked for."""

_LOOK_ANYWAY_S = 5.0
"""How often without any: the end of others' leases is none."""


class Requests:
    """The runs whose tasks are being asked of clients after their calls, in this process."""

    def __init__(self) -> None:
        self._under_way: dict[tuple[int, str], _Asking] = {}

    def of(self, app: App, run_id: str) -> "_Asking | None":
        return self._under_way.get((id(app), run_id))

    def under_way(self, app: App) -> int:
        """How many requests are, of all runs."""
        return sum(asking.under_way for (of_app, _), asking in self._under_way.items() if of_app == id(app))

    async def go_on(self, app: App, run_id: str, asking: "_Asking") -> None:
        """Ask until there is nothing more to ask, or the client has gone."""
        self._under_way[id(app), run_id] = asking
        try:
            await asking.run()
        finally:
            if self.of(app, run_id) is asking:
                del self._under_way[id(app), run_id]


class LiveLender:
    """The lender of one call."""

    def __init__(self, app: App, ctx: Context, requests: Requests) -> None:
        self._app = app
        self._ctx = ctx
        self._requests = requests

    async def work(self, run_id: str, wait_s: float, notes: str = "") -> None:  # noqa: ARG002 - this call tells them
        """Ask for what is ready of the run; return when the run is over or `wait_s` are.

        Raises:
            SwarmError: answers could not be recorded.
        """
        if self._ctx.request is None:
            await self._beside_the_call(run_id, wait_s)
            return
        asking = _Asking(self._app, self._ctx, run_id)
        async with anyio.create_task_group() as group:
            group.start_soon(asking.run)
            try:
                await asking.follow(wait_s)
            except SwarmError as error:
                asking.fail(error)
            asking.stop()
        asking.check()

    async def _beside_the_call(self, run_id: str, wait_s: float) -> None:
        deadline = anyio.current_time() + wait_s
        earlier = self._requests.of(self._app, run_id)
        if earlier is not None:
            await self._follow(earlier, wait_s)
            if not earlier.ended:
                return
            # It may have ended because its own client has gone.
        asking = _Asking(self._app, self._ctx, run_id, self._requests)
        self._app.beside(lambda: self._requests.go_on(self._app, run_id, asking))
        await self._follow(asking, deadline - anyio.current_time())
        asking.check()

    async def _follow(self, asking: "_Asking", wait_s: float) -> None:
        try:
            await asking.follow(wait_s)
        except anyio.get_cancelled_exc_class():
            # Who cancels the call wants no more questions.
            asking.cancel()
            raise


class _Asking:
    """Asks a client for the tasks of one run: over its own connection, together with `beside`, else on the stream of a
    call."""

    def __init__(self, app: App, ctx: Context, run_id: str, beside: Requests | None = None) -> None:
        self._app = app
        self._session = ctx.session
        self._beside = beside
        self._related = None if beside else ServerMessageMetadata(related_request_id=ctx.request_id)
        self._run_id = run_id
        self._scope = anyio.CancelScope()
        self._stopped = False
        self.under_way = 0
        self._changed = anyio.Event()
        self.ended = False
        self._failure: SwarmError | None = None

    def stop(self) -> None:
        """Ask nothing more than what is ready at the beginning; what is under way goes on."""
        self._stopped = True
        self._tell()

    def cancel(self) -> None:
        """Stop what is under way too."""
        self._scope.cancel()

    def fail(self, error: SwarmError) -> None:
        """Stop, and have `check` raise it."""
        self._failure = self._failure or error
        self.stop()

    def check(self) -> None:
        """
        Raises:
            SwarmError: answers could not be recorded.
        """
        if self._failure is not None:
            raise self._failure

    async def follow(self, wait_s: float) -> None:
        """Tell of progress until it has ended, for at most `wait_s`."""
        runs = await self._app.runs()
        with anyio.move_on_after(wait_s):
            while not self.ended:
                changed = self._changed
                await runs.wait(self._run_id, 0, tell)
                await changed.wait()

    async def run(self) -> None:
        """Ask until there is nothing more to ask. Raises nothing: `check` does."""
        try:
            with self._scope:
                await self._ask()
        except SwarmError as error:
            self.fail(error)
        except Exception as error:
            log.exception("sampling.died", run_id=self._run_id)
            self.fail(SwarmError(f"the client's model cannot be asked: {error!r}"))
        finally:
            self.ended = True
            self._tell()

    async def _ask(self) -> None:
        async with anyio.create_task_group() as group:
            try:
                await self._keep_asking(group)
            except SwarmError as error:
                # Here, where no group of errors has been made of it.
                self.fail(error)
                group.cancel_scope.cancel()

    async def _keep_asking(self, group: TaskGroup) -> None:
        runs, packets = await self._app.runs(), await self._app.packets()
        seen, looked, begun = None, 0.0, False
        while True:
            changed, now = self._changed, await self._app.database.changes()
            if now != seen or anyio.current_time() >= looked + _LOOK_ANYWAY_S:
                run = await runs.get(self._run_id)
                if run.status.final:
                    # Cancelled by somebody: what is under way would be refused.
                    group.cancel_scope.cancel()
                    return
                more = run.status is RunStatus.WAITING_FOR_HOST and not (self._stopped and begun)
                begun = True
                room = (run.backend.max_parallel or AT_ONCE) - self._busy()
                if more and room > 0:
                    more = await self._ask_for(packets, run, room, group)
                if not (more or self.under_way):
                    return
                seen, looked = now, anyio.current_time()
            with anyio.move_on_after(_LOOK_S):
                await changed.wait()
            if changed.is_set():
                seen = None

    async def _ask_for(self, packets: Packets, run: Run, room: int, group: TaskGroup) -> bool:
        """Send requests for up to `room` packets; returns whether the run has, or may have, further ones."""
        found: list[Packet] = []
        # Held before there is anything to wait for: another run must not take the same room.
        self.under_way += room
        try:
            found, rest = await questions.take(packets, run, room)
        finally:
            self.under_way -= room - len(found)
        for packet in found:
            group.start_soon(self._do, packet)
        return bool(found or rest.ready or rest.out)

    def _busy(self) -> int:
        """How many requests the client has already."""
        return self.under_way if self._beside is None else self._beside.under_way(self._app)

    async def _do(self, packet: Packet) -> None:
        packets = await self._app.packets()
        try:
            report = await self._answered(packet)
            if report is not None:
                await questions.deliver(packets, packet.task.task_id, packet.lease, report)
                return
            self._stopped = True
            await questions.give_back(packets, [packet.lease])
        except anyio.get_cancelled_exc_class():
            await questions.give_back(packets, [packet.lease])
            raise
        except SwarmError as error:
            self.fail(error)
        finally:
            self.under_way -= 1
            self._tell()

    async def _answered(self, packet: Packet) -> Report | None:
        """What the client made of it; None when nobody answers: it has gone, or nobody sits before it."""
        given: CreateMessageResult | None = None
        try:
            with anyio.move_on_after(ANSWER_S):
                asked = cast("CreateMessageRequest", _Question(questions.question(packet)))
                answer = await self._session.send_request(asked, _Answer, metadata=self._related)
                if has_more_than(VALUES_LIMIT, answer.root):
                    return questions.failed(f"the client's answer has more than {VALUES_LIMIT:,} values")
                given = CreateMessageResult.model_validate(answer.root, by_name=False)
        except NoBackChannelError:
            return None
        except MCPError as error:
            if (error.code, error.message) == (CONNECTION_CLOSED, _CLOSED):
                return None
            if error.code == ANSWER_UNREAD:
                return questions.failed(error.message)
            return questions.failed(f"the client refused: {error.message or 'it gave no reason'}")
        except ValidationError as error:
            return questions.failed(f"the client's answer is no message: {error.errors()[0]['msg']}")
        return None if given is None else questions.answer(given)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

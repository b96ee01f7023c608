"""The Tasks extension (`io.modelcontextprotocol/tasks`, SEP-2663): calls that may take long, answered with a handle.

A client that declares the extension gets a handle in place of the result and asks with `tasks/get` until the result
is there. The handle lies in the database: any server process on it can answer, also after the one that was called is
gone.

**Runs.** What stands for a run has no state of its own: each `tasks/get` reads the run. Once nothing more is to be
waited for, the result is what the plain call would return then, and it stays that.
**Other calls** go on in the process that was called, for as long as they take, and end with it.

Clients that declare nothing, and all of 2025, are served as before.
"""

import json
from typing import TYPE_CHECKING, Any

import anyio
import structlog
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    InputRequiredResult,
    RequestParams,
)
from mcp_types.jsonrpc import HEADER_MISMATCH, METHOD_NOT_FOUND, MISSING_REQUIRED_CLIENT_CAPABILITY
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import Field

from swarmtally.app import App
from swarmtally.core import patience
from swarmtally.domain.clock import iso
from swarmtally.domain.errors import NotFound, RunFinished, StoreError, SwarmError
from swarmtally.domain.handle import KEPT_NS, Handle, HandleStatus
from swarmtally.domain.run import HEARTBEAT_S, INTERRUPTED, RunStatus
from swarmtally.mcp.calling import Calls, Context, OpenApp, success

if TYPE_CHECKING:
    from swarmtally.core.handles import Handles
    from swarmtally.core.run_states import Progress

log = structlog.get_logger(__name__)

EXTENSION = "io.modelcontextprotocol/tasks"

RUNS = frozenset({"sparc_run", "sparc_batch", "sparc_concurrent", "sparc_pipeline"})
"""Tools that start a run."""

LONG = frozenset({"swarm_monitor", "neural_train", "quality_assess", "error_analysis"})
"""Tools that work for as long as what they are given takes."""

PROMPT_S = 1.0
"""What a call of `LONG` may take to be answered with its result."""

AT_ONCE = 64
"""The most calls that go on behind a handle in one process; further ones are answered with their result."""

POLL_MS = (1_000, 10_000)
"""How soon to ask again: after a tenth of the time that has gone, within these limits."""

_NS_PER_MS = 1_000_000


Answer = CallToolResult | InputRequiredResult | dict[str, Any]
"""What a call is answered with: its result, what its client is asked first, or a handle."""


class TaskParams(RequestParams):
    task_id: str = Field(max_length=200)


class UpdateParams(TaskParams):
    input_responses: dict[str, Any]


class Call:
    """A call that goes on without its request."""

    def __init__(self, calls: Calls, params: CallToolRequestParams) -> None:
        self._calls = calls
        self._params = params
        self._scope = anyio.CancelScope()
        self.over = anyio.Event()
        self.result: CallToolResult | None = None
        """None until it is over, when it was cancelled, and when it was refused."""
        self.refusal: MCPError | None = None
        self.message = f"{params.name} is working"

    async def run(self) -> None:
        try:
            with self._scope, patience.of(None):
                self.result = await self._calls.answer(self._params, self._heard)
        except MCPError as error:
            self.refusal = error
        finally:
            self.over.set()

    async def _heard(self, _done: float, _total: float | None, message: str) -> None:
        self.message = message

    def cancel(self) -> None:
        self._scope.cancel()


class Tasks:
    """Answers calls of tools, and requests about those that were answered with a handle."""

    def __init__(self, open_app: OpenApp, calls: Calls) -> None:
        self._open_app = open_app
        self._calls = calls
        self._begun: set[Call] = set()
        """Calls that have, or may yet get, a handle."""
        self._under_way: dict[str, Call] = {}
        """Those that have one, by its name."""

    def serve(self, server: Server[Any]) -> None:
        """Have `server` offer the extension."""
        server.extensions[EXTENSION] = {}
        server.add_request_handler("tools/call", CallToolRequestParams, self.call)
        server.add_request_handler("tasks/get", TaskParams, self.get)
        server.add_request_handler("tasks/update", UpdateParams, self.update)
        server.add_request_handler("tasks/cancel", TaskParams, self.cancel)

    async def call(self, ctx: Context, params: CallToolRequestParams) -> Answer:
        """A call of a tool: its result, or a handle where that takes long and the client declared that it takes one."""
        if params.name in RUNS and _declared(ctx):
            return await self._run(ctx, params)
        if params.name in LONG and _declared(ctx) and len(self._begun) < AT_ONCE:
            return await self._long(ctx, params)
        return await self._calls(ctx, params)

    async def _run(self, ctx: Context, params: CallToolRequestParams) -> Answer:
        arguments = params.arguments or {}
        if 0 in (arguments.get("wait_s"), arguments.get("waitS")):
            # Whoever does not want to wait wants the run's id, to ask for it with run_status.
            return await self._calls(ctx, params)
        with patience.of(0):
            result = await self._calls(ctx, params)
        if isinstance(result, InputRequiredResult):
            # The client's own model does the work: it is asked again and again, and nobody else could go on.
            return result
        run = result.structured_content
        if run is None or run.get("status") not in (RunStatus.QUEUED, RunStatus.RUNNING):
            # Refused, only estimated, over, or work for the client: nothing to wait for.
            return result
        from swarmtally_tools.run_views import poll

        notes, _, _ = run["next_step"].partition(poll(run["run_id"]))
        counts = run["tasks"]
        ended = counts["succeeded"] + counts["failed"] + counts["cancelled"]
        message = f"{run['run_id']}: {ended} of {counts['total']} tasks"
        try:
            handles = await (await self._open_app()).handles()
            handle = await handles.make(params.name, message, run["run_id"], notes)
        except SwarmError as error:
            # The run has begun: its client must learn its id.
            log.warning("task.unmade", run_id=run["run_id"], error=str(error))
            return result
        return {"resultType": "task", **_state(handle, handle.created_ns)}

    async def _long(self, ctx: Context, params: CallToolRequestParams) -> Answer:
        call = Call(self._calls, params)
        # Before anything is waited for, so that calls that come together count each other.
        self._begun.add(call)
        try:
            return await self._begin(ctx, params, call)
        finally:
            if call not in self._under_way.values():
                self._begun.discard(call)

    async def _begin(self, ctx: Context, params: CallToolRequestParams, call: Call) -> Answer:
        try:
            app = await self._open_app()
            handles = await app.handles()
        except SwarmError:
            return await self._calls(ctx, params)
        app.in_background(call.run)
        try:
            with anyio.move_on_after(PROMPT_S):
                await call.over.wait()
            if call.over.is_set():
                return _given(call)
            handle = await handles.make(params.name, call.message)
        except SwarmError as error:
            # It goes on all the same.
            log.warning("task.unmade", tool=params.name, error=str(error))
            await call.over.wait()
            return _given(call)
        except BaseException:
            # Its client has gone or learns of an error, and could ask for it no more.
            call.cancel()
            raise
        self._under_way[handle.handle_id] = call
        app.in_background(self._keep, handles, handle, call)
        return {"resultType": "task", **_state(handle, handle.created_ns)}

    async def _keep(self, handles: "Handles", handle: Handle, call: Call) -> None:
        """Write down how far the call is until it is over, and then its result."""
        try:
            while not await self._written(handles, handle, call):
                with anyio.move_on_after(HEARTBEAT_S):
                    # What could not be written is tried again, however long that takes: nobody else has the result.
                    await (anyio.sleep_forever() if call.over.is_set() else call.over.wait())
        finally:
            del self._under_way[handle.handle_id]
            self._begun.discard(call)

    async def _written(self, handles: "Handles", handle: Handle, call: Call) -> bool:
        """Whether nothing is left to be written."""
        try:
            if call.refusal is not None:
                await handles.settle(handle, HandleStatus.FAILED, call.refusal.message)
            elif call.result is not None:
                await handles.settle(handle, HandleStatus.COMPLETED, _ended(call.result), _to_json(call.result))
            elif await handles.renew(handle.handle_id, call.message):
                return False
            else:
                # Cancelled by another process, or kept no longer.
                call.cancel()
        except NotFound:
            call.cancel()
        except StoreError as error:
            log.warning("task.unwritten", tool=handle.tool, error=str(error))
            return False
        return True

    async def get(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        """How far a call is; once it is over, its result."""
        _check(ctx, params)
        try:
            app = await self._open_app()
            return await self._shown(app, await (await app.handles()).find(params.task_id))
        except SwarmError as error:
            raise _refusal(error) from error

    async def update(self, ctx: Context, params: UpdateParams) -> dict[str, Any]:
        """Answers to what a call asks of its client. None asks anything so far; what nobody asked for is ignored."""
        _check(ctx, params)
        try:
            await (await (await self._open_app()).handles()).find(params.task_id)
        except SwarmError as error:
            raise _refusal(error) from error
        return {}

    async def cancel(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        """Cancel a call, and the run it stands for; nothing where it is over."""
        _check(ctx, params)
        try:
            app = await self._open_app()
            handles = await app.handles()
            handle = await handles.find(params.task_id)
            if handle.status.final:
                return {}
            if handle.run_id is None:
                await handles.settle(handle, HandleStatus.CANCELLED, f"{handle.tool} was cancelled by request")
                if handle.handle_id in self._under_way:
                    self._under_way[handle.handle_id].cancel()
            else:
                await _cancel_run(app, handle.run_id)
                await self._shown(app, handle)
        except SwarmError as error:
            raise _refusal(error) from error
        return {}

    async def _shown(self, app: App, handle: Handle) -> dict[str, Any]:
        if handle.status.final:
            return _state(handle, app.clock.now_ns())
        if handle.run_id is not None:
            # Imported in a thread; this may be the process's first request.
            await self._calls.listed()
            return await _run_state(app, handle, handle.run_id)
        call = self._under_way.get(handle.handle_id)
        if call is not None:
            return _state(handle, app.clock.now_ns(), call.message)
        handles = await app.handles()
        if await handles.abandoned(handle):
            lost = f"the process that worked on {handle.tool} is gone, and its result with it; call {handle.tool} again"
            handle = await handles.settle(handle, HandleStatus.FAILED, lost)
        return _state(handle, app.clock.now_ns())


async def _cancel_run(app: App, run_id: str) -> None:
    try:
        await (await app.runs()).cancel(run_id)
    except RunFinished:
        log.debug("task.cancel.late", run_id=run_id)


async def _run_state(app: App, handle: Handle, run_id: str) -> dict[str, Any]:
    from swarmtally_tools.run_views import run_view
    from swarmtally_tools.runs import told

    runs, handles = await app.runs(), await app.handles()
    progress = await runs.wait(run_id, 0)
    if progress.run.status is RunStatus.CANCELLED:
        message = f"{run_id} was {progress.run.reason}; what it delivered until then: run_status"
        handle = await handles.settle(handle, HandleStatus.CANCELLED, message)
    elif progress.settled and not _taken_over(app, progress):
        view = run_view(app, await runs.show(run_id), notes=handle.notes)
        if view.status not in (RunStatus.QUEUED, RunStatus.RUNNING):
            result = success(view.model_dump(mode="json"))
            # What has not ended but goes no further needs somebody to do something.
            remedy = "" if progress.run.status.final else f". {view.next_step.removeprefix(handle.notes)}"
            message = told(progress) + remedy
            handle = await handles.settle(handle, HandleStatus.COMPLETED, message, _to_json(result))
    now_ns = app.clock.now_ns()
    if handle.status.final:
        return _state(handle, now_ns)
    if handle.expires_ns - now_ns < KEPT_NS // 2:
        await handles.renew(handle.handle_id, told(progress))
        handle = await handles.find(handle.handle_id)
    return _state(handle, now_ns, told(progress), await handles.last_change_ns(run_id))


def _taken_over(app: App, progress: "Progress") -> bool:
    """Whether the run's process is gone, and this one, which adopts such runs, may not have seen it yet."""
    return app.settings.adopt and progress.status == INTERRUPTED and progress.run.lease_expires_ns > app.clock.now_ns()


def _declared(ctx: Context) -> bool:
    """Whether the client declared the extension with this request. In 2025 there is none of that name."""
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return False
    declared = ctx.session.client_capabilities
    return declared is not None and EXTENSION in (declared.extensions or {})


def _check(ctx: Context, params: TaskParams) -> None:
    """
    Raises:
        MCPError: the protocol of 2025 has no such method, the extension was not declared, or the header that requests
            are routed by names something else.
    """
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        raise MCPError(METHOD_NOT_FOUND, "Method not found", ctx.method)
    if not _declared(ctx):
        raise MCPError(
            MISSING_REQUIRED_CLIENT_CAPABILITY,
            f"Missing required client capability: declare the extension {EXTENSION} with each request",
            {"requiredCapabilities": {"extensions": {EXTENSION: {}}}},
        )
    # Over HTTP there is a request with headers. The SDK checks this one for the methods of the protocol itself.
    if ctx.request is not None and decode_header_value(ctx.request.headers.get(MCP_NAME_HEADER)) != params.task_id:
        raise MCPError(
            HEADER_MISMATCH, f"{MCP_NAME_HEADER} header does not match the request body's 'taskId' parameter"
        )


def _refusal(error: SwarmError) -> MCPError:
    return MCPError(INVALID_PARAMS if isinstance(error, NotFound) else INTERNAL_ERROR, str(error))


def _given(call: Call) -> CallToolResult:
    if call.refusal is not None:
        raise call.refusal
    if call.result is None:
        raise MCPError(INTERNAL_ERROR, "the server let go of its database; ask again")
    return call.result


def _ended(result: CallToolResult) -> str:
    return "ended with an error; the result says which" if result.is_error else "done"


def _to_json(result: CallToolResult) -> str:
    return result.model_dump_json(by_alias=True, exclude_none=True)


def _state(handle: Handle, now_ns: int, message: str | None = None, updated_ns: int | None = None) -> dict[str, Any]:
    """The call as the protocol shows it; `message` and `updated_ns` where more is known than was written."""
    shown: dict[str, Any] = {
        "taskId": handle.handle_id,
        "status": str(handle.status),
        "statusMessage": message or handle.message,
        "createdAt": iso(handle.created_ns),
        "lastUpdatedAt": iso(max(handle.updated_ns, updated_ns or 0)),
        "ttlMs": (handle.expires_ns - handle.created_ns) // _NS_PER_MS,
    }
    if handle.result is not None:
        shown["result"] = json.loads(handle.result)
    elif handle.status is HandleStatus.FAILED:
        shown["error"] = {"code": INTERNAL_ERROR, "message": handle.message}
    elif not handle.status.final:
        least, most = POLL_MS
        shown["pollIntervalMs"] = min(max((now_ns - handle.created_ns) // _NS_PER_MS // 10, least), most)
    return shown

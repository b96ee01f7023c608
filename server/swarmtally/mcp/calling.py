"""Calls of tools over MCP: from the protocol's parameters to its results.

**Results.** A result is structured content, and the same as JSON text for clients that read only text. Clients put at
most 20,000 to 25,000 tokens of a result before a model. Our lists are paged below that; only a stored value (up to
1 MiB) or a deliverable can be larger. Such a result is still whole in the structured content, for a program that
fetches what it stored; its text is a short JSON object that says so and shows the beginning, so that a model which
reads the text is told rather than cut off.

**Errors.** What a caller can mend is a result with `isError` and one line; only the name of a tool there is none of is
an error of the protocol, as the protocol has it. Anything else is logged with its trace under an id, and the caller
gets the id.
"""

import json
import secrets
import time
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import structlog
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    InputRequiredResult,
    TextContent,
    ToolAnnotations,
)
from mcp_types import Tool as ToolEntry

from swarmtally.app import App
from swarmtally.core import progress
from swarmtally.domain.errors import SwarmError
from swarmtally_tools import registry
from swarmtally_tools.definition import Tool, View
from swarmtally_tools.toolsets import Offer

if TYPE_CHECKING:
    from swarmtally.mcp.sampling import Sampling

log = structlog.get_logger(__name__)

RESULT_LIMIT_BYTES = 60_000
"""The largest text of a result: 20,000 tokens at three bytes each, which JSON and prose stay below."""

BEGINNING = 4_000
"""How much of a larger result its text shows, in characters."""

# Made once: `json.dumps` with arguments makes an encoder each time.
_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

OpenApp = Callable[[], Awaitable[App]]
Context = ServerRequestContext[Any, Any]


class Calls:
    """Answers calls of the tools of `offer`, and logs one line for each."""

    def __init__(self, open_app: OpenApp, offer: Offer) -> None:
        self._open_app = open_app
        self._tools = Tools(offer)
        # Bound once: an unbound logger makes itself anew with each line.
        self._log = log.bind()

    async def listed(self) -> list[ToolEntry]:
        await self._tools.load()
        return self._tools.listed

    async def __call__(self, ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        """The result of a client's call, or what the client is asked before there can be one."""

        async def call(app: App, tool: Tool) -> View | InputRequiredResult:
            assert self._tools.sampling is not None, "it is loaded with the tools"
            return await self._tools.sampling.call(app, tool, ctx, params)

        return await self._logged(params, _Forwarder(ctx.session), call)

    async def answer(self, params: CallToolRequestParams, listener: progress.Listener) -> CallToolResult:
        """The result of a call whose client is not waited for; `listener` is told of its progress."""

        async def call(app: App, tool: Tool) -> View:
            return await tool.call(app, params.arguments or {})

        result = await self._logged(params, listener, call)
        assert isinstance(result, CallToolResult), "nobody was there to be asked"
        return result

    async def _logged(
        self, params: CallToolRequestParams, listener: progress.Listener, call: "Call"
    ) -> CallToolResult | InputRequiredResult:
        started = time.perf_counter()
        outcome = "cancelled"
        try:
            await self._tools.load()
            result, outcome = await self._outcome(self._tools.get(params.name), listener, call)
        except MCPError:
            # What the protocol itself has a refusal for.
            outcome = "refused"
            raise
        finally:
            # Only a name of ours is logged: what a caller wrote may be anything.
            self._log.info(
                "tool.call",
                tool=params.name if params.name in registry.MODULES else "unknown",
                duration_ms=round((time.perf_counter() - started) * 1000, 2),
                outcome=outcome,
            )
        return result

    async def _outcome(
        self, tool: Tool, listener: progress.Listener, call: "Call"
    ) -> tuple[CallToolResult | InputRequiredResult, str]:
        """The result of a call, and the one word for it in the log: ok, or the class of the error."""
        try:
            app = await self._open_app()
            with progress.listening(listener):
                view = await call(app, tool)
            if isinstance(view, InputRequiredResult):
                return view, "input_required"
            return success(view.model_dump(mode="json")), "ok"
        except SwarmError as error:
            return _failure(str(error)), type(error).__name__
        except MCPError:
            raise
        except Exception as error:
            error_id = secrets.token_hex(4)
            log.exception("tool.failed", id=error_id, tool=tool.name)
            return _failure(f"internal error, id {error_id}; see the server's log"), type(error).__name__


Call = Callable[[App, Tool], Awaitable[View | InputRequiredResult]]
"""What a call comes to."""


class Tools:
    """The tools, imported when first asked for: the handshake does not wait for them, and needs none."""

    def __init__(self, offer: Offer) -> None:
        self.listed: list[ToolEntry] = []
        self.sampling: Sampling | None = None
        self._offer = offer
        self._by_name: dict[str, Tool] = {}
        self._loading = anyio.Lock()

    async def load(self) -> None:
        """Import them, in a thread: it takes some tenths of a second."""
        if self.listed:
            return
        async with self._loading:
            if not self.listed:
                self._by_name, self.sampling, self.listed = await anyio.to_thread.run_sync(_load, self._offer)

    def get(self, name: str) -> Tool:
        """The tool called `name`; `load` has been awaited.

        Raises:
            MCPError: it is not offered, or there is none.
        """
        tool = self._by_name.get(name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, _sendable(str(registry.refusal(name, self._offer))))
        return tool


def _load(offer: Offer) -> "tuple[dict[str, Tool], Sampling, list[ToolEntry]]":
    from swarmtally.mcp.sampling import Sampling

    tools = {tool.name: tool for tool in registry.load_all(offer)}
    return tools, Sampling(), [_entry(tool) for tool in tools.values()]


@cache
def _entry(tool: Tool) -> ToolEntry:
    """The tool as it is listed. Making its schemas takes some ms, and a process may have several servers."""
    return ToolEntry(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        annotations=ToolAnnotations(
            read_only_hint=tool.read_only,
            destructive_hint=tool.destructive,
            idempotent_hint=tool.idempotent,
            open_world_hint=tool.open_world,
        ),
    )


def success(structured: dict[str, Any]) -> CallToolResult:
    """The result that holds what a tool returned."""
    text = _to_json(structured)
    # Encoding here also refuses what the transport could not send, while there is still someone to tell.
    size = len(text.encode())
    if size > RESULT_LIMIT_BYTES:
        note = f"{size} bytes, too much for a model's context: whole in structuredContent; here is the beginning"
        text = json.dumps({"note": note, "beginning": text[:BEGINNING]}, ensure_ascii=False)
    return CallToolResult(content=[TextContent(text=text)], structured_content=structured)


def _failure(line: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=_sendable(line))], is_error=True)


def _sendable(line: str) -> str:
    # A path may hold bytes that are no UTF-8, and would come back as halves of surrogate pairs.
    return line.encode(errors="replace").decode()


class _Forwarder:
    """Sends progress to the caller as notifications. The protocol wants the figure to grow with each."""

    def __init__(self, session: ServerSession) -> None:
        self._session = session
        self._last = -1.0

    async def __call__(self, done: float, total: float | None, message: str) -> None:
        if done <= self._last:
            return
        self._last = done
        try:
            await self._session.report_progress(done, total, message)
        except (MCPError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            # The client has gone; the run it started is none of its connection's business.
            log.debug("progress.unsent", error=type(error).__name__)

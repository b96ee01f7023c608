"""Tools that answer with a handle, as the validator's scenarios of the Tasks extension want them, behind `Tasks`."""

from typing import Any

import anyio
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, CallToolRequestParams, CallToolResult, TextContent

from swarmtally.core import progress
from swarmtally.mcp import tasks
from swarmtally.mcp.calling import Calls, Context, OpenApp
from swarmtally_tools.toolsets import Offer

SECONDS = {"type": "object", "properties": {"seconds": {"type": "number"}}}
NAME = {"type": "object", "properties": {"name": {"type": "string"}}}

SCHEMAS: dict[str, dict[str, Any]] = {
    "greet": NAME,
    "slow_compute": SECONDS,
    "failing_job": {"type": "object", "properties": {}},
    "protocol_error_job": {"type": "object", "properties": {}},
}

HANDLED = frozenset(SCHEMAS) - {"greet"}


class FixtureCalls(Calls):
    """Our calls, and those of the tools above."""

    async def __call__(self, ctx: Context, params: CallToolRequestParams) -> Any:
        return await (_result(params) if params.name in SCHEMAS else super().__call__(ctx, params))

    async def answer(self, params: CallToolRequestParams, listener: progress.Listener) -> CallToolResult:
        return await (_result(params) if params.name in SCHEMAS else super().answer(params, listener))


async def _result(params: CallToolRequestParams) -> CallToolResult:
    arguments = params.arguments or {}
    match params.name:
        case "greet":
            return _said(f"Hello, {arguments.get('name')}!")
        case "slow_compute":
            await anyio.sleep(float(arguments.get("seconds", 1)))
            return _said("computed")
        case "failing_job":
            await anyio.sleep(1)
            return CallToolResult(content=[TextContent(text="it failed, as it always does")], is_error=True)
        case _:
            await anyio.sleep(0.2)
    raise MCPError(INTERNAL_ERROR, "an error of the protocol")


def _said(line: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=line)])


def serve_tasks(server: Server[Any], open_app: OpenApp) -> None:
    """Have `server` answer calls of the tools above with handles, at once."""
    tasks.LONG |= HANDLED
    tasks.PROMPT_S = 0.0
    tasks.Tasks(open_app, FixtureCalls(open_app, Offer())).serve(server)

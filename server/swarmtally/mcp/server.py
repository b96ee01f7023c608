"""The server as MCP clients see it: who answers what.

Built on the SDK's low-level `Server`: our tools have one definition, with their own schemas, checks and error text,
which a higher layer would derive a second time (and it drops arguments it does not know).
"""

from typing import Any

from mcp.server.lowlevel import Server
from mcp_types import ListToolsResult, PaginatedRequestParams
from opentelemetry import trace

from swarmtally.mcp.calling import Calls, Context, OpenApp
from swarmtally.mcp.completions import Completions
from swarmtally.mcp.identity import NAME, IntroducedServer
from swarmtally.mcp.instructions import instructions
from swarmtally.mcp.paging import page
from swarmtally.mcp.prompts import Prompts
from swarmtally.version import __version__
from swarmtally_tools.toolsets import Offer


def make_server(open_app: OpenApp, offer: Offer = Offer()) -> Server[Any]:  # noqa: B008 - frozen
    """The server over the app that `open_app` gives; it is asked with each call.

    Args:
        offer: which tools there are; prompts that need another one are left out as well.
    """
    calls = Calls(open_app, offer)
    prompts = Prompts(open_app, offer)

    async def list_tools(_ctx: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        tools, following = page("tools/list", await calls.listed(), lambda tool: tool.name, params)
        return ListToolsResult(tools=tools, next_cursor=following)

    server = IntroducedServer(
        NAME,
        version=__version__,
        title=NAME,
        instructions=instructions(offer),
        on_list_tools=list_tools,
        on_call_tool=calls,
        on_list_prompts=prompts.listed,
        on_get_prompt=prompts.got,
        on_completion=Completions(open_app, prompts),
    )
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        # All there is so far is the SDK's tracing. Nobody has asked OpenTelemetry for spans, and making them takes
        # time.
        server.middleware.clear()
    return server

"""The server as MCP clients see it: who answers what.

Built on the SDK's low-level `Server`: our tools have one definition, with their own schemas, checks and error text,
which a higher layer would derive a second time (and it drops arguments it does not know).
"""

from mcp_types import (
    EmptyResult,
    ListResourcesResult,
    ListToolsResult,
    PaginatedRequestParams,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequestParams,
)
from opentelemetry import trace

from swarmtally.mcp.calling import Calls, Context, OpenApp
from swarmtally.mcp.completions import Completions
from swarmtally.mcp.identity import IntroducedServer
from swarmtally.mcp.instructions import instructions
from swarmtally.mcp.paging import page
from swarmtally.mcp.prompts import Prompts
from swarmtally.mcp.resources import CACHE_HINTS, Resources
from swarmtally.mcp.sealing import Sealing
from swarmtally.mcp.sizes import bounded
from swarmtally.mcp.subscriptions import Subscribing, Subscriptions
from swarmtally.mcp.tasks import Tasks
from swarmtally_tools.toolsets import Offer


class McpServer(IntroducedServer):
    """The server, whose streams of change notices can be ended."""

    def __init__(self, subscribing: Subscribing, **handlers: object) -> None:
        super().__init__(lifespan=subscribing.lifespan, **handlers)
        self._subscribing = subscribing

    def end_streams(self) -> None:
        """End all of them in order; calls under way go on."""
        self._subscribing.close()


def make_server(open_app: OpenApp, offer: Offer = Offer()) -> McpServer:  # noqa: B008 - frozen
    """The server over the app that `open_app` gives; it is asked with each call.

    Args:
        offer: which tools there are; prompts that need another one are left out as well.
    """
    calls = Calls(open_app, offer)
    prompts = Prompts(open_app, offer)
    resources = Resources(open_app)

    async def list_tools(_ctx: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        tools, following = page("tools/list", await calls.listed(), lambda tool: tool.name, params)
        return ListToolsResult(tools=tools, next_cursor=following)

    async def list_resources(ctx: Context, params: PaginatedRequestParams | None) -> ListResourcesResult:
        found = await resources.list(ctx, params)
        await _subscriptions(ctx).heed_list(ctx)
        return found

    server = McpServer(
        Subscribing(open_app),
        instructions=instructions(offer),
        cache_hints=CACHE_HINTS,
        on_list_tools=list_tools,
        on_call_tool=calls,
        on_list_prompts=prompts.listed,
        on_get_prompt=prompts.got,
        on_completion=Completions(open_app, prompts),
        on_list_resources=list_resources,
        on_list_resource_templates=resources.templates,
        on_read_resource=resources.read,
        on_subscribe_resource=_subscribe,
        on_unsubscribe_resource=_unsubscribe,
        on_subscriptions_listen=_listen,
    )
    Tasks(open_app, calls).serve(server)
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        # All there is so far is the SDK's tracing. Nobody has asked OpenTelemetry for spans, and making them takes
        # time.
        server.middleware.clear()
    server.middleware.append(bounded)
    server.middleware.append(Sealing())
    return server


async def _subscribe(ctx: Context, params: SubscribeRequestParams) -> EmptyResult:
    return await _subscriptions(ctx).subscribe(ctx, params)


async def _unsubscribe(ctx: Context, params: UnsubscribeRequestParams) -> EmptyResult:
    return await _subscriptions(ctx).unsubscribe(ctx, params)


async def _listen(ctx: Context, params: SubscriptionsListenRequestParams) -> SubscriptionsListenResult:
    return await _subscriptions(ctx).listen(ctx, params)


def _subscriptions(ctx: Context) -> Subscriptions:
    """Those of the server that answers, whose lifespan they are."""
    found: Subscriptions = ctx.lifespan_context
    return found

"""Clients lend their model: a run's packets go to it as sampling requests, and its answers come back as reports.

Only calls that begin or follow a run bring it work, and only where the run's model is `sampling` and the client
declares the capability. In the protocols before 2026 requests are sent while the call is open, and over a connection
of the client's own also after it (`live`). In that of 2026 the call is answered with a wave of requests, and asked
again with the answers (`waves`). Either way a packet is claimed and reported as any client does it, so leases and
fences count each answer once, and what was not answered can be claimed by anybody.
"""

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolRequestParams, InputRequiredResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from swarmtally.app import App
from swarmtally.core import lending
from swarmtally.mcp.calling import Context
from swarmtally.mcp.live import LiveLender, Requests
from swarmtally.mcp.waves import Waves
from swarmtally_tools.definition import Tool, View

FOLLOWING = frozenset({"sparc_run", "sparc_batch", "sparc_concurrent", "sparc_pipeline", "run_status"})
"""The tools that begin or follow a run."""


class Sampling:
    """Calls of tools with the model of the client that makes them."""

    def __init__(self) -> None:
        self._requests = Requests()

    async def call(
        self, app: App, tool: Tool, ctx: Context, params: CallToolRequestParams
    ) -> View | InputRequiredResult:
        """The tool's result, or what its client is asked before there can be one.

        Raises:
            MCPError: the client's answers are to no question of ours.
            SwarmError: as the tool.
        """
        arguments = params.arguments or {}
        if tool.name not in FOLLOWING:
            return await tool.call(app, arguments)
        if params.request_state is not None:
            # The server's middleware has opened it, so it is one of ours, of this tool and these arguments.
            waves = Waves(app, params.request_state)
            await waves.record(params.input_responses or {})
            async with waves.lent():
                return await waves.go_on(tool, arguments)
        if params.input_responses is not None:
            raise MCPError(INVALID_PARAMS, "inputResponses came without the requestState that they answer")
        if not declared(ctx):
            return await tool.call(app, arguments)
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
            waves = Waves(app)
            async with waves.lent():
                view = await tool.call(app, arguments)
            return waves.asked() or view
        with lending.lent_by(LiveLender(app, ctx, self._requests)):
            return await tool.call(app, arguments)


def declared(ctx: Context) -> bool:
    """Whether the client behind a request takes sampling requests, and can be sent some."""
    capabilities = ctx.session.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        return False
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS or ctx.session.can_send_request

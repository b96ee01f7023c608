"""Seals the state that a call hands its client between rounds, and opens what comes back.

The SDK does both: a client can neither read the state nor change it, and what it brings must belong to the same tool
and arguments, be of this process, and no older than a packet's lease. Its cipher is imported with the first call that
needs it, because few do and it takes longer than the rest of the handshake.
"""

from typing import Any

import anyio
import anyio.to_thread
from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp_types.version import MODERN_PROTOCOL_VERSIONS


class Sealing:
    """A middleware of the SDK's server."""

    def __init__(self) -> None:
        self._boundary: ServerMiddleware[Any] | None = None
        self._loading = anyio.Lock()

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if ctx.method != "tools/call" or not _concerned(ctx):
            return await call_next(ctx)
        async with self._loading:
            if self._boundary is None:
                self._boundary = await anyio.to_thread.run_sync(_boundary)
        return await self._boundary(ctx, call_next)


def _concerned(context: ServerRequestContext[Any, Any]) -> bool:
    """Whether a call brings a state, or can be answered with one."""
    if context.params is not None and context.params.get("requestState") is not None:
        return True
    capabilities = context.session.client_capabilities
    lends = capabilities is not None and capabilities.sampling is not None
    return lends and context.protocol_version in MODERN_PROTOCOL_VERSIONS


def _boundary() -> ServerMiddleware[Any]:
    from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity

    from swarmtally.core.packets import LEASE_NS
    from swarmtally.domain.clock import NS_PER_S

    return RequestStateBoundary(RequestStateSecurity.ephemeral(ttl=LEASE_NS / NS_PER_S), default_audience="swarmtally")

"""How many values a request, or a client's answer, may have. The SDK checks what the protocol says of them before
anybody of ours is asked, and remembers each fault that it finds: a request of 3 MB made of nothing but faults took 9 GB
and half a minute."""

from collections.abc import Mapping
from typing import Any

import structlog
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp_types import INVALID_PARAMS

from mcp import MCPError

log = structlog.get_logger(__name__)

VALUES_LIMIT = 5_000
"""The most values of a request, those of a tool's arguments not counted: the protocol says nothing of them. A wave of
100 answers of a client's model has about 800."""


async def bounded(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """A middleware of the SDK's server: refuses messages that have too many values."""
    not_read = ("arguments",) if ctx.method == "tools/call" else ()
    if has_more_than(VALUES_LIMIT, [value for name, value in (ctx.params or {}).items() if name not in not_read]):
        told = f"{ctx.method} has too many values; at most {VALUES_LIMIT:,} are read beside arguments of tools"
        if ctx.request_id is None:
            log.warning("notification.dropped", why=told)
            return None
        raise MCPError(INVALID_PARAMS, told)
    return await call_next(ctx)


def has_more_than(limit: int, value: object) -> bool:
    """Whether there are more values than that in it, at any depth."""
    count, looked_at = 0, [value]
    while looked_at:
        inner = looked_at.pop()
        if isinstance(inner, Mapping):
            inner = list(inner.values())
        if isinstance(inner, list):
            count += len(inner)
            if count > limit:
                return True
            looked_at += inner
    return False

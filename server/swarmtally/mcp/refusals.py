"""What a client is told when it asks for a prompt or a completion that cannot be given: one line, and a code."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS

from swarmtally.domain.errors import StoreError, SwarmError

log = structlog.get_logger(__name__)


@contextmanager
def told(method: str) -> Iterator[None]:
    """Errors inside become errors of the protocol. What a caller can mend is -32602 with our one line; what nobody
    foresaw is logged with its trace under an id, and the caller gets the id, for the SDK would send its text.

    Raises:
        MCPError: in place of any other error.
    """
    try:
        yield
    except MCPError:
        raise
    except StoreError as error:
        raise MCPError(INTERNAL_ERROR, _sendable(error)) from None
    except SwarmError as error:
        raise MCPError(INVALID_PARAMS, _sendable(error)) from None
    except Exception as error:
        error_id = secrets.token_hex(4)
        log.exception("request.failed", id=error_id, method=method)
        raise MCPError(INTERNAL_ERROR, f"internal error, id {error_id}; see the server's log") from error


def _sendable(error: SwarmError) -> str:
    # A path may hold bytes that are no UTF-8, and would come back as halves of surrogate pairs.
    return str(error).encode(errors="replace").decode()

"""Where the HTTP server listens, and for whom: settled before the event loop runs, so that errors are told at once."""

import os
import socket
from dataclasses import dataclass
from typing import Literal

from swarmtally.domain.errors import InvalidInput
from swarmtally.mcp.access import TOKEN_VARIABLE, Access, allowed_names, checked_token

Transport = Literal["http", "sse"]

PATHS: dict[Transport, str] = {"http": "/mcp", "sse": "/sse"}
"""Where clients connect."""

MESSAGES = "/messages/"
"""Where clients of SSE send what they say."""

QUEUE = 1_024
"""Connections the system keeps until the server takes them; when it is full, clients try again a second later."""

AT_ONCE = 64
"""Connections the server takes in one turn of its event loop. Three turns later they are counted by
`Bounds.connections`, or closed; until then each needs a file descriptor beyond those."""


@dataclass(frozen=True, slots=True)
class Listening:
    """A socket that listens, and who may use it."""

    transport: Transport
    socket: socket.socket
    access: Access

    @property
    def url(self) -> str:
        """What clients connect to."""
        host = f"[{self.access.host}]" if ":" in self.access.host else self.access.host
        return f"http://{host}:{self.access.port}{PATHS[self.transport]}"


def listen(transport: Transport, host: str, port: int, allowed: tuple[str, ...] = ()) -> Listening:
    """Listen on `host`, a name or an address; `port` 0 takes a free one. The token is the environment's.

    Blocking: it may ask for the name.

    Raises:
        InvalidInput: it cannot listen there, the token that is needed is missing, or a name in `allowed` is none.
    """
    names = allowed_names(allowed)
    family, address = _resolved(host, port)
    token = checked_token(os.environ.get(TOKEN_VARIABLE), address)
    try:
        bound = socket.create_server((address, port), family=family, backlog=QUEUE)
    except OSError as error:
        raise InvalidInput(
            f"cannot listen on {host} port {port}: {error.strerror or error}; give another --host or --port "
            "(0 takes a free one)"
        ) from error
    return Listening(transport, bound, Access(host, bound.getsockname()[1], names, token))


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise InvalidInput(f"--host is {host!r}, which is no address of this machine; try 127.0.0.1") from error
    # Of a name with both, such as localhost, the address that every client tries.
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, str(address[0])

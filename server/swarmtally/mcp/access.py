"""Who may talk to the HTTP server: the names it answers to, the origins it trusts, the token it asks for.

A web page anywhere can make its reader's browser send requests to a server on loopback, and can point a name of its own
at 127.0.0.1 (DNS rebinding). So the Host header must name this server, an Origin header must be this server's own, and
both hold on loopback too. Off loopback a bearer token is asked for as well.
"""

import hmac
import ipaddress
import re
from dataclasses import dataclass, field

from swarmtally.domain.errors import InvalidInput

TOKEN_VARIABLE = "SWARMTALLY_TOKEN"  # noqa: S105 # the name of the variable, not what it holds

TOKEN_CHARACTERS = 16
"""The shortest token."""

_AUTHORITY = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Access:
    """What a request must show.

    Args:
        host: the name or address the server was told to bind.
        port: the port it is bound to.
        allowed: further names, as lower-case `name` (with any port) or `name:port`.
        token: the bearer token, when one is asked for.
    """

    host: str
    port: int
    allowed: frozenset[str] = frozenset()
    token: str | None = field(default=None, repr=False)

    def names_us(self, authority: str, arrived_at: str | None, scheme: str = "http") -> bool:
        """Whether `authority`, a Host header or the part of an origin behind `//`, is this server.

        Args:
            arrived_at: the address of ours the connection came to. It is a name of ours too: behind an address no
                other server's name can hide.
        """
        found = _AUTHORITY.fullmatch(authority.lower())
        if found is None:
            return False
        name, port = found["name"], int(found["port"] or _DEFAULT_PORTS[scheme])
        if name in self.allowed or f"{name}:{port}" in self.allowed:
            return True
        ours = {*_LOOPBACK, _bracketed(self.host)} | ({_bracketed(arrived_at)} if arrived_at else set())
        return port == self.port and name in ours

    def trusts(self, origin: str, arrived_at: str | None) -> bool:
        """Whether `origin`, an Origin header, is this server's own."""
        scheme, separator, authority = origin.lower().partition("://")
        return bool(separator) and scheme in _DEFAULT_PORTS and self.names_us(authority, arrived_at, scheme)

    def admits(self, authorization: bytes | None) -> bool:
        """Whether `authorization`, an Authorization header, holds the token; always when none is asked for."""
        if self.token is None:
            return True
        scheme, _, given = (authorization or b"").partition(b" ")
        # The same time for every wrong token, so that none can be guessed byte by byte.
        right = hmac.compare_digest(given.strip(), self.token.encode())
        return right and scheme.lower() == b"bearer"


def allowed_names(given: tuple[str, ...]) -> frozenset[str]:
    """The names given with --allowed-host, checked.

    Raises:
        InvalidInput: one is no host name.
    """
    for name in given:
        if _AUTHORITY.fullmatch(name.lower()) is None:
            raise InvalidInput(f"--allowed-host is {name!r}; it takes a host name, or NAME:PORT")
    return frozenset(name.lower() for name in given)


def checked_token(given: str | None, address: str) -> str | None:
    """The token to ask for on `address`, or None where none is needed and none was given.

    Raises:
        InvalidInput: one is needed and missing, or it is too short or cannot be sent in a header.
    """
    if not given:
        if ipaddress.ip_address(address).is_loopback:
            return None
        raise InvalidInput(
            f"{address} can be reached from other machines; set {TOKEN_VARIABLE} to a secret of {TOKEN_CHARACTERS} or "
            "more characters that clients send as a bearer token, or serve on 127.0.0.1"
        )
    if len(given) < TOKEN_CHARACTERS or not all("!" <= character <= "~" for character in given):
        raise InvalidInput(
            f"{TOKEN_VARIABLE} takes {TOKEN_CHARACTERS} or more visible ASCII characters without spaces; "
            "make one with: openssl rand -hex 24"
        )
    return given


def _bracketed(host: str) -> str:
    return f"[{host.lower()}]" if ":" in host else host.lower()

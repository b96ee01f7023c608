"""The bounds of the transports: what one client, or a thousand, can take of the server."""

from dataclasses import dataclass

GRACE_S = 0.75
"""The usual `Bounds.grace_s`."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The defaults are what `swarmtally serve` uses."""

    body_bytes: int = 8 << 20
    """The largest request body, and over stdio the longest line. A memory value may be 1 MiB of JSON, a report of
    work several MiB."""

    request_s: float = 10.0
    """How long the head of a request may take to arrive, and then its body; also how long a new connection may stay
    silent."""

    connections: int = 2_048
    """Open connections: about two for each of a thousand clients. One more closes the one that has waited longest
    without a call; when all have calls under way, the new one is closed."""

    idle_s: int = 75
    """How long a connection may stay open between two requests."""

    stalled_s: float = 30.0
    """How long a client may leave an answer unread."""

    sessions: int = 4_000
    """Sessions of the 2025 protocol, at about 45 kB; one more is answered 503. Clients that went without a word keep
    theirs until `session_idle_s`, so there are more than clients."""

    session_idle_s: float = 30 * 60.0
    """How long a session may stay without a request or an open stream; after that its id is answered 404, and the
    client starts a new one."""

    requests_per_s: float = 200.0
    """Requests a second from one address, in the long run; 0: no limit. A client that works hard sends a few, so this
    is a whole team behind one address; one process answers 1,000 to 2,000."""

    burst_s: float = 10.0
    """How much of that may come at once after silence."""

    counts_loopback: bool = False
    """Whether the limit holds for this machine's own clients too: a proxy on it, or a benchmark, is many clients."""

    clients: int = 10_000
    """Addresses whose requests are counted, at about 150 bytes."""

    grace_s: float = GRACE_S
    """How long calls under way may take once the server was told to end. As much again is left for letting go of runs
    and for the interpreter's own end, before the watchdog strikes."""

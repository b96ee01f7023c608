"""The bounds of the transports: what one client, or a thousand, can take of the server."""

from dataclasses import dataclass


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

    grace_s: float = 0.75
    """How long calls under way may take once the server was told to end. As much again is left for letting go of runs
    and for the interpreter's own end, before the watchdog strikes."""

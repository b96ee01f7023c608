"""What a check of health finds."""

from dataclasses import dataclass
from enum import StrEnum

from swarmtally.domain.errors import SwarmError


class Status(StrEnum):
    """From best to worst."""

    OK = "ok"
    DEGRADED = "degraded"
    """It works, and something about it needs attention."""
    FAILED = "failed"
    """It does not work."""

    @property
    def rank(self) -> int:
        """Higher is worse."""
        return list(Status).index(self)


@dataclass(frozen=True, slots=True)
class Finding:
    """A fact with its figure and limit, and what to do about it: a command where there is one."""

    status: Status
    detail: str
    remedy: str | None = None

    @classmethod
    def of(cls, error: SwarmError, status: Status = Status.FAILED) -> "Finding":
        """From an error, whose text is the fact and, after a semicolon, the remedy."""
        fact, _, remedy = str(error).partition("; ")
        return cls(status, fact, remedy or None)


def ok(detail: str) -> Finding:
    return Finding(Status.OK, detail)


def at_most(value: float, degraded: float, failed: float = float("inf")) -> Status:
    """The status of a figure that is bad when it is large: a limit itself still counts as good."""
    return Status.FAILED if value > failed else Status.DEGRADED if value > degraded else Status.OK


def at_least(value: float, degraded: float, failed: float = float("-inf")) -> Status:
    """The status of a figure that is bad when it is small: a limit itself still counts as good."""
    return Status.FAILED if value < failed else Status.DEGRADED if value < degraded else Status.OK

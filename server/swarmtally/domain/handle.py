"""Handles: calls that go on while their client asks now and then how far they are, in whichever process it asks.

The protocol calls them tasks; a task of ours is a step of a run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from swarmtally.domain.clock import NS_PER_S

KEPT_NS = 24 * 3600 * NS_PER_S
"""How long a handle is kept after it was last known to go on, or ended."""

LONGEST_NS = 7 * 24 * 3600 * NS_PER_S
"""The longest a handle is kept after it was made. The run it stands for goes on without it."""


class HandleStatus(StrEnum):
    WORKING = "working"
    COMPLETED = "completed"
    FAILED = "failed"
    """Nobody is left who could give its result."""
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self is not HandleStatus.WORKING


@dataclass(frozen=True, slots=True)
class Handle:
    """A call of a tool. What stands for a run (`run_id`) has no state of its own until the run has nothing more to be
    waited for; any other is worked on by `owner`, which renews its lease."""

    handle_id: str
    project: str
    tool: str
    run_id: str | None
    notes: str
    """What the result of a run's call says before its next step."""
    owner: str
    lease_expires_ns: int
    status: HandleStatus
    message: str
    """How far it was when it was last written, or how it ended."""
    result: str | None
    """The call's result as JSON; only of what completed."""
    created_ns: int
    updated_ns: int
    expires_ns: int

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Handle":
        return cls(
            handle_id=row["handle_id"],
            project=row["project"],
            tool=row["tool"],
            run_id=row["run_id"],
            notes=row["notes"],
            owner=row["owner"],
            lease_expires_ns=row["lease_expires_ns"],
            status=HandleStatus(row["status"]),
            message=row["message"],
            result=row["result"],
            created_ns=row["created_ns"],
            updated_ns=row["updated_ns"],
            expires_ns=row["expires_ns"],
        )

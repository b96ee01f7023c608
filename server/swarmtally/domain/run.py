"""Runs: one request turned into a graph of tasks, scheduled by the one process that holds its lease."""

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from swarmtally.domain.budget import UNLIMITED, Budget
from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.topology import Shape

LEASE_NS = 15 * NS_PER_S
"""How long a process holds a run without renewing."""

HEARTBEAT_S = 5.0
"""How often it renews."""


class RunKind(StrEnum):
    RUN = "run"
    BATCH = "batch"
    CONCURRENT = "concurrent"
    PIPELINE = "pipeline"
    CALIBRATION = "calibration"
    """Calls made one after another to learn what one takes alone; counted in no figure but that and tokens."""
    QUEUE = "queue"
    """Tasks with roles, priorities and dependencies of their own."""


class RunStatus(StrEnum):
    """What is stored. `interrupted` is not stored: it is how a running run shows whose lease has ended."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING_FOR_HOST = "waiting_for_host"
    """Its tasks are packets that clients claim and report; no process of ours executes it."""
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED)


INTERRUPTED = "interrupted"

HOST = "host"
"""The name of the backend that is the calling client: its runs belong to no process of ours."""

SAMPLING = "sampling"
"""The `model` of such a backend where the client lends its model: packets go to it as sampling requests."""


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """Which backend a run uses, and why: enough to open the same one again after a restart. Holds no credential."""

    name: str
    """`host`, `model` or `local`, or a program's own name."""
    model: str
    base_url: str | None
    reason: str
    max_output_tokens: int | None
    max_parallel: int | None = None
    """Calls at the same time, of a provider's or a client's model; None: its backend's own limit."""

    @property
    def lent(self) -> bool:
        """Whether the work goes to the calling client's model as sampling requests, where the client takes those."""
        return (self.name, self.model) == (HOST, SAMPLING)

    def same_model(self, other: "BackendChoice") -> bool:
        """Whether both mean the same model on the same server."""
        return (self.name, self.model, self.base_url) == (other.name, other.model, other.base_url)

    def to_json(self) -> str:
        return json.dumps(
            {
                "name": self.name,
                "model": self.model,
                "base_url": self.base_url,
                "reason": self.reason,
                "max_output_tokens": self.max_output_tokens,
                "max_parallel": self.max_parallel,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "BackendChoice":
        return cls(**json.loads(text))


OUTPUT_TOKENS_LIMIT = 1_000_000
"""The most tokens a call may be allowed to write: more than any model does."""


def check_output_tokens(limit: int | None) -> None:
    """
    Raises:
        InvalidInput: no call could be allowed to write so many tokens.
    """
    if limit is not None and not 1 <= limit <= OUTPUT_TOKENS_LIMIT:
        raise InvalidInput(f"max_output_tokens is {limit}; it must be 1 to {OUTPUT_TOKENS_LIMIT}")


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be made. `context` are texts every task of it sees."""

    kind: RunKind
    task: str
    context: tuple[str, ...]
    out_dir: str | None
    backend: BackendChoice
    shape: Shape | None = None
    """None: decided when its tasks are known."""
    shape_reason: str | None = None
    budget: Budget = UNLIMITED


@dataclass(frozen=True, slots=True)
class Lease:
    """A process's hold on a run. `epoch` grows by one each time the hold changes hands; it fences results."""

    run_id: str
    epoch: int
    owner: str


@dataclass(frozen=True, slots=True)
class Run:
    run_id: str
    project: str
    swarm_id: str
    kind: RunKind
    task: str
    context: tuple[str, ...]
    out_dir: str | None
    backend: BackendChoice
    status: RunStatus
    reason: str | None
    shape: Shape | None
    shape_reason: str | None
    created_ns: int
    started_ns: int | None
    finished_ns: int | None
    lease_owner: str | None
    lease_epoch: int
    lease_expires_ns: int
    budget: Budget = UNLIMITED

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Run":
        return cls(
            run_id=row["run_id"],
            project=row["project"],
            swarm_id=row["swarm_id"],
            kind=RunKind(row["kind"]),
            task=row["task"],
            context=tuple(json.loads(row["context"])),
            out_dir=row["out_dir"],
            backend=BackendChoice.from_json(row["backend"]),
            status=RunStatus(row["status"]),
            reason=row["reason"],
            shape=Shape(row["shape"]) if row["shape"] else None,
            shape_reason=row["shape_reason"],
            created_ns=row["created_ns"],
            started_ns=row["started_ns"],
            finished_ns=row["finished_ns"],
            lease_owner=row["lease_owner"],
            lease_epoch=row["lease_epoch"],
            lease_expires_ns=row["lease_expires_ns"],
            budget=Budget.from_row(row),
        )

    def shown_status(self, now_ns: int, dead_owners: Container[str] = ()) -> str:
        """The status a reader sees: `interrupted` when the run should be executed and no living process holds it."""
        if self.status in (RunStatus.QUEUED, RunStatus.RUNNING) and (
            self.lease_expires_ns <= now_ns or self.lease_owner in dead_owners
        ):
            return INTERRUPTED
        return str(self.status)

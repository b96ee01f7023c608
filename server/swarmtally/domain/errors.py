"""Every condition a caller can meet, one class each. The message is one line: the fact and the remedy.

SwarmError
├── InvalidInput              an argument is wrong; the text says which and what is right
├── NotFound                  nothing has that id, name or key
├── NoSwarm                   the project has no current swarm
├── SwarmFull                 max_agents is reached
├── RoleMissing               a specialized swarm cannot serve a role
├── NoEdge                    the topology has no edge between two agents
├── VersionConflict           a compare-and-set lost
├── RunHeld                   another living process runs it
├── RunFinished               nothing is left to resume, pause or cancel
├── AttemptOver               the run was cancelled or taken over before a task's call was sent
├── PacketRefused             a report or renewal names a lease that no longer counts
├── PathRefused               a path lies outside the allowed roots
├── AnalysisFailed            what analyses code or a log ended before its work was done
├── ModelMissing              the embedded model is not there, or not what was asked for
├── NoBackend                 nothing can do the work: no model, no key
├── TrainingBroken            the process that trained a model was ended
├── BackendFailure            a call failed (transient or final)
│   └── ContextExceeded       the prompt did not fit the model's context
└── StoreError
    ├── DatabaseBusy          the write lock could not be had in time
    ├── DiskFull
    ├── DatabaseReadOnly
    ├── DatabaseCorrupt
    ├── DatabaseUnavailable   cannot be opened
    ├── NetworkFileSystem
    ├── ForeignDatabase       another program's SQLite file
    └── NewerSchema           a newer swarmtally has migrated the file
"""

from enum import StrEnum

from swarmtally.domain.swarm import MAX_AGENTS_LIMIT
from swarmtally.domain.usage import TokenUsage


class SwarmError(Exception):
    """A condition the caller can do something about; `str(error)` is the one line to show."""


class InvalidInput(SwarmError):
    """An argument is wrong."""


class NotFound(SwarmError):
    """Nothing has that id, name or key."""


class NoSwarm(SwarmError):
    def __init__(self, project: str) -> None:
        super().__init__(f"project {project} has no current swarm; make one with swarm_init, or name one with swarm_id")


class SwarmFull(SwarmError):
    def __init__(self, swarm_id: str, used: int, limit: int, wanted: int) -> None:
        remedy = f"raise it with swarm_scale --target-size {used + wanted}"
        if used + wanted > MAX_AGENTS_LIMIT:
            remedy = f"no swarm holds more than {MAX_AGENTS_LIMIT}: ask for fewer, or make another with swarm_init"
        super().__init__(f"swarm {swarm_id} is full ({used} of {limit} agents, {wanted} more asked for); {remedy}")


class RoleMissing(SwarmError):
    def __init__(self, swarm_id: str, roles: tuple[str, ...], room: int) -> None:
        super().__init__(
            f"swarm {swarm_id} is specialized, has no agent of role {', '.join(roles)} and room for {room}; "
            "spawn them with agent_spawn --type ROLE, or use strategy balanced"
        )


class NoEdge(SwarmError):
    """The topology has no edge from one agent to another; `remedy` says what to do instead."""

    def __init__(self, shape: str, source: str, target: str, remedy: str) -> None:
        super().__init__(f"agent {source} has no edge to agent {target} ({shape} topology); {remedy}")


class VersionConflict(SwarmError):
    def __init__(self, namespace: str, key: str, expected: int, found: int) -> None:
        have = f"is at version {found}" if found else "does not exist"
        super().__init__(
            f"entry {key!r} in namespace {namespace!r} {have}, not at version {expected}; retrieve it and try again"
        )


class RunHeld(SwarmError):
    def __init__(self, run_id: str, owner: str, remaining_s: float) -> None:
        super().__init__(
            f"run {run_id} is executed by another process ({owner}, host:pid:start), whose lease ends in "
            f"{remaining_s:.0f} s unless it lives on; follow it with run_status, or stop that process"
        )


class RunFinished(SwarmError):
    def __init__(self, run_id: str, status: str, verb: str) -> None:
        retry = "; run_control retry does failed and cancelled tasks again" if status != "succeeded" else ""
        was = "was" if status == "cancelled" else "has"
        super().__init__(f"run {run_id} {was} {status}; nothing is left to {verb}{retry}. See it with run_status")


class AttemptOver(SwarmError):
    def __init__(self, task_id: str, number: int) -> None:
        super().__init__(f"attempt {number} of task {task_id} was over before its call was sent; see its run's status")


class PacketRefused(SwarmError):
    def __init__(self, task_id: str, why: str, remedy: str) -> None:
        super().__init__(f"task {task_id}: {why}; nothing was recorded: {remedy}")


class PathRefused(SwarmError):
    """A path lies outside the allowed roots, or is not what it should be."""


class AnalysisFailed(SwarmError):
    """What analyses code or a log took too long, or ended before its work was done."""


class ModelMissing(SwarmError):
    """The embedded model is not there, or not the file that was asked for."""


class NoBackend(SwarmError):
    """Nothing can do the work: no model was named, no key is set, no embedded model was pulled."""


class TrainingBroken(SwarmError):
    def __init__(self, status: int | None) -> None:
        super().__init__(
            f"the process that trained the model ended with status {status} before it was done; nothing was kept: try "
            "again, with more free memory where there was too little"
        )


class FailureCause(StrEnum):
    """Why a call failed, as far as figures tell failures apart."""

    RATE_LIMIT = "rate_limit"
    """The provider takes no more calls for now."""
    TIMEOUT = "timeout"
    """No answer in time."""
    NETWORK = "network"
    """The provider could not be reached, or the connection broke."""
    SERVER = "server"
    """The provider failed."""
    OTHER = "other"


class BackendFailure(SwarmError):
    """A call to a model failed. A transient failure is tried again; `usage` is what was reported all the same."""

    def __init__(
        self,
        message: str,
        *,
        transient: bool,
        retry_after_s: float | None = None,
        usage: TokenUsage | None = None,
        cause: FailureCause = FailureCause.OTHER,
    ) -> None:
        super().__init__(message)
        self.transient = transient
        self.retry_after_s = retry_after_s
        self.usage = usage
        self.cause = cause


class ContextExceeded(BackendFailure):
    """The prompt did not fit the model's context. From a backend: it is packed smaller and sent again. From a packer:
    it cannot be packed smaller."""

    def __init__(self, message: str, usage: TokenUsage | None = None) -> None:
        super().__init__(message, transient=False, usage=usage)


class StoreError(SwarmError):
    """The database cannot be used as asked."""


class DatabaseBusy(StoreError):
    def __init__(self, path: str, waited_s: float) -> None:
        super().__init__(
            f"database {path} was locked for {waited_s:.0f} s; find the process that holds it and try again"
        )


class DiskFull(StoreError):
    def __init__(self, path: str) -> None:
        super().__init__(f"database {path} could not be written: the disk is full; free space and try again")


class DatabaseReadOnly(StoreError):
    def __init__(self, path: str) -> None:
        super().__init__(
            f"database {path} is read-only; make the file and its folder writable or choose another with --db"
        )


class DatabaseCorrupt(StoreError):
    def __init__(self, path: str, detail: str) -> None:
        super().__init__(
            f"database {path} is damaged or no database ({detail}); move it away and try again, or restore a backup"
        )


class DatabaseUnavailable(StoreError):
    def __init__(self, path: str, detail: str) -> None:
        super().__init__(
            f"database {path} cannot be used ({detail}); check the path and its permissions, or choose --db"
        )


class DatabaseMoved(StoreError):
    def __init__(self, path: str) -> None:
        super().__init__(
            f"database {path} was moved, deleted or replaced while it was open, and what is written now would be lost; "
            "put it back, or start the program again to begin with what lies there"
        )


class NetworkFileSystem(StoreError):
    def __init__(self, path: str, kind: str) -> None:
        super().__init__(
            f"database {path} lies on a network file system ({kind}), where locks fail; choose a local path with --db"
        )


class ForeignDatabase(StoreError):
    def __init__(self, path: str) -> None:
        super().__init__(
            f"database {path} belongs to another program; nothing was changed: choose another path with --db"
        )


class NewerSchema(StoreError):
    def __init__(self, path: str, found: int, known: int) -> None:
        super().__init__(
            f"database {path} has schema {found}, made by a newer swarmtally "
            f"(this one knows {known}); upgrade swarmtally"
        )

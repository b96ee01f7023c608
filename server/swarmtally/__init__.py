"""swarmtally: an MCP server that runs swarms of AI agents and counts everything they do.

As a library: `async with swarmtally.open(db="swarm.db") as app: …`; see docs/python.md. Every public name is here, and
each is imported when it is first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from swarmtally.version import __version__

if TYPE_CHECKING:
    from swarmtally.api import open  # noqa: A004
    from swarmtally.app import App
    from swarmtally.core.ports import Backend, BackendInfo, Prompt, Reply
    from swarmtally.domain.errors import (
        BackendFailure,
        ContextExceeded,
        InvalidInput,
        ModelMissing,
        NoBackend,
        NoSwarm,
        NotFound,
        PathRefused,
        RoleMissing,
        RunFinished,
        RunHeld,
        StoreError,
        SwarmError,
        SwarmFull,
        VersionConflict,
    )
    from swarmtally.domain.run import RunKind, RunStatus
    from swarmtally.domain.swarm import Strategy, Topology
    from swarmtally.domain.usage import TokenUsage
    from swarmtally.requests import SparcRequest, Started

__all__ = [
    "App",
    "Backend",
    "BackendFailure",
    "BackendInfo",
    "ContextExceeded",
    "InvalidInput",
    "ModelMissing",
    "NoBackend",
    "NoSwarm",
    "NotFound",
    "PathRefused",
    "Prompt",
    "Reply",
    "RoleMissing",
    "RunFinished",
    "RunHeld",
    "RunKind",
    "RunStatus",
    "SparcRequest",
    "Started",
    "StoreError",
    "Strategy",
    "SwarmError",
    "SwarmFull",
    "TokenUsage",
    "Topology",
    "VersionConflict",
    "__version__",
    "open",
]

_HOMES = {
    "swarmtally.api": ("open",),
    "swarmtally.app": ("App",),
    "swarmtally.requests": ("SparcRequest", "Started"),
    "swarmtally.core.ports": ("Backend", "BackendInfo", "Prompt", "Reply"),
    "swarmtally.domain.run": ("RunKind", "RunStatus"),
    "swarmtally.domain.swarm": ("Strategy", "Topology"),
    "swarmtally.domain.usage": ("TokenUsage",),
}
"""Where a name is defined; the errors are in `swarmtally.domain.errors`."""

# Type checkers read the imports above; to them this would make every misspelt name right.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'swarmtally' has no attribute {name!r}")
        home = next((module for module, names in _HOMES.items() if name in names), "swarmtally.domain.errors")
        return getattr(import_module(home), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})

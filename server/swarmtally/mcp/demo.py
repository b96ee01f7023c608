"""The demo's exercise, as any MCP client would drive it: a server process over stdio, and the SDK's own client."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO, TypeVar

from mcp.client.stdio import stdio_client
from mcp_types import TextContent

from mcp import Client, MCPError, StdioServerParameters
from swarmtally.domain.errors import SwarmError
from swarmtally.domain.run import INTERRUPTED, RunStatus
from swarmtally_tools.definition import View
from swarmtally_tools.memory import MemorySearchView, MemoryView
from swarmtally_tools.run_views import RunView
from swarmtally_tools.runs import WAIT_LIMIT_S, RunStatusView
from swarmtally_tools.swarm import SpawnedView, SwarmView

TASK = (
    "E-commerce platform with user authentication, product catalog, shopping cart, payment processing, order "
    "management, admin dashboard, mobile API, comprehensive testing, CI/CD pipeline, monitoring, and documentation"
)
"""The exercise of the seed document."""

PROJECT_CONTEXT = {
    "name": "E-commerce platform",
    "stack": ["TypeScript", "Node.js", "PostgreSQL", "React"],
    "rules": ["money is counted in cents", "every endpoint needs a signed session", "no card number is stored"],
}

ROLES = ("researcher", "coder", "tester", "reviewer")

_ANSWER_S = 120.0
"""The longest one call may take; a server that is slower than that hangs."""

V = TypeVar("V", bound=View)


class Display(Protocol):
    """What shows the exercise while it goes on."""

    def called(self, call: str, outcome: str) -> None:
        """A call was answered."""
        ...

    def progressed(self, done: float, total: float | None, message: str) -> None:
        """The server has sent a progress notification."""
        ...


@dataclass(frozen=True, slots=True)
class Exercise:
    """What came of it."""

    run: RunView
    agents: Mapping[str, str]
    """Name by agent id, of the agents the exercise spawned; the run adds more by itself."""
    protocol: str


@dataclass(slots=True)
class _Caller:
    """Calls tools and shows what they answered."""

    client: Client
    display: Display
    agents: dict[str, str] = field(default_factory=dict)

    async def call(self, view: type[V], tool: str, arguments: Mapping[str, Any]) -> V:
        """The tool's answer.

        Raises:
            SwarmError: the tool refused; the text is its line.
        """

        async def progressed(progress: float, total: float | None, message: str | None) -> None:
            self.display.progressed(progress, total, message or "")

        result = await self.client.call_tool(
            tool, dict(arguments), read_timeout_seconds=_ANSWER_S, progress_callback=progressed
        )
        if result.is_error:
            line = next((block.text for block in result.content if isinstance(block, TextContent)), "no reason given")
            raise SwarmError(f"{tool}: {line}")
        return view.model_validate(result.structured_content)


async def drive(command: Sequence[str], out_dir: Path, model: str, errlog: TextIO, display: Display) -> Exercise:
    """Start the server with `command`, do the exercise with it, and end it.

    Args:
        out_dir: where the deliverables go; the server must be allowed to write there.
        errlog: what the server logs goes here; a real file.

    Raises:
        SwarmError: a tool refused, or the server ended.
    """
    parameters = StdioServerParameters(
        command=command[0], args=list(command[1:]), env=dict(os.environ), cwd=str(out_dir)
    )
    try:
        async with Client(stdio_client(parameters, errlog=errlog)) as client:
            display.called("initialize", f"swarmtally over stdio, protocol {client.protocol_version}")
            caller = _Caller(client, display)
            await _prepare(caller)
            run = await _pipeline(caller, out_dir, model)
            return Exercise(run, caller.agents, client.protocol_version)
    except MCPError as error:
        raise SwarmError(f"the server ended or did not answer ({error}); its log is {errlog.name}") from error


async def _prepare(caller: _Caller) -> None:
    swarm = await caller.call(
        SwarmView, "swarm_init", {"topology": "mesh", "max_agents": 12, "strategy": "adaptive", "name": "e-commerce"}
    )
    caller.display.called(
        "swarm_init mesh, 12 agents, adaptive", f"{swarm.swarm_id}; work is done by {swarm.backend or 'nothing yet'}"
    )
    for role in ROLES:
        spawned = await caller.call(SpawnedView, "agent_spawn", {"type": role})
        caller.agents.update((agent.agent_id, agent.name) for agent in spawned.agents)
        caller.display.called(f"agent_spawn {role}", f"{spawned.agents[0].agent_id}, {spawned.size} in the swarm")
    stored = await caller.call(
        MemoryView, "memory_usage", {"action": "store", "key": "project_context", "value": PROJECT_CONTEXT}
    )
    caller.display.called("memory_usage store project_context", f"version {stored.version}, {stored.size_bytes} bytes")
    found = await caller.call(MemorySearchView, "memory_search", {"pattern": "project_*"})
    caller.display.called(
        "memory_search project_*", f"{found.total} found: {', '.join(hit.key for hit in found.entries)}"
    )


async def _pipeline(caller: _Caller, out_dir: Path, model: str) -> RunView:
    run = await caller.call(
        RunView,
        "sparc_pipeline",
        {"task": TASK, "model": model, "out_dir": str(out_dir), "wait_s": WAIT_LIMIT_S},
    )
    caller.display.called("sparc_pipeline", f"run {run.run_id}, {run.tasks.total} tasks known so far")
    while run.status in (RunStatus.QUEUED, RunStatus.RUNNING):
        status = await caller.call(RunStatusView, "run_status", {"run_id": run.run_id, "wait_s": WAIT_LIMIT_S})
        assert status.run is not None, "run_status answered without the run it was asked for"
        run = status.run
    assert run.status in (RunStatus.SUCCEEDED, RunStatus.FAILED, INTERRUPTED)
    return run

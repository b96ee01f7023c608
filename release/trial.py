"""A server started as a client's host starts it, and asked for what it must have."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from mcp.client.stdio import stdio_client

from mcp import Client, StdioServerParameters
from release.artefacts import Unfit
from swarmtally_tools import registry

_KEY, _VALUE = "packaged", {"from": "a wheel"}
_AT_MOST_S = 60


def environment(place: Path) -> dict[str, str]:
    """Nothing of ours is set: neither where the checkout lies, nor settings, nor this environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SWARMTALLY_", "PYTHON"))}
    kept.pop("VIRTUAL_ENV", None)
    return {**kept, "XDG_DATA_HOME": str(place)}


async def served(
    command: Sequence[str], place: Path, mode: Literal["legacy", "auto"], variables: Mapping[str, str]
) -> str:
    """What a client of the server gets: every tool, a value kept and given back, the modes' prompts.

    Raises:
        Unfit: it does not.
    """
    environ = {**environment(place), **variables}
    parameters = StdioServerParameters(command=command[0], args=list(command[1:]), env=environ, cwd=str(place))
    with (place / "server.log").open("a") as log:
        transport = stdio_client(parameters, errlog=log)
        async with Client(transport, mode=mode, read_timeout_seconds=_AT_MOST_S) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            if sorted(tools) != sorted(registry.MODULES):
                raise Unfit(f"the server has {len(tools)} tools, the checkout {len(registry.MODULES)}")
            await client.call_tool("memory_usage", {"action": "store", "key": _KEY, "value": _VALUE})
            found = await client.call_tool("memory_usage", {"action": "retrieve", "key": _KEY})
            if found.is_error or (found.structured_content or {}).get("value") != _VALUE:
                raise Unfit(f"the server did not give back what it was given: {found.content}")
            prompts = (await client.list_prompts()).prompts
            if not prompts:
                raise Unfit("the server has no prompts")
            version = client.protocol_version
    return f"protocol {version}, {len(tools)} tools, {len(prompts)} prompts, a value kept and given back"

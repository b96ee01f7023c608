"""`swarmtally serve` whose swarm_init blocks the event loop and whose agent_spawn resists being cancelled."""

import dataclasses
import os
import time
from typing import Any

import anyio

from swarmtally.app import App
from swarmtally.cli.main import main
from swarmtally_tools import swarm
from swarmtally_tools.definition import View


async def blocking(app: App, **arguments: Any) -> View:
    os.write(2, b"stuck\n")
    time.sleep(60)  # noqa: ASYNC251
    raise AssertionError


async def resisting(app: App, **arguments: Any) -> View:
    os.write(2, b"stuck\n")
    with anyio.CancelScope(shield=True):
        await anyio.sleep(60)
    raise AssertionError


swarm.TOOLS = (
    dataclasses.replace(swarm.swarm_init, function=blocking),
    dataclasses.replace(swarm.agent_spawn, function=resisting),
    *swarm.TOOLS[2:],
)
main()

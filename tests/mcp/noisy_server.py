"""`swarmtally serve` with a tool that prints in every way there is."""

import atexit
import ctypes
import dataclasses
import os
import subprocess
import sys
from typing import Any

from swarmtally.app import App
from swarmtally.cli.main import main
from swarmtally_tools import registry, swarm
from swarmtally_tools.definition import Tool, View
from swarmtally_tools.toolsets import Offer

made = swarm.swarm_init.function


async def noisy(app: App, **arguments: Any) -> View:
    print("noise from print")
    os.write(1, b"noise from a descriptor\n")
    sys.__stdout__.write("noise from the first stdout\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]
    library = ctypes.CDLL(None)
    library.puts(b"noise from C")
    library.fflush(None)
    subprocess.run(["/bin/sh", "-c", "echo noise from a child; cat"], check=True)  # noqa: ASYNC221
    return await made(app, **arguments)


def loaded_noisily(*offer: Offer) -> tuple[Tool, ...]:
    print("noise from the beginning")
    return loaded(*offer)


loaded = registry.load_all
swarm.TOOLS = (dataclasses.replace(swarm.swarm_init, function=noisy), *swarm.TOOLS[1:])
atexit.register(print, "noise from the end")
registry.load_all = loaded_noisily
main()

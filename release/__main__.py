"""`make package`: build the wheel and use it as a stranger would, from an environment that holds nothing else.

    python -m release [DIST]

Ends with 1 and one line when something is not as it has to be.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio
from mcp.client.stdio import stdio_client

from mcp import Client, StdioServerParameters
from release.artefacts import ROOT, Unfit, build, check
from swarmtally.version import __version__
from swarmtally_tools import registry

_KEY, _VALUE = "packaged", {"from": "a wheel"}


def main() -> int:
    folder = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "dist"
    try:
        _package(folder)
    except Unfit as error:
        sys.stderr.write(f"package: {error}\n")
        return 1
    return 0


def _package(folder: Path) -> None:
    started = time.monotonic()
    wheel = build(folder)
    held = check(wheel, __version__)
    built = time.monotonic()
    _say(f"{wheel.name}: {held} files as in the checkout, {wheel.stat().st_size:,} bytes ({built - started:.1f} s)")
    with tempfile.TemporaryDirectory(prefix="package.") as place:
        told = _version(wheel, Path(place))
        installed = time.monotonic()
        _say(f"{told}, in a new environment with its dependencies alone ({installed - built:.1f} s)")
        for mode in ("legacy", "auto"):
            _say(f"uvx --from {wheel.name} swarmtally serve: {anyio.run(_served, wheel, Path(place), mode)}")
        _say(f"two clients served ({time.monotonic() - installed:.1f} s)")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _command(wheel: Path, *options: str) -> list[str]:
    uvx = str(Path(sys.executable).with_name("uvx"))
    here = ["--quiet", "--python", sys.executable, "--no-python-downloads"]
    return [uvx, *here, *options, "--from", str(wheel.resolve()), "swarmtally"]


def _environment(place: Path) -> dict[str, str]:
    """Nothing of ours is set: neither where the checkout lies, nor settings, nor this environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SWARMTALLY_", "PYTHON"))}
    kept.pop("VIRTUAL_ENV", None)
    return {**kept, "XDG_DATA_HOME": str(place)}


def _version(wheel: Path, place: Path) -> str:
    # The wheel of an earlier build may have had the same name, and what was made of it is kept.
    command = [*_command(wheel, "--refresh-package", "swarmtally"), "--version"]
    done = subprocess.run(  # noqa: S603 - a list of our own words
        command, cwd=place, env=_environment(place), capture_output=True, text=True
    )
    if done.stdout.strip() != f"swarmtally {__version__}":
        raise Unfit(f"--version of the wheel: {(done.stdout or done.stderr).strip()[-300:]!r}")
    return done.stdout.strip()


async def _served(wheel: Path, place: Path, mode: str) -> str:
    """What a client of the wheel's server gets: every tool, a value kept and given back, the modes' prompts."""
    command, *arguments = [*_command(wheel), "serve", "--project", "packaged"]
    parameters = StdioServerParameters(command=command, args=arguments, env=_environment(place), cwd=str(place))
    with (place / "server.log").open("a") as log:
        transport = stdio_client(parameters, errlog=log)
        async with Client(transport, mode="legacy" if mode == "legacy" else "auto", read_timeout_seconds=60) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            if sorted(tools) != sorted(registry.MODULES):
                raise Unfit(f"the wheel's server has {len(tools)} tools, the checkout {len(registry.MODULES)}")
            stored = {"action": "store", "key": _KEY, "value": _VALUE}
            await client.call_tool("memory_usage", stored)
            found = await client.call_tool("memory_usage", {"action": "retrieve", "key": _KEY})
            if found.is_error or (found.structured_content or {}).get("value") != _VALUE:
                raise Unfit(f"the wheel's server did not give back what it was given: {found.content}")
            prompts = (await client.list_prompts()).prompts
            if not prompts:
                raise Unfit("the wheel's server has no prompts")
            version = client.protocol_version
    return f"protocol {version}, {len(tools)} tools, {len(prompts)} prompts, a value kept and given back"


if __name__ == "__main__":
    sys.exit(main())

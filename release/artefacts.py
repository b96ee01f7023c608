"""The source archive, the wheel made from that archive, and what has to be in it."""

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = {"swarmtally": ROOT / "server" / "swarmtally", "swarmtally_tools": ROOT / "tools" / "swarmtally_tools"}
"""In the wheel → in the checkout."""

_METADATA = {
    "Name": "swarmtally",
    "License-Expression": "Apache-2.0",
    "License-File": "LICENSE",
    "Requires-Python": ">=3.11",
    "Description-Content-Type": "text/markdown",
}


class Unfit(Exception):
    """An artefact is not as it has to be; one line."""


def build(folder: Path) -> Path:
    """Build both into `folder` and return the wheel. It is built from the archive, so that the archive is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("swarmtally-*.whl"), *folder.glob("swarmtally-*.tar.gz")):
        old.unlink()
    _hatch(ROOT, "sdist", folder)
    (archive,) = folder.glob("swarmtally-*.tar.gz")
    with tempfile.TemporaryDirectory(prefix="sdist.") as place:
        with tarfile.open(archive) as packed:
            packed.extractall(place, filter="data")
        (source,) = Path(place).iterdir()
        _hatch(source, "wheel", folder)
    (wheel,) = folder.glob("swarmtally-*.whl")
    return wheel


def check(wheel: Path, version: str) -> int:
    """How many files the wheel has: those of the checkout's packages, byte for byte, and its own description.

    Raises:
        Unfit: something is missing, too much or different.
    """
    with zipfile.ZipFile(wheel) as packed:
        held = {name: packed.read(name) for name in packed.namelist()}
    described = f"swarmtally-{version}.dist-info/"
    wanted = dict(_files())
    wrong = sorted(
        name
        for name in wanted.keys() | {name for name in held if not name.startswith(described)}
        if wanted.get(name) != held.get(name)
    )
    if wrong:
        raise Unfit(f"{wheel.name} differs from the checkout in {len(wrong)} files: {', '.join(wrong[:5])}")
    metadata = message_from_bytes(held[f"{described}METADATA"])
    for name, value in {**_METADATA, "Version": version}.items():
        if metadata[name] != value:
            raise Unfit(f"{wheel.name}: {name} is {metadata[name]!r}, not {value!r}")
    if b"swarmtally = swarmtally.cli.main:main" not in held[f"{described}entry_points.txt"]:
        raise Unfit(f"{wheel.name} does not bring the command swarmtally")
    return len(held)


def _files() -> Iterator[tuple[str, bytes]]:
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"{package}/{path.relative_to(folder).as_posix()}", path.read_bytes()


def _hatch(source: Path, kind: str, folder: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder.resolve())]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)  # noqa: S603 - a list of our own words
    if done.returncode:
        raise Unfit(f"the {kind} was not built: {done.stderr.strip().splitlines()[-1:]}")

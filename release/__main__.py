"""`make package`: build the wheel and use it as a stranger would, from an environment that holds nothing else.

    python -m release [DIST]

Ends with 1 and one line when something is not as it has to be.
"""

import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Literal

import anyio

from release import trial
from release.artefacts import ROOT, Unfit, build, check
from swarmtally.version import __version__

_MODES: tuple[Literal["legacy", "auto"], ...] = ("legacy", "auto")
"""Both protocol eras."""


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
        command = [*_command(wheel), "serve", "--project", "packaged"]
        for mode in _MODES:
            answered = anyio.run(partial(trial.served, command, Path(place), mode, {}))
            _say(f"uvx --from {wheel.name} swarmtally serve: {answered}")
        _say(f"two clients served ({time.monotonic() - installed:.1f} s)")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _command(wheel: Path, *options: str) -> list[str]:
    uvx = str(Path(sys.executable).with_name("uvx"))
    here = ["--quiet", "--python", sys.executable, "--no-python-downloads"]
    return [uvx, *here, *options, "--from", str(wheel.resolve()), "swarmtally"]


def _version(wheel: Path, place: Path) -> str:
    # The wheel of an earlier build may have had the same name, and what was made of it is kept.
    command = [*_command(wheel, "--refresh-package", "swarmtally"), "--version"]
    environ = trial.environment(place)
    done = subprocess.run(command, cwd=place, env=environ, capture_output=True, text=True)  # noqa: S603 - our own words
    if done.stdout.strip() != f"swarmtally {__version__}":
        raise Unfit(f"--version of the wheel: {(done.stdout or done.stderr).strip()[-300:]!r}")
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())

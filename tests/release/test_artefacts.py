"""What is looked for in a wheel is seen when it is not there."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from release.artefacts import Unfit, build, check

from swarmtally.version import __version__

INFO = f"swarmtally-{__version__}.dist-info"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dist"))


def changed(wheel: Path, folder: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    with zipfile.ZipFile(wheel) as packed:
        held = {name: packed.read(name) for name in packed.namelist()}
    change(held)
    other = folder / wheel.name
    with zipfile.ZipFile(other, "w") as packed:
        for name, content in held.items():
            packed.writestr(name, content)
    return other


def test_a_wheel_made_from_the_archive_holds_what_the_checkout_holds(wheel: Path) -> None:
    assert check(wheel, __version__) > 300


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda held: held.pop("swarmtally/store/schema/0001_initial.sql"), "0001_initial.sql"),
        (lambda held: held.pop("swarmtally/py.typed"), "py.typed"),
        (lambda held: held.update({"swarmtally/mcp/icon.png": b""}), "icon.png"),
        (lambda held: held.update({"tests/secret.py": b""}), "tests/secret.py"),
        (lambda held: held.update({f"{INFO}/entry_points.txt": b""}), "does not bring the command"),
        (lambda held: held.update({f"{INFO}/METADATA": b"Name: swarmtally\nVersion: 0\n\n"}), "License-Expression"),
    ],
)
def test_a_wheel_that_is_not_so_is_refused(
    wheel: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], object], told: str
) -> None:
    with pytest.raises(Unfit, match=told):
        check(changed(wheel, tmp_path, change), __version__)

"""Targets made of texts."""

from collections.abc import Mapping
from pathlib import Path

from swarmtally.quality.assess import assess
from swarmtally.quality.criteria import COUNTED
from swarmtally.quality.model import Assessment, Criterion, Sources


def written(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """A folder with these files."""
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def assessed(folder: Path) -> dict[Criterion, Assessment]:
    return {each.criterion: each for each in assess(folder, tuple(COUNTED))[1]}


def paths(sources: Sources) -> set[str]:
    return {file.path for file in sources.files}


def reasons(sources: Sources) -> dict[str, str]:
    return {each.path: each.reason for each in sources.left_out}


def plain(functions: int, name: str = "step") -> str:
    """Python without a fault: so many functions of three lines."""
    return "\n\n".join(
        f"def {name}_{n}(value: int) -> int:\n    doubled = value + {n}\n    return doubled * {n}\n"
        for n in range(functions)
    )

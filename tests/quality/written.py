"""Small projects, written for one test."""

from collections.abc import Mapping
from pathlib import Path

from swarmtally.quality.model import Assessment, Sources
from swarmtally.quality.sources import collect


def written(root: Path, files: Mapping[str, str]) -> Path:
    """`root` with these files, relative path → text."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def sources(root: Path, files: Mapping[str, str]) -> Sources:
    return collect(written(root, files))


def values(assessment: Assessment) -> dict[str, float | None]:
    return {one.name: one.value for one in assessment.measures}


def found(assessment: Assessment) -> list[tuple[str, int, str]]:
    return [(one.file, one.line, one.rule) for one in assessment.findings]

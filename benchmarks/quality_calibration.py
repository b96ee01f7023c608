"""Scores of `quality_assess`: this repository, damaged copies of it, well-known packages, and 10,000 files.

A damage must lower its own criterion by at least 1 point, and no other by more than 0.3.
"""

import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import quality_damages, quality_neglect
from swarmtally.quality.assess import assess
from swarmtally.quality.criteria import COUNTED
from swarmtally.quality.model import Assessment, Criterion
from swarmtally.quality.scoring import HALF

ROOT = Path(__file__).parent.parent

FALLS_BY, STAYS_WITHIN = 1.0, 0.3
"""Points by which a damage's own criterion falls at least, and every other at most."""

FILES, LIMIT_S = 10_000, 60

PACKAGES = [
    "_pytest",
    "aiosqlite",
    "anthropic",
    "anyio",
    "attr",
    "click",
    "coverage",
    "cryptography",
    "docstring_parser",
    "griffe",
    "h11",
    "httpcore2",
    "httpx2",
    "hypothesis",
    "idna",
    "importlinter",
    "jsonschema",
    "markdown_it",
    "mcp",
    "mypy",
    "numpy",
    "openai",
    "packaging",
    "pandas",
    "pip",
    "platformdirs",
    "pluggy",
    "psutil",
    "pydantic",
    "pydantic_ai",
    "pygments",
    "referencing",
    "requests",
    "rich",
    "setuptools",
    "sortedcontainers",
    "starlette",
    "structlog",
    "tiktoken",
    "urllib3",
    "uvicorn",
    "xdist",
]
"""Packages that development installs: what scores are set by, see `scoring.HALF`."""

LEAST_LINES = 500
"""Of a package that is compared."""


@dataclass(frozen=True)
class Damage:
    name: str
    own: Criterion | None
    """The criterion that it is about; None where no criterion may fall."""
    do: Callable[[Path], None]
    """Changes a copy of the repository."""


DAMAGES: tuple[Damage, ...] = (
    Damage("needless loops", Criterion.PERFORMANCE, quality_damages.needless_loops),
    Damage("needless objects", Criterion.EFFICIENCY, quality_damages.needless_objects),
    Damage("blocking calls in async functions", Criterion.SCALABILITY, quality_damages.blocking_calls),
    Damage("import cycles", Criterion.SCALABILITY, quality_damages.import_cycles),
    Damage("dead code", Criterion.MAINTAINABILITY, quality_damages.dead_code),
    Damage("copied blocks", Criterion.MAINTAINABILITY, quality_damages.copied_blocks),
    Damage("tangled functions", Criterion.MAINTAINABILITY, quality_damages.tangled_functions),
    Damage("swallowed exceptions", Criterion.RELIABILITY, quality_damages.swallowed_exceptions),
    Damage("open to attack", Criterion.SECURITY, quality_damages.open_to_attack),
    Damage("half of the tests removed", Criterion.TESTING, quality_neglect.removed_tests),
    Damage("half of the assertions removed", Criterion.TESTING, quality_neglect.removed_assertions),
    Damage("docstrings removed", Criterion.DOCUMENTATION, quality_neglect.removed_docstrings),
    Damage("longer comments", None, quality_damages.longer_comments),
)

CRITERIA: tuple[Criterion, ...] = tuple(Criterion)


def run(smoke: bool) -> list[str]:
    parts = ("server/swarmtally/domain", "server/swarmtally/core") if smoke else ("server", "tools", "tests", "docs")
    damages = [damage for damage in DAMAGES if damage.name in _SHORT] if smoke else DAMAGES
    lines = list(_calibration(parts, damages))
    if not smoke:
        lines += _packages()
    return [*lines, _many_files(200 if smoke else FILES)]


_SHORT = {"dead code", "swallowed exceptions", "blocking calls in async functions"}


def _calibration(parts: Sequence[str], damages: Sequence[Damage]) -> Iterator[str]:
    with _copy(parts) as folder:
        whole = _scores(folder)
    yield "  ".join([f"{'':34}", *(f"{criterion[:11]:>11}" for criterion in CRITERIA)])
    yield _row("this repository", whole)
    for damage in damages:
        with _copy(parts) as folder:
            tested = quality_neglect.tested_lines(folder)
            damage.do(folder)
            if damage.own is not Criterion.TESTING:
                quality_neglect.test_what_was_added(folder, tested)
            scores = _scores(folder)
        verdict = "" if _holds(damage, whole, scores) else "  NOT AS IT SHOULD BE"
        yield _row(damage.name, scores) + verdict


def _holds(damage: Damage, whole: dict[Criterion, float | None], scores: dict[Criterion, float | None]) -> bool:
    for criterion, before in whole.items():
        after = scores[criterion]
        if before is None or after is None:
            if before != after and criterion is not damage.own:
                return False
        elif (criterion is damage.own and before - after < FALLS_BY) or (
            criterion is not damage.own and before - after > STAYS_WITHIN
        ):
            return False
    return True


def _scores(folder: Path) -> dict[Criterion, float | None]:
    return {each.criterion: each.score for each in assess(folder, CRITERIA)[1]}


def _row(name: str, scores: dict[Criterion, float | None]) -> str:
    shown = (
        f"{'null' if scores[criterion] is None else format(scores[criterion], '.2f'):>11}" for criterion in CRITERIA
    )
    return "  ".join([f"{name:34}", *shown])


@contextmanager
def _copy(parts: Sequence[str]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "copy")
        for part in parts:
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("README.md", "LICENSE"):
            shutil.copy(ROOT / name, folder / name)
        yield folder


def _packages() -> Iterator[str]:
    """The quartiles of scores among installed packages."""
    found = [assessments for name in PACKAGES if (assessments := _package(name))]
    yield f"{len(found)} packages of at least {LEAST_LINES} code lines: upper quartile, median, lower quartile"
    for index, criterion in enumerate(COUNTED):
        scores = sorted(each[index].score or 0.0 for each in found)
        quarters = [scores[len(scores) * part // 4] for part in (3, 2, 1)]
        yield f"  {criterion:16}" + "  ".join(f"{score:5.2f}" for score in quarters) + f"   half {HALF[criterion]:g}"


def _package(name: str) -> tuple[Assessment, ...] | None:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    assessments = assess(Path(spec.submodule_search_locations[0]), tuple(COUNTED))[1]
    return assessments if assessments[0].n >= LEAST_LINES else None


def _many_files(files: int) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        characters = quality_damages.many_files(Path(scratch), ROOT / "server", files)
        before, start = os.times(), time.perf_counter()
        sources, _ = assess(Path(scratch), CRITERIA)
        wall_s = time.perf_counter() - start
        after = os.times()
    busy_s = sum(after[:4]) - sum(before[:4])
    lines = sum(file.code_lines for file in sources.files)
    verdict = "" if wall_s < LIMIT_S * files / FILES + 5 else "  TOO SLOW"
    return (
        f"{len(sources.files):,} files, {lines:,} code lines, {characters / 1e6:.1f} MB: {wall_s:.1f} s "
        f"(limit {LIMIT_S} s for {FILES:,}), {busy_s:.1f} s of processors, of its own and its processes'{verdict}"
    )

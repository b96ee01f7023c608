"""What test runs have recorded of the lines and branches they reached: Cobertura's `coverage.xml` and `lcov.info`.

Nothing is run to get it: the target's own tools have written it, or it is not there.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from swarmtally.quality.model import Sources

NAMES = ("coverage.xml", "cobertura.xml", "cobertura-coverage.xml", "lcov.info", "coverage.lcov")
FOLDERS = ("", "coverage", "reports", "build", "build/reports")
"""Where those files are looked for, below the target."""

LIMIT_BYTES = 64 * 1024 * 1024
"""The largest file that is read."""

_NUMBER = re.compile(r"[0-9]{1,9}")
_CONDITIONS = re.compile(r"\(([0-9]{1,9})/([0-9]{1,9})\)")


class CoverageUnreadable(ValueError):
    """The file holds no coverage that is understood; the text says why."""


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """A file's lines and branches, as the coverage file names it."""

    name: str
    hits: Mapping[int, bool]
    """Line number, from 1 → whether it was reached."""
    branches: int
    branches_hit: int

    @property
    def reached(self) -> int:
        return sum(self.hits.values())

    @property
    def missed(self) -> list[int]:
        return sorted(line for line, hit in self.hits.items() if not hit)


@dataclass(frozen=True, slots=True)
class CoverageData:
    """One coverage file. `folders` are where its names may be relative to."""

    source: str
    files: tuple[FileCoverage, ...]
    folders: tuple[str, ...] = ()


@dataclass(slots=True)
class _Gathered:
    """What is known so far of a file that may come several times."""

    hits: dict[int, bool] = field(default_factory=dict)
    branches: dict[tuple[str, ...], tuple[int, int]] = field(default_factory=dict)

    def line(self, number: int, hit: bool) -> None:
        self.hits[number] = self.hits.get(number, False) or hit

    def branch(self, key: tuple[str, ...], taken: int, of: int) -> None:
        before = self.branches.get(key, (0, 0))
        self.branches[key] = (max(before[0], min(taken, of)), max(before[1], of))


def find(sources: Sources) -> tuple[list[CoverageData], list[str]]:
    """The coverage files of a target, and why others cannot be used: those its walk found, and those in folders that
    git ignores. A link that leads out of the target is not followed."""
    found: list[CoverageData] = []
    faults: list[str] = []
    for source, content in _contents(sources):
        try:
            found.append(read(source, content()))
        except (OSError, ValueError) as error:
            faults.append(f"{source}: {getattr(error, 'strerror', None) or error}")
    return found, faults


def _contents(sources: Sources) -> Iterator[tuple[str, Callable[[], bytes]]]:
    seen = {report.path for report in sources.reports}
    for report in sources.reports:
        yield report.path, report.text.encode
    root = os.path.realpath(sources.root)
    for folder in FOLDERS:
        for name in NAMES:
            path, source = sources.root / folder / name, f"{folder}/{name}".lstrip("/")
            if source not in seen and path.is_file() and Path(os.path.realpath(path)).is_relative_to(root):
                yield source, partial(_content, path)


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(LIMIT_BYTES + 1)
    if len(content) > LIMIT_BYTES:
        raise CoverageUnreadable(f"holds more than {LIMIT_BYTES:,} bytes")
    return content


def read(source: str, content: bytes) -> CoverageData:
    """What a coverage file holds.

    Raises:
        CoverageUnreadable: it is neither Cobertura nor lcov, or damaged.
    """
    data = _cobertura(source, content) if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") else None
    data = data or _lcov(source, content)
    if not data.files:
        raise CoverageUnreadable("names no file with lines")
    return data


def _lcov(source: str, content: bytes) -> CoverageData:
    """Records `SF:file`, `DA:line,hits`, `BRDA:line,block,branch,taken` to `end_of_record` (geninfo's manual page)."""
    gathered: dict[str, _Gathered] = {}
    current = _Gathered()
    for line in content.decode(errors="replace").splitlines():
        kind, _, value = line.strip().partition(":")
        parts = value.split(",")
        if kind == "SF":
            current = gathered.setdefault(value, _Gathered())
        elif kind == "DA" and len(parts) >= 2 and _NUMBER.fullmatch(parts[0]):
            current.line(int(parts[0]), _is_hit(parts[1]))
        elif kind == "BRDA" and len(parts) == 4:
            current.branch(tuple(parts[:3]), int(_is_hit(parts[3])), 1)
    return CoverageData(source, _files(gathered))


def _is_hit(count: str) -> bool:
    """Whether a count is above 0; `-` is what stands for a branch that was never evaluated."""
    digits = count.strip()
    return digits.isdecimal() and digits.strip("0") != ""


def _cobertura(source: str, content: bytes) -> CoverageData:
    reader = _Cobertura()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.EntityDeclHandler = _refuse_entity
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise CoverageUnreadable(f"is no XML: {error}") from None
    return CoverageData(source, _files(reader.gathered), tuple(reader.folders))


def _refuse_entity(*_declared: object) -> NoReturn:
    # A few entities that name each other can stand for gigabytes.
    raise CoverageUnreadable("declares entities, which no coverage file needs")


class _Cobertura:
    """Hears the elements of a Cobertura file: `class filename` and its `line`s, and `source`, where names begin."""

    def __init__(self) -> None:
        self.gathered: dict[str, _Gathered] = {}
        self.folders: list[str] = []
        self._current: _Gathered | None = None
        self._in_source = False
        self._root_seen = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if not self._root_seen:
            self._root_seen = True
            if name != "coverage":
                raise CoverageUnreadable(f"is no Cobertura file: it begins with <{name[:40]}>, not <coverage>")
        if name == "class" and attributes.get("filename"):
            self._current = self.gathered.setdefault(attributes["filename"], _Gathered())
        elif name == "line" and self._current is not None:
            _add_line(self._current, attributes)
        elif name == "source":
            self._in_source = True
            self.folders.append("")

    def end(self, name: str) -> None:
        if name == "class":
            self._current = None
        elif name == "source":
            self._in_source = False
            self.folders[-1] = self.folders[-1].strip()

    def text(self, part: str) -> None:
        if self._in_source:
            self.folders[-1] += part


def _add_line(file: _Gathered, attributes: Mapping[str, str]) -> None:
    number = attributes.get("number", "")
    if not _NUMBER.fullmatch(number):
        return
    file.line(int(number), _is_hit(attributes.get("hits", "0")))
    conditions = _CONDITIONS.search(attributes.get("condition-coverage", ""))
    if attributes.get("branch") == "true" and conditions is not None:
        file.branch((number,), int(conditions[1]), int(conditions[2]))


def _files(gathered: Mapping[str, _Gathered]) -> tuple[FileCoverage, ...]:
    return tuple(
        FileCoverage(
            name,
            one.hits,
            sum(of for _, of in one.branches.values()),
            sum(taken for taken, _ in one.branches.values()),
        )
        for name, one in gathered.items()
        if one.hits
    )


def located(files: Sequence[CoverageData], known: Iterable[str]) -> dict[str, FileCoverage]:
    """Which of the target's files (`known`: relative paths with `/`) the coverage is of; the first to name a file wins.

    Coverage is often written on another machine or below another folder: a file is the one whose path is the longest
    end of the recorded one.
    """
    paths = frozenset(known)
    found: dict[str, FileCoverage] = {}
    for data in files:
        for file in data.files:
            path = next((end for name in _names(data, file) for end in _ends(name) if end in paths), None)
            if path is not None:
                found.setdefault(path, file)
    return found


def _names(data: CoverageData, file: FileCoverage) -> Iterator[str]:
    name = file.name.replace("\\", "/")
    if not name.startswith("/"):
        for folder in data.folders:
            yield f"{folder.replace(chr(92), '/').rstrip('/')}/{name}"
    yield name


def _ends(name: str) -> Iterator[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    # Of a long path only so much: no project's folders lie deeper.
    for begin in range(max(0, len(parts) - 64), len(parts)):
        yield "/".join(parts[begin:])

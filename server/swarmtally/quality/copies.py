"""Code that stands in two places: runs of equal lines, blanks at their ends, comments and imports not counted."""

from collections.abc import Mapping
from dataclasses import dataclass

from swarmtally.quality.facts import WINDOW, Windows


@dataclass(frozen=True, slots=True)
class Copy:
    """A run of lines that stood before, in this file or one before it by path."""

    file: str
    line: int
    last_line: int
    lines: int
    """Code lines."""
    original: str
    original_line: int


def find_copies(files: Mapping[str, Windows]) -> list[Copy]:
    """Every run of at least `WINDOW` code lines that stood before; the first occurrence is not a copy."""
    first: dict[bytes, tuple[str, int]] = {}
    copies: list[Copy] = []
    for path in sorted(files):
        windows = files[path]
        run: list[tuple[int, str, int]] = []  # window, its original's file and window
        for at, digest in enumerate(windows.digests):
            if digest is None:
                continue
            original = first.setdefault(digest, (path, at))
            if original == (path, at):
                continue
            if run and not (run[-1][0] == at - 1 and (run[-1][1], run[-1][2] + 1) == original):
                copies.append(_copy(path, run, files))
                run = []
            run.append((at, *original))
        if run:
            copies.append(_copy(path, run, files))
    return _without_overlaps(copies)


def _copy(path: str, run: list[tuple[int, str, int]], files: Mapping[str, Windows]) -> Copy:
    lines = files[path].lines
    start, original, original_start = run[0]
    end = run[-1][0] + WINDOW - 1
    return Copy(path, lines[start], lines[end], end - start + 1, original, files[original].lines[original_start])


def _without_overlaps(copies: list[Copy]) -> list[Copy]:
    """A line is counted once, though it can belong to two runs with different originals."""
    kept: list[Copy] = []
    for copy in copies:
        if not (kept and kept[-1].file == copy.file and copy.line <= kept[-1].last_line):
            kept.append(copy)
    return kept

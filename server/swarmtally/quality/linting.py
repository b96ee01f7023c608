"""Ruff over the target's Python: rules of ours alone. Its configuration files are not read, and nothing is written."""

import json
import re
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

from swarmtally.quality.model import Finding, SourceFile
from swarmtally.quality.rules import LEFT_OUT, WEIGHTS, spoken_for

BATCH_FILES = 400
BATCH_CHARACTERS = 4_000_000
"""Of one call: what ruff holds of its findings stays small, and progress is seen."""

MAX_FILE_FINDINGS = 5_000
"""Of one file; more are not counted."""

TIME_LIMIT_S = 60
"""For one call."""

TARGET_VERSION = "py313"
"""The same for every project, so that the same rules count."""

HARMLESS = 0.25
"""What a finding weighs at most that ruff itself takes for safe: a shell that gets a text without parameters."""

_SEEMS_SAFE = "seems safe"
_NOQA = re.compile(r"#\s*noqa:\s*([A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Linted:
    findings: tuple[Finding, ...]
    refused: Mapping[str, str]
    """Files that could not be read as Python, by path, and why."""
    suppressed: int
    """Findings whose line names their rule after `# noqa:`; not counted."""


@dataclass(frozen=True, slots=True)
class _Hit:
    """One line of ruff's output."""

    path: str
    line: int
    code: str | None
    message: str
    fix: str | None


class _Failed(Exception):
    """Ruff gave no answer for a batch."""


def lint(root: Path, files: Sequence[SourceFile], done: Callable[[int], None]) -> Linted:
    """What ruff says of Python files below `root`; `done` is told how many are linted.

    A `# noqa` that names rules counts, since it says what was looked at; a blanket one does not.
    """
    findings: list[Finding] = []
    refused: dict[str, str] = {}
    suppressed = linted = 0
    for batch in _batches(files):
        hits, failed = _linted(root, batch)
        refused |= failed
        texts = {file.path: file.text.split("\n") for file in batch}
        for hit in hits:
            if hit.code is None or hit.code == "invalid-syntax":
                refused.setdefault(hit.path, f"not Python: {hit.message} in line {hit.line}")
            elif hit.code == "F401" and hit.path.endswith("__init__.py"):
                continue  # a package's names are imported there to be imported from there
            elif _is_waived(hit, texts[hit.path]):
                suppressed += 1
            elif spoken := spoken_for(hit.code):
                weight = min(spoken[1], HARMLESS) if _SEEMS_SAFE in hit.message else spoken[1]
                findings.append(Finding(spoken[0], hit.path, hit.line, hit.code, hit.message, hit.fix, weight))
        linted += len(batch)
        done(linted)
    kept = tuple(finding for finding in findings if finding.file not in refused)
    return Linted(kept, refused, suppressed)


def _batches(files: Sequence[SourceFile]) -> Iterator[list[SourceFile]]:
    batch: list[SourceFile] = []
    characters = 0
    for file in files:
        if batch and (len(batch) >= BATCH_FILES or characters + len(file.text) > BATCH_CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append(file)
        characters += len(file.text)
    if batch:
        yield batch


def _linted(root: Path, batch: Sequence[SourceFile]) -> tuple[list[_Hit], dict[str, str]]:
    """Ruff's findings in a batch; a file that takes it down is found by halving the batch, and left out."""
    try:
        return list(_ruff(root, batch)), {}
    except _Failed as failure:
        if len(batch) == 1:
            return [], {batch[0].path: str(failure)}
    middle = len(batch) // 2
    hits, refused = _linted(root, batch[:middle])
    more_hits, more_refused = _linted(root, batch[middle:])
    return hits + more_hits, refused | more_refused


def _ruff(root: Path, batch: Sequence[SourceFile]) -> Iterator[_Hit]:
    """Output is read line by line, since a hostile file can have a finding for every other byte."""
    command = [*_command(), "--", *(str(root / file.path) for file in batch)]
    # Not in the target: ruff and what it might look for there is none of the target's business.
    with subprocess.Popen(  # noqa: S603 (an argv list; its paths are absolute, after `--`)
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=gettempdir()
    ) as process:
        assert process.stdout is not None
        paths = {str(root / file.path): file.path for file in batch}
        counts = Counter[str]()
        timer = threading.Timer(TIME_LIMIT_S, process.kill)
        timer.start()
        try:
            for line in process.stdout:
                hit = _hit(line, paths)
                if hit and counts[hit.path] < MAX_FILE_FINDINGS:
                    counts[hit.path] += 1
                    yield hit
            status = process.wait()
        finally:
            timer.cancel()
            process.kill()
    if status not in {0, 1}:
        raise _Failed(f"ruff gave up on it within {TIME_LIMIT_S} s (status {status})")


def _command() -> list[str]:
    from ruff import find_ruff_bin

    return [
        find_ruff_bin(), "check", "--isolated", "--no-cache", "--no-fix", "--ignore-noqa", "--quiet",
        "--no-preview", "--output-format", "json-lines", "--target-version", TARGET_VERSION,
        "--select", ",".join(WEIGHTS), "--ignore", ",".join(LEFT_OUT),
    ]  # fmt: skip


def _hit(line: bytes, paths: Mapping[str, str]) -> _Hit | None:
    found = json.loads(line)
    path = paths.get(found["filename"])
    if path is None:
        return None
    fix = (found.get("fix") or {}).get("message")
    return _Hit(path, found["location"]["row"], found["code"], found["message"], fix)


def _is_waived(hit: _Hit, lines: Sequence[str]) -> bool:
    assert hit.code is not None
    found = _NOQA.search(lines[hit.line - 1]) if hit.line <= len(lines) else None
    return found is not None and hit.code in re.split(r"[,\s]+", found[1].upper())

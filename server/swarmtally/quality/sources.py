"""The files of a target: found and read, nothing else. Links are not followed, and what is left out is named."""

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from swarmtally.quality.ignoring import IgnoreFile, ignored
from swarmtally.quality.languages import document_of, is_test, language_of, report_of
from swarmtally.quality.model import LeftOut, SourceFile, Sources
from swarmtally.quality.texts import TextRefused, code_lines, readable

Progress = Callable[[str, int, int], None]
"""Told what is done, how many of it, and of how many; 0 where that is not known yet."""

EVERY = 200
"""How many files lie between two reports of progress."""

VENDORED = frozenset({
    "node_modules", "bower_components", "jspm_packages", "vendor", "vendored", "_vendor", "third_party", "third-party",
    "thirdparty", "external", "site-packages", "dist-packages", "venv", "__pycache__", "__pypackages__", "Pods",
})  # fmt: skip
"""Folders of what others wrote, or tools made, by their usual names."""


@dataclass(frozen=True, slots=True)
class Limits:
    files: int = 20_000
    """Of code, documents and reports together."""
    file_bytes: int = 1_048_576
    total_bytes: int = 200_000_000
    entries: int = 1_000_000
    """Names in folders, read or not."""
    depth: int = 60
    """Folders in folders."""


@dataclass(slots=True)
class _Walk:
    """What was found so far."""

    root: Path
    limits: Limits
    progress: Progress | None
    is_part: bool
    files: list[SourceFile] = field(default_factory=list)
    documents: list[SourceFile] = field(default_factory=list)
    reports: list[SourceFile] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    """Files of kinds that are not read, by suffix."""
    entries: int = 0
    total_bytes: int = 0
    truncated: bool = False

    def leave_out(self, path: str, reason: str) -> None:
        self.left_out.append(LeftOut(_shown(path), reason))

    def full(self) -> bool:
        """Whether a limit is reached; says so once."""
        if self.truncated:
            return True
        reached = self._reached()
        if reached:
            self.truncated = True
            self.leave_out(".", f"the rest: {reached}")
        return self.truncated

    def _reached(self) -> str | None:
        if len(self.files) + len(self.documents) + len(self.reports) >= self.limits.files:
            return f"a target of more than {self.limits.files:,} files"
        if self.total_bytes >= self.limits.total_bytes:
            return f"a target of more than {self.limits.total_bytes:,} bytes"
        if self.entries >= self.limits.entries:
            return f"a target of more than {self.limits.entries:,} names"
        return None

    def add(self, path: str, file: Path) -> None:
        """Reads a regular file, if it is of a kind that is read."""
        name = path.rpartition("/")[2]
        kinds = ((self.files, language_of(name)), (self.reports, report_of(name)), (self.documents, document_of(name)))
        for into, language in kinds:
            if language is not None:
                self._read(into, language, path, file)
                return
        self.kinds[PurePosixPath(name).suffix.lower() or "no suffix"] += 1

    def _read(self, into: list[SourceFile], language: str, path: str, file: Path) -> None:
        is_code = into is self.files
        try:
            data = _contents(file, self.limits.file_bytes)
            text = readable(path, data, is_code=is_code)
        except TextRefused as refused:
            self.leave_out(path, str(refused))
            return
        except OSError as error:
            self.leave_out(path, f"cannot be read: {error.strerror or error}")
            return
        self.total_bytes += len(data)
        lines = code_lines(text, language) if is_code else 0
        into.append(SourceFile(path, language, lines, is_code and is_test(path), text))
        if self.progress is not None and len(self.files) % EVERY == 0:
            self.progress("reading files", len(self.files), 0)

    def sources(self) -> Sources:
        for suffix, count in sorted(self.kinds.items()):
            files = "1 file" if count == 1 else f"{count:,} files"
            self.leave_out(f"*{suffix}" if suffix.startswith(".") else "*", f"{files} of a kind that is not read")
        return Sources(
            self.root,
            tuple(sorted(self.files, key=lambda file: file.path)),
            tuple(sorted(self.documents, key=lambda file: file.path)),
            tuple(sorted(self.reports, key=lambda file: file.path)),
            tuple(self.left_out),
            self.truncated,
            self.is_part,
        )


def collect(root: Path, progress: Progress | None = None, limits: Limits | None = None) -> Sources:
    """Reads the code, documents and coverage reports below a folder, or one file.

    Raises OSError when the root itself is not there or cannot be read.
    """
    root = root.resolve(strict=True)
    limits = limits or Limits()
    if not root.is_dir():
        walk = _Walk(root.parent, limits, progress, is_part=True)
        walk.add(root.name, root)
        return walk.sources()
    walk = _Walk(root, limits, progress, _is_part(root))
    _folder(walk, root)
    return walk.sources()


def _is_part(root: Path) -> bool:
    repository = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)
    return repository != root or (root / "__init__.py").exists()


def _folder(walk: _Walk, root: Path) -> None:
    """Depth first, each folder's names in order, so that two walks of the same files find the same."""
    waiting: list[tuple[Path, str, tuple[IgnoreFile, ...]]] = [(root, "", ())]
    while waiting and not walk.full():
        folder, prefix, ignores = waiting.pop()
        try:
            entries = sorted(_entries(walk, folder), key=lambda entry: entry.name)
        except OSError as error:
            if folder == root:
                raise  # what cannot be read at all is an error, not an empty target
            walk.leave_out(prefix, f"cannot be read: {error.strerror or error}")
            continue
        ignores = _with_own(folder, prefix, ignores, walk.limits)
        inner: list[tuple[Path, str, tuple[IgnoreFile, ...]]] = []
        for entry in entries:
            path = prefix + entry.name
            reason = _not_entered(entry, path, ignores, walk)
            if reason is not None:
                walk.leave_out(path, reason)
            elif entry.is_dir(follow_symlinks=False):
                inner.append((folder / entry.name, path + "/", ignores))
            elif walk.full():
                break
            elif not entry.name.startswith("."):
                walk.add(path, folder / entry.name)
        waiting.extend(reversed(inner))


def _entries(walk: _Walk, folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            walk.entries += 1
            if walk.entries > walk.limits.entries:
                return
            yield entry


def _with_own(folder: Path, prefix: str, ignores: tuple[IgnoreFile, ...], limits: Limits) -> tuple[IgnoreFile, ...]:
    """The .gitignore files that count in a folder: those above it, and its own if it has a readable one."""
    try:
        text = _contents(folder / ".gitignore", limits.file_bytes).decode("utf-8", "replace")
    except (OSError, TextRefused):
        return ignores
    return (*ignores, IgnoreFile.read(prefix, text))


def _not_entered(entry: os.DirEntry[str], path: str, ignores: tuple[IgnoreFile, ...], walk: _Walk) -> str | None:
    """Why a file or folder is left out by what it is, before anything of it is read."""
    if _shown(path) != path:
        return "its name holds control characters or is not UTF-8"
    if entry.is_symlink():
        return _link(Path(entry.path), walk.root)
    if entry.is_dir(follow_symlinks=False):
        return _folder_not_entered(entry, path, ignores, walk.limits)
    if not entry.is_file(follow_symlinks=False):
        return "not a regular file"
    if ignored(ignores, path) and report_of(entry.name) is None:
        return "ignored by .gitignore"
    return None


def _folder_not_entered(
    entry: os.DirEntry[str], path: str, ignores: tuple[IgnoreFile, ...], limits: Limits
) -> str | None:
    if entry.name in VENDORED or Path(entry.path, "pyvenv.cfg").exists():
        return "vendored"
    if entry.name.startswith("."):
        return "hidden"
    if ignored(ignores, path + "/"):
        return "ignored by .gitignore"
    if path.count("/") >= limits.depth:
        return f"nested deeper than {limits.depth} folders"
    return None


def _link(link: Path, root: Path) -> str:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        return "symlink to nothing"
    return "symlink; what it names is read where it lies" if target.is_relative_to(root) else "symlink leads out"


def _contents(file: Path, limit: int) -> bytes:
    """A regular file's bytes; a link, a pipe or a device put in its place since is not opened for good."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(file, flags)
    with os.fdopen(descriptor, "rb") as opened:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise TextRefused("not a regular file")
        if about.st_size > limit:
            raise TextRefused(f"too large: {about.st_size:,} bytes, more than {limit:,}")
        return opened.read(limit + 1)[:limit]


def _shown(path: str) -> str:
    """A path as text that can be shown anywhere."""
    shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in shown)

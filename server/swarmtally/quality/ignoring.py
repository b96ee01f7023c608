"""Which paths a project's .gitignore files leave out (gitignore(5)).

Read here, not by asking git: a repository's own configuration can make git run programs.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_PATTERNS = 2_000
"""Of one file; those after it are not read."""

MAX_PATTERN_LENGTH = 500
MAX_STARS = 8
"""Of one pattern; one with more is not read, since matching it can take very long."""


@dataclass(frozen=True, slots=True)
class _Pattern:
    matches: re.Pattern[str]
    keeps: bool
    folders_only: bool


@dataclass(frozen=True, slots=True)
class IgnoreFile:
    """The patterns of one .gitignore, for paths relative to its folder."""

    folder: str
    """Relative to the root, with a `/` at its end; empty for the root."""
    patterns: tuple[_Pattern, ...]

    @classmethod
    def read(cls, folder: str, text: str) -> "IgnoreFile":
        return cls(folder, tuple(_patterns(text)))

    def verdict(self, path: str, *, is_folder: bool) -> bool | None:
        """Whether it ignores the path (relative to the root); None if it says nothing of it. The last match counts."""
        relative = path[len(self.folder) :]
        for pattern in reversed(self.patterns):
            if (is_folder or not pattern.folders_only) and pattern.matches.fullmatch(relative):
                return not pattern.keeps
        return None


def ignored(files: tuple[IgnoreFile, ...], path: str, *, is_folder: bool) -> bool:
    """Whether the .gitignore files of the folders above a path, outermost first, ignore it; the innermost decides."""
    for file in reversed(files):
        verdict = file.verdict(path, is_folder=is_folder)
        if verdict is not None:
            return verdict
    return False


def _patterns(text: str) -> Iterator[_Pattern]:
    for line in text.splitlines()[:MAX_PATTERNS]:
        pattern = line if line.endswith("\\ ") else line.rstrip(" ")
        if pattern.startswith("#") or len(pattern) > MAX_PATTERN_LENGTH or pattern.count("*") > MAX_STARS:
            continue
        keeps = pattern.startswith("!")
        pattern = pattern.removeprefix("!")
        if names := pattern.rstrip("/"):
            matches = _compiled(names)
            if matches is not None:
                yield _Pattern(matches, keeps, folders_only=names != pattern)


def _compiled(pattern: str) -> re.Pattern[str] | None:
    """A pattern with a slash before its end is tied to its file's folder, another matches at any depth below."""
    anchored = "/" in pattern
    try:
        return re.compile(("" if anchored else "(?:.*/)?") + _regex(pattern.removeprefix("/")), re.DOTALL)
    except re.error:
        return None


def _regex(pattern: str) -> str:
    """A pattern as a regular expression: `*` and `?` stop at `/`, `**` between slashes does not."""
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at) and (at == 0 or pattern[at - 1] == "/"):
            parts.append("(?:.*/)?")
            at += 3
        elif pattern[at:] == "/**":
            parts.append("/.*")
            at += 3
        elif pattern[at] == "*":
            parts.append("[^/]*")
            while pattern.startswith("*", at):
                at += 1
        elif pattern[at] == "?":
            parts.append("[^/]")
            at += 1
        elif pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
            inside = pattern[at + 1 : end]
            negated = inside[0] in "!^"
            inside = inside[1:] if negated else inside
            parts.append("(?!/)[" + ("^" if negated else "") + re.sub(r"([\[\\&~|^])", r"\\\1", inside) + "]")
            at = end + 1
        else:
            at += pattern[at] == "\\" and at + 1 < len(pattern)
            parts.append(re.escape(pattern[at]))
            at += 1
    return "".join(parts)

"""Which paths a project's .gitignore files leave out (gitignore(5)).

Read here, not by asking git: a repository's own configuration can make git run programs.
"""

from dataclasses import dataclass

from pathspec import GitIgnoreSpec

MAX_PATTERNS = 2_000
"""Of one file; those after it are not read."""

MAX_PATTERN_LENGTH = 500
MAX_STARS = 8
"""Of one pattern; one with more is not read, since matching it can take very long."""


@dataclass(frozen=True, slots=True)
class IgnoreFile:
    """The patterns of one .gitignore, for paths relative to its folder."""

    folder: str
    """Relative to the root, with a `/` at its end; empty for the root."""
    patterns: GitIgnoreSpec

    @classmethod
    def read(cls, folder: str, text: str) -> "IgnoreFile":
        lines = text.splitlines()[:MAX_PATTERNS]
        return cls(folder, GitIgnoreSpec.from_lines(line for line in lines if _is_harmless(line)))

    def verdict(self, path: str) -> bool | None:
        """Whether it ignores a path below its folder; None if it says nothing of it. The last match counts."""
        return self.patterns.check_file(path[len(self.folder) :]).include


def ignored(files: tuple[IgnoreFile, ...], path: str) -> bool:
    """Whether the .gitignore files of the folders above a path, outermost first, ignore it; the innermost decides.

    A folder's path ends with `/`.
    """
    for file in reversed(files):
        verdict = file.verdict(path)
        if verdict is not None:
            return verdict
    return False


def _is_harmless(line: str) -> bool:
    return len(line) <= MAX_PATTERN_LENGTH and line.count("*") <= MAX_STARS and line.strip() not in {"!", "/", "!/"}

"""Which project work belongs to."""

from pathlib import Path

DEFAULT_PROJECT = "default"


def git_root(cwd: Path) -> Path | None:
    """The nearest folder at or above `cwd` that holds a `.git`; None where there is none, or it is `/` or the home
    folder, which are too wide to be one project. Reads the file system."""
    start = cwd.resolve()
    for folder in (start, *start.parents):
        if (folder / ".git").exists():
            return None if folder in (Path(folder.anchor), Path.home().resolve()) else folder
    return None

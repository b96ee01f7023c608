"""The folders below which files may be read and written, and what of a path is allowed."""

import os
from collections.abc import Sequence
from pathlib import Path

from swarmtally.domain.errors import PathRefused


def allowed_roots(project_root: Path | None, extra: Sequence[Path]) -> tuple[Path, ...]:
    """The folders below which files may be read and written: the project's git root, if any, and `extra`."""
    found = [] if project_root is None else [project_root]
    return tuple(dict.fromkeys(real(Path(expanded(folder))) for folder in (*found, *extra)))


def refuse_outside(what: str, target: Path, roots: Sequence[Path], allow: Path) -> None:
    """See that `target`, whose links were followed, lies in one of `roots`, which `allowed_roots` gave.

    Raises:
        PathRefused: it does not; `what` it is and the folder to `allow` are in the message.
    """
    if not any(target.is_relative_to(root) for root in roots):
        known = ", ".join(map(str, roots)) or "none"
        raise PathRefused(f"{what} {target} lies outside the allowed roots ({known}); allow it with --allow {allow}")


def expanded(path: str | Path) -> str:
    """The path with a leading `~` replaced, where that user is known."""
    # Not Path.expanduser, which raises for a user who is not known; and `./~x` is no longer that in a Path.
    return os.path.expanduser(path)  # noqa: PTH111


def real(path: Path) -> Path:
    """The path with all links followed, as far as it is there."""
    # Not Path.resolve: before Python 3.13 that raises RuntimeError for a circle of links.
    return Path(os.path.realpath(path))


def is_too_wide(folder: Path) -> bool:
    """Whether it is `/` or the home folder."""
    return folder == folder.parent or folder == real(Path(expanded("~")))

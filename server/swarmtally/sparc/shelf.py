"""Keeps deliverables as files: `{out_dir}/{run_id}/{number}-{phase}-{name}.md`, and files that came with one in the
folder of that name without `.md`.

It never overwrites a file it did not write, and it never leaves `out_dir`, which was resolved when its run began. The
checks guard against links that lie there, or on the way to it, when it writes; a program of the same user that swaps
folders in between could have written the files itself.
"""

import os
import re
import secrets
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from swarmtally.domain.errors import PathRefused
from swarmtally.domain.files import File, is_git_folder
from swarmtally.domain.run import Run
from swarmtally.domain.task import Artefact
from swarmtally.sparc.roots import expanded, is_too_wide, real, refuse_outside

_TRIES = 100
_SLUG_CHARS = 64
_NOT_SLUG = re.compile(r"[^a-z0-9_]+")
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class FolderShelf:
    """Writes artefacts below a run's `out_dir` (`swarmtally.core.ports.Shelf`)."""

    async def put(self, run: Run, artefact: Artefact) -> str:
        """Write the artefact and return its absolute path.

        A file with the same content is taken for ours: a crash came between writing and recording. Any other file of
        that name is left alone and `-2`, `-3`, … is tried.

        Raises:
            PathRefused: a link leads out of `out_dir` or stands in its way, the names are used up, or the folder cannot
                be written.
            ValueError: the run has no `out_dir`.
        """
        if run.out_dir is None:
            raise ValueError(f"run {run.run_id} has no out_dir")
        return await anyio.to_thread.run_sync(_put, Path(run.out_dir), run.run_id, artefact)


def resolve_out_dir(path: str | Path, roots: Sequence[Path]) -> Path:
    """The absolute folder that `path` means, `~` expanded and all links followed. It need not exist yet.

    Raises:
        PathRefused: it lies outside every root or in git's own folder, is `/` or the home folder, or could not be made
            or written.
    """
    if not str(path).strip() or "\0" in str(path):
        raise PathRefused("out_dir is empty or no path; name a folder inside an allowed root")
    named = expanded(path)
    if named.startswith("~"):
        raise PathRefused(f"out_dir {path} begins with the home of a user who is not known; write ./{path}")
    target = real(Path(named))
    if is_too_wide(target):
        raise PathRefused(f"out_dir {target} is too wide; name a folder of its own, such as {target / 'sparc-output'}")
    within = [real(root) for root in roots]
    refuse_outside("out_dir", target, within, target)
    below = [target.relative_to(root) for root in within if target.is_relative_to(root)]
    if all(any(map(is_git_folder, way.parts)) for way in below):
        raise PathRefused(f"out_dir {target} lies in git's own folder; name a folder beside it")
    _refuse_unusable(target)
    return target


def _refuse_unusable(target: Path) -> None:
    """Refuse what could not be made or written, as far as that can be seen without doing it."""
    for nearest in (target, *target.parents):
        try:
            nearest.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise PathRefused(
                f"out_dir {str(target)[:200]} cannot be used ({error.strerror}); choose another"
            ) from error
        break
    # Links were followed: one that is left leads nowhere, or in a circle.
    if nearest.is_symlink() or not nearest.is_dir():
        fault = "" if nearest == target else f" cannot be made: {nearest}"
        raise PathRefused(f"out_dir {target}{fault} is not a folder; choose another")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PathRefused(f"out_dir {target} cannot be written: {nearest} may not be; choose another")


def _put(out_dir: Path, run_id: str, artefact: Artefact) -> str:
    content = artefact.text.encode()
    stem = f"{artefact.ordinal + 1:02d}-{_slug(artefact.phase)}-{_slug(artefact.name)}"
    try:
        _refuse_moved(out_dir)
        _make_folders(out_dir)
        # A link may have come in between.
        _refuse_moved(out_dir)
        folder = out_dir / run_id
        _refuse_outside(folder, out_dir)
        _make_folders(folder)
        for name in _names(stem):
            target = folder / f"{name}.md"
            wanted = {**_files_below(folder / name, artefact.files), target: content}
            # All are looked at before the first is written: a folder of somebody else's gets none of them.
            if all(_may_be(one, text, folder, out_dir) for one, text in wanted.items()) and _write(wanted):
                return str(target)
    except OSError as error:
        raise PathRefused(
            f"{out_dir} cannot be written ({error.strerror}); make it writable or choose another out_dir"
        ) from error
    raise PathRefused(f"{folder} holds {_TRIES} files named {stem}; empty it or choose another out_dir")


def _names(stem: str) -> Iterator[str]:
    yield stem
    yield from (f"{stem}-{number}" for number in range(2, _TRIES + 1))


def _files_below(folder: Path, files: Sequence[File]) -> dict[Path, bytes]:
    """What is to lie below `folder`. The files' paths were checked when they were reported."""
    return {folder.joinpath(*file.path.split("/")): file.text.encode() for file in files}


def _may_be(target: Path, content: bytes, folder: Path, base: Path) -> bool:
    """Whether nothing that is not ours stands where `target` goes, nor where a folder above it, below `folder`, goes.

    Raises:
        PathRefused: one of them is a link that leads out of `base`.
    """
    for parent in reversed([one for one in target.parents if one.is_relative_to(folder)]):
        _refuse_outside(parent, base)
        if os.path.lexists(parent) and not parent.is_dir():
            return False
    _refuse_outside(target, base)
    return not os.path.lexists(target) or _holds(target, content)


def _write(wanted: Mapping[Path, bytes]) -> bool:
    """Make the files; False when something else has come in the way since it was looked."""
    for target, content in wanted.items():
        _make_folders(target.parent)
        if not (_create(target, content) or _holds(target, content)):
            return False
    return True


def _slug(text: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return _NOT_SLUG.sub("-", ascii_text.lower()).strip("-")[:_SLUG_CHARS].strip("-") or "artefact"


def _make_folders(folder: Path) -> None:
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(0o755, exist_ok=True)


def _refuse_moved(out_dir: Path) -> None:
    """Refuse links on the way to `out_dir`: it was allowed as the folder it was then, all links followed."""
    there = real(out_dir)
    if there != out_dir:
        raise PathRefused(
            f"{out_dir} has become another folder since the run began ({there}); remove the link or start a new run"
        )


def _refuse_outside(target: Path, base: Path) -> None:
    if not real(target).is_relative_to(base):
        raise PathRefused(f"{target} is a link that leads out of {base}; remove it or choose another out_dir")


def _create(target: Path, content: bytes) -> bool:
    """Make the file, whole from its first moment; False when something of that name is there.

    Two processes may write the same artefact at once: neither must see half of it and take it for another's.
    """
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    _write_new(part, content)
    try:
        # Unlike a rename this never replaces what is there.
        os.link(part, target)
    except FileExistsError:
        return False
    except OSError:
        return _create_in_place(target, content)
    finally:
        part.unlink()
    return True


def _create_in_place(target: Path, content: bytes) -> bool:
    """The same where the file system has no links."""
    try:
        _write_new(target, content)
    except FileExistsError:
        return False
    return True


def _write_new(target: Path, content: bytes) -> None:
    opened = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _BINARY, 0o644)
    try:
        with open(opened, "wb") as file:  # noqa: PTH123 (Path.open takes no descriptor)
            file.write(content)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _holds(target: Path, content: bytes) -> bool:
    """Whether the plain file at `target` has exactly this content."""
    if target.is_symlink() or not target.is_file() or target.stat().st_size != len(content):
        return False
    return target.read_bytes() == content

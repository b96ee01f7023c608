"""Files that come with a deliverable: text under relative paths that are safe on every system."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.text import STEERING

FILES_LIMIT = 100
"""The most files one report may bring."""

FILES_LIMIT_BYTES = 4 * 1024 * 1024
"""The most they may hold together."""

PATH_LIMIT = 200
"""The longest path, in characters."""

PART_LIMIT_BYTES = 200
"""The longest part of a path: file systems end at 255 bytes."""

_FORBIDDEN = re.compile(r'[<>:"|?*\\]')
_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]) *(?:\..*)?", re.IGNORECASE
)
_GIT = re.compile(r"\.git|git~[0-9]+")
_FENCE = re.compile(r"^`{3,}", re.MULTILINE)


_MEDIA_TYPES = {
    "css": "text/css",
    "csv": "text/csv",
    "htm": "text/html",
    "html": "text/html",
    "js": "text/javascript",
    "json": "application/json",
    "md": "text/markdown",
    "mjs": "text/javascript",
    "py": "text/x-python",
    "sh": "application/x-sh",
    "sql": "application/sql",
    "svg": "image/svg+xml",
    "toml": "application/toml",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
}


def media_type(path: str) -> str:
    """What a text file holds, by its ending; `text/plain` for those without a type that is registered or in wide use.

    The standard library's table depends on the system, and takes TypeScript for a video.
    """
    name, dot, ending = path.rpartition(".")
    return _MEDIA_TYPES.get(ending.lower(), "text/plain") if dot and name else "text/plain"


@dataclass(frozen=True, slots=True)
class File:
    """A file's text and its relative path, with `/` between its parts."""

    path: str
    text: str


def checked_files(files: Mapping[str, str]) -> tuple[File, ...]:
    """`files` (path → text) in the order of their paths.

    Raises:
        InvalidInput: a path is absolute, leaves its folder, cannot be on some system, or stands in another's way; or
            the files are too many or too large. The text names the first.
    """
    if len(files) > FILES_LIMIT:
        raise InvalidInput(
            f"files holds {len(files)} files; at most {FILES_LIMIT} are allowed, so report the main ones"
        )
    size = 0
    folders: set[str] = set()
    names: dict[str, str] = {}
    for path, text in sorted(files.items()):
        fault = _fault(path)
        if fault is not None:
            raise InvalidInput(f"files: path {path[:PATH_LIMIT]!r} {fault}; use a relative path such as src/app.py")
        key = _same(path)
        if key in names:
            raise InvalidInput(f"files: {path!r} and {names[key]!r} are one file on some systems; rename one")
        names[key] = path
        folders.update(_folders(key))
        try:
            size += len(text.encode())
        except UnicodeEncodeError as error:
            raise InvalidInput(f"files: {path!r} is not valid Unicode at character {error.start}; remove it") from error
    if size > FILES_LIMIT_BYTES:
        raise InvalidInput(f"files holds {size} bytes; at most {FILES_LIMIT_BYTES} are allowed together")
    both = sorted(folders & names.keys())
    if both:
        raise InvalidInput(f"files: {names[both[0]]!r} is a file and a folder at once; rename one")
    return tuple(File(path, files[path]) for path in sorted(files))


def rendered(text: str, files: Sequence[File]) -> str:
    """A deliverable as one text: what was said, then each file in a fence that nothing in it can close."""
    if not files:
        return text
    return "\n\n".join([*([text] if text else []), *(_fenced(file) for file in files)])


def _fenced(file: File) -> str:
    longest = max((len(found) for found in _FENCE.findall(file.text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"File `{file.path}`:\n{fence}\n{file.text}\n{fence}"


def _fault(path: str) -> str | None:
    if not path or len(path) > PATH_LIMIT:
        return f"has {len(path)} characters, not 1 to {PATH_LIMIT}"
    try:
        path.encode()
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if path.startswith("/") or _FORBIDDEN.search(path) or STEERING.search(path):
        return "is absolute or holds a character that file names cannot have everywhere"
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return "has an empty part, . or .."
        if is_git_folder(part) or _DEVICE.fullmatch(part) or part.endswith((" ", ".")):
            return f"has a part that is not allowed ({part!r})"
        if len(part.encode()) > PART_LIMIT_BYTES:
            return f"has a part of {len(part.encode())} bytes; at most {PART_LIMIT_BYTES} are allowed"
    return None


def is_git_folder(part: str) -> bool:
    """Whether a part of a path is git's own folder on some system."""
    return _GIT.fullmatch(_seen(part)) is not None


def _same(path: str) -> str:
    """What two paths share that are one file on some system: macOS and Windows tell neither case nor accents apart."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def _seen(part: str) -> str:
    """`part` as a file system reads it that passes over characters nobody sees."""
    return _same("".join(char for char in part if unicodedata.category(char) != "Cf"))


def _folders(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]

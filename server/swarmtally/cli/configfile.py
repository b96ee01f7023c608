"""Another program's configuration file: read with care, replaced at once or not at all."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from swarmtally.domain.errors import PathRefused

SIZE_LIMIT_BYTES = 64 * 1024 * 1024
"""The largest file that is read; clients keep their whole history in some."""

_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file as it was read. Links were followed to `real`, so that a link stays one."""

    path: Path
    real: Path
    content: bytes | None
    """None: there is no such file yet."""
    mode: int | None

    @property
    def text(self) -> str:
        """Its text, without a byte order mark.

        Raises:
            PathRefused: it is empty or not UTF-8.
        """
        if self.content is None:
            return "{}\n"
        try:
            text = self.content.decode().removeprefix(_BOM)
        except UnicodeDecodeError as error:
            raise PathRefused(
                f"{self.path} is not UTF-8 (byte {error.start}); save it as UTF-8, nothing was changed"
            ) from None
        if not text.strip():
            raise PathRefused(f"{self.path} is empty; remove it, or write {{}} into it, and try again")
        return text

    def encoded(self, text: str) -> bytes:
        """`text` as this file has it: with a byte order mark where it had one."""
        marked = self.content is not None and self.content.startswith(_BOM.encode())
        return ((_BOM if marked else "") + text).encode()

    @property
    def backup_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.swarmtally.bak")


def read(path: Path) -> ConfigFile:
    """The file at the absolute `path`, which need not exist.

    Raises:
        PathRefused: it cannot be read, or something else lies there.
    """
    real = Path(os.path.realpath(path))
    with _told(path, "read"):
        try:
            status = real.stat()
        except FileNotFoundError:
            return ConfigFile(path, real, None, None)
        # Asked before it is opened: a pipe would never end.
        if not stat.S_ISREG(status.st_mode):
            raise PathRefused(f"{path} is not a file; name the client's configuration file with --file")
        if status.st_size > SIZE_LIMIT_BYTES:
            raise PathRefused(f"{path} has {status.st_size} bytes; at most {SIZE_LIMIT_BYTES} are read")
        return ConfigFile(path, real, real.read_bytes(), stat.S_IMODE(status.st_mode))


def replace(config: ConfigFile, content: bytes, new_mode: int) -> None:
    """Give the file `content`, all of it or nothing; a new file and its folder are made.

    Args:
        new_mode: the permissions of a new file; those of one that was there are kept.

    Raises:
        PathRefused: it cannot be written, or another program changed it since it was read.
    """
    check_writable(config)
    with _told(config.path, "written"):
        config.real.parent.mkdir(parents=True, exist_ok=True)
    if read(config.path).content != config.content:
        raise PathRefused(f"{config.path} was changed by another program just now; nothing was written, try again")
    with _told(config.path, "written"):
        _replace(config.real, content, config.mode, new_mode)


def check_writable(config: ConfigFile) -> None:
    """
    Raises:
        PathRefused: the file is protected against writing, which replacing it would not even notice.
    """
    if config.mode is not None and not (config.mode & stat.S_IWUSR and os.access(config.real, os.W_OK)):
        raise PathRefused(f"{config.path} cannot be written (it is read-only); make it writable and try again")


def back_up(config: ConfigFile) -> Path:
    """Keep the content that was read beside the file, with its permissions; returns where.

    Raises:
        PathRefused: it cannot be written there.
    """
    assert config.content is not None
    target = config.backup_path
    with _told(target, "written"):
        _replace(target, config.content, config.mode, 0o600)
    return target


def _replace(path: Path, content: bytes, mode: int | None, new_mode: int) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, new_mode if mode is None else mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        if mode is not None:
            # What the umask took away.
            temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


@contextmanager
def _told(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PathRefused(
            f"{path} cannot be {what} ({error.strerror or error}); nothing was changed: mend that, or name another "
            "file with --file"
        ) from error

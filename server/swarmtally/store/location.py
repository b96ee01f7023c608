"""Where the database lies, and whether it may lie there."""

import errno
import os
import re
from pathlib import Path

from swarmtally.domain.errors import DatabaseReadOnly, DatabaseUnavailable, NetworkFileSystem

_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "9p", "fuse.sshfs", "ncpfs"}


def prepare(path: Path) -> Path:
    """The absolute path of the database with its folder made (0700); an existing folder is left as it is.

    Blocking: call it before the event loop runs, or in a thread.

    Raises:
        NetworkFileSystem: locks cannot be trusted there.
        DatabaseUnavailable: the folder cannot be made, or the path is a folder.
    """
    try:
        path = path.expanduser().absolute()
        refuse_network(path, _mounts())
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.is_dir():
            raise DatabaseUnavailable(str(path), "it is a folder, not a file")
        # Made here, so that SQLite never creates it with wider permissions (-wal and -shm take the file's own).
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except PermissionError:
        # A file that may only be read is opened all the same: it can still be searched.
        if not _readable(path):
            raise DatabaseUnavailable(str(path), "permission denied") from None
    except OSError as error:
        if error.errno == errno.EROFS:
            raise DatabaseReadOnly(str(path)) from None
        raise DatabaseUnavailable(str(path), error.strerror or str(error)) from error
    except (ValueError, RuntimeError) as error:
        # A NUL in the path; a home folder that cannot be found.
        raise DatabaseUnavailable(str(path), str(error)) from error
    return path


def _readable(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError:
        return False
    return True


def refuse_network(path: Path, mounts: str) -> None:
    """Check where `path` lies, before anything is created there.

    Args:
        path: absolute; it need not exist.
        mounts: the text of Linux's `/proc/self/mountinfo`, empty where there is none.

    Raises:
        NetworkFileSystem: on a network file system or a Windows share.
    """
    folder = path.parent.resolve()
    kind = "cifs" if str(folder).startswith("\\\\") else file_system(folder, mounts)
    if kind in _NETWORK:
        raise NetworkFileSystem(str(path), kind)


def file_system(folder: Path, mounts: str) -> str:
    """The type of the file system `folder` lies on, as `mounts` (mountinfo text) has it; empty when not known."""
    best, kind = "", ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        # Space, tab, newline and backslash are written in octal.
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), left.split(" ")[4])
        inside = point == "/" or str(folder) == point or str(folder).startswith(point + "/")
        # The last of equal mounts lies on top.
        if inside and len(point) >= len(best):
            best, kind = point, right.split(" ")[0]
    return kind


def _mounts() -> str:
    table = Path("/proc/self/mountinfo")
    return table.read_text(encoding="utf-8", errors="surrogateescape") if table.exists() else ""

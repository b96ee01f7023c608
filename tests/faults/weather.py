"""What is done to the machine under the program: its disk fills, its fsync fails, its clock is set."""

import ctypes
import mmap
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

SOURCE = Path(__file__).with_name("shim.c")


class _Control(ctypes.Structure):
    _fields_ = (("clock_ns", ctypes.c_int64), ("fsync_fails", ctypes.c_int32))


class Machine:
    """What processes started with `environ` see of the machine."""

    def __init__(self, folder: Path) -> None:
        library, control = folder / "shim.so", folder / "control"
        command = ["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True, capture_output=True)
        control.write_bytes(bytes(mmap.PAGESIZE))
        with control.open("r+b") as file:
            self._control = _Control.from_buffer(mmap.mmap(file.fileno(), mmap.PAGESIZE))
        self.environ: Mapping[str, str] = {"LD_PRELOAD": str(library), "FAULTS_CONTROL": str(control)}

    def move_clock(self, by_s: float) -> None:
        """Set the wall clock that much later (or earlier) than it really is."""
        self._control.clock_ns = round(by_s * 1e9)

    def fail_fsync(self, fails: bool) -> None:
        self._control.fsync_fails = int(fails)


def no_machine() -> str:
    """Why no `Machine` can be made here; empty where it can."""
    if not Path("/proc/stat").exists():
        return "needs Linux"
    return "" if shutil.which("cc") else "needs cc"


class Disk(Protocol):
    """A place for a database that can be made to have no room left."""

    folder: Path
    kind: str

    def fill(self, room: int, pid: int) -> None:
        """Leave so many bytes, to the process at least."""

    def free(self, pid: int) -> None:
        """Give room again; `pid` is 0 when the process has gone."""


class SmallDisk:
    """A file system of its own in memory, filled by a file."""

    kind = "a tmpfs of 24 MiB"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, room: int, pid: int) -> None:
        free = shutil.disk_usage(self.folder).free
        # The process may have written meanwhile: then it is full, and nothing is left.
        with suppress(OSError):
            self._ballast.write_bytes(bytes(max(0, free - room)))

    def free(self, pid: int) -> None:
        self._ballast.unlink()


class LimitedFiles:
    """The system lets the process make no file longer (RLIMIT_FSIZE), which SQLite sees as a write that failed."""

    kind = "RLIMIT_FSIZE"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, room: int, pid: int) -> None:
        longest = max(file.stat().st_size for file in self.folder.glob("swarm.db*"))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (longest + room, resource.RLIM_INFINITY))

    def free(self, pid: int) -> None:
        if pid:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """A small disk mounted on `folder`, where that is allowed; else a limit on what processes write."""
    folder.mkdir(parents=True)
    mounting = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(mounting, capture_output=True).returncode:
        yield LimitedFiles(folder)
        return
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)

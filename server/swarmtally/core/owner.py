"""Who holds a lease: the name of a process, and whether that process still lives.

Both questions read the system's process table; ask them in a worker thread, never on the event loop.
"""

import os
import platform
from collections.abc import Iterable

import psutil

_SAME_START_MS = 2_000
"""Two readings of one process's start may differ by a correction of the machine's clock."""


def this_process() -> str:
    """`host:pid:start` of this process; `start` (milliseconds) tells it from a later one with the same pid."""
    pid = os.getpid()
    return f"{platform.node()}:{pid}:{_start_ms(psutil.Process(pid))}"


def dead_among(owners: Iterable[str]) -> frozenset[str]:
    """Those of `owners` whose process certainly runs no more."""
    return frozenset(owner for owner in owners if is_dead(owner))


def is_dead(owner: str) -> bool:
    """Whether the process certainly runs no more. False for another machine's: only its lease can tell."""
    host, pid, start = owner.rsplit(":", 2)
    if host != platform.node():
        return False
    try:
        process = psutil.Process(int(pid))
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        return abs(_start_ms(process) - int(start)) > _SAME_START_MS
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def _start_ms(process: psutil.Process) -> int:
    return round(process.create_time() * 1000)

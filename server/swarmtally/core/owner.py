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
    return f"{platform.node()}:{pid}:{_starts_ms(psutil.Process(pid))[0]}"


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
        return all(abs(known_ms - int(start)) > _SAME_START_MS for known_ms in _starts_ms(process))
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def _starts_ms(process: psutil.Process) -> tuple[int, ...]:
    """When it began: since the epoch; on Linux first since booting, and then as earlier versions named it.

    Linux keeps the ticks from booting to a process's start, and moves the time of booting when its clock is set: a
    living process would seem to be another one.
    """
    began_s = process.create_time()
    if not psutil.LINUX:
        return (round(began_s * 1000),)
    return round((began_s - psutil.boot_time()) * 1000), round(began_s * 1000)

"""What this process, its children and the machine have used so far, as the operating system tells it.

Everything here reads the system's tables and blocks: call it in a worker thread.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import psutil

from swarmtally.domain.resources import ResourceUse

T = TypeVar("T")

_NS_PER_S = 1_000_000_000

PRESSURE = Path("/proc/pressure/memory")
"""Where Linux tells of tasks that waited for memory; not on every kernel, and on no other system."""

_Id = tuple[int, float]
"""Process id and start: the id alone may be another process's by now."""


@dataclass(frozen=True, slots=True)
class _Process:
    """Totals of one process. `reaped_ns` is what its ended children used (0 on Windows, which does not tell)."""

    cpu_ns: int | None
    reaped_ns: int | None
    rss_bytes: int | None
    read_bytes: int | None
    written_bytes: int | None


@dataclass(frozen=True, slots=True)
class Totals:
    """What was used until one moment; two of them make a `ResourceUse`."""

    processes: dict[_Id, _Process] | None
    """This process and all below it; None: they could not be listed."""
    net_sent_bytes: int | None
    net_received_bytes: int | None
    memory_stall_ns: int | None

    def since(self, earlier: "Totals") -> ResourceUse:
        """What was used after `earlier`. Never below 0: a counter that went back makes its figure unknown."""
        now, before = self.processes, earlier.processes
        return ResourceUse(
            cpu_ns=None if now is None or before is None else _cpu_ns(now, before),
            rss_bytes=None if now is None else _sum(item.rss_bytes for item in now.values()),
            read_bytes=None if now is None or before is None else _bytes(now, before, lambda item: item.read_bytes),
            written_bytes=(
                None if now is None or before is None else _bytes(now, before, lambda item: item.written_bytes)
            ),
            children=None if now is None else max(0, len(now) - 1),
            net_sent_bytes=_grown(self.net_sent_bytes, earlier.net_sent_bytes),
            net_received_bytes=_grown(self.net_received_bytes, earlier.net_received_bytes),
            memory_stall_ns=_grown(self.memory_stall_ns, earlier.memory_stall_ns),
        )

    def now(self) -> ResourceUse:
        """What there is now; what was used is not known without an earlier reading."""
        return replace(
            self.since(self),
            cpu_ns=None,
            read_bytes=None,
            written_bytes=None,
            net_sent_bytes=None,
            net_received_bytes=None,
            memory_stall_ns=None,
        )


class ResourceProbe:
    """Reads the totals. Each figure fails on its own, and is then None."""

    def __init__(self, pressure: Path = PRESSURE) -> None:
        self._this = psutil.Process()
        self._pressure = pressure

    def read(self) -> Totals:
        sent, received = _told(_network) or (None, None)
        return Totals(_told(self._processes), sent, received, _told(self._memory_stall_ns))

    def _processes(self) -> dict[_Id, _Process]:
        found: dict[_Id, _Process] = {}
        for process in (self._this, *self._this.children(recursive=True)):
            try:
                found[process.pid, process.create_time()] = _read(process)
            except psutil.NoSuchProcess:
                continue  # it ended meanwhile
        return found

    def _memory_stall_ns(self) -> int:
        for line in self._pressure.read_text(encoding="ascii").splitlines():
            if line.startswith("some "):
                return int(line.rpartition("total=")[2]) * 1_000
        raise ValueError("no line of some tasks")


def _read(process: psutil.Process) -> _Process:
    with process.oneshot():
        times = _of_living(process.cpu_times)
        memory = _of_living(process.memory_info)
        # macOS has no such method.
        disk = _of_living(lambda: process.io_counters())
    return _Process(
        cpu_ns=None if times is None else round((times.user + times.system) * _NS_PER_S),
        reaped_ns=None if times is None else round((times.children_user + times.children_system) * _NS_PER_S),
        rss_bytes=None if memory is None else memory.rss,
        read_bytes=None if disk is None else disk.read_bytes,
        written_bytes=None if disk is None else disk.write_bytes,
    )


def _network() -> tuple[int, int]:
    counters = psutil.net_io_counters(nowrap=False)
    return counters.bytes_sent, counters.bytes_recv


def _told(ask: Callable[[], T]) -> T | None:
    """The answer, or None where the system has none."""
    try:
        return ask()
    except Exception:  # noqa: BLE001 - what a system cannot tell shows in many ways; the figure is unknown
        return None


def _of_living(ask: Callable[[], T]) -> T | None:
    """As `_told`, of a process.

    Raises:
        psutil.NoSuchProcess: it has ended.
    """
    try:
        return ask()
    except psutil.NoSuchProcess:
        raise
    except Exception:  # noqa: BLE001 - as above
        return None


def _cpu_ns(now: dict[_Id, _Process], before: dict[_Id, _Process]) -> int | None:
    """What living processes used, and what ended ones used between being looked at and their end: the system adds an
    ended child's total to its parent's, of which we have counted a part before."""
    own = _sum(_more(item.cpu_ns, before[key].cpu_ns if key in before else 0) for key, item in now.items())
    reaped = _sum(_more(item.reaped_ns, before[key].reaped_ns if key in before else 0) for key, item in now.items())
    counted = _sum(
        None if item.cpu_ns is None or item.reaped_ns is None else item.cpu_ns + item.reaped_ns
        for key, item in before.items()
        if key not in now
    )
    return None if own is None or reaped is None or counted is None else own + max(0, reaped - counted)


def _bytes(
    now: dict[_Id, _Process], before: dict[_Id, _Process], figure: Callable[[_Process], int | None]
) -> int | None:
    """As `_cpu_ns`. Linux adds an ended child's bytes to its parent's own; elsewhere its last ones are not known."""
    grown = _sum(_more(figure(item), figure(before[key]) if key in before else 0) for key, item in now.items())
    counted = _sum(figure(item) for key, item in before.items() if key not in now) if psutil.LINUX else 0
    return None if grown is None or counted is None else max(0, grown - counted)


def _more(now: int | None, before: int | None) -> int | None:
    return None if now is None or before is None else max(0, now - before)


def _grown(now: int | None, before: int | None) -> int | None:
    return None if now is None or before is None or now < before else now - before


def _sum(figures: Iterable[int | None]) -> int | None:
    total = 0
    for figure in figures:
        if figure is None:
            return None
        total += figure
    return total

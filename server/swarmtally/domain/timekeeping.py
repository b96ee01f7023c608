"""Where a process's own time goes: each moment of wall-clock time belongs to exactly one part of the work."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType


class Part(IntEnum):
    """What time is spent on. Where several go on at once, the moment belongs to the first of them."""

    STORE = 0
    """A statement runs, or waits for another process's lock."""
    SCHEDULING = 1
    """The scheduler's turn, routing with it."""
    BACKENDS = 2
    """At least one call of a backend is under way, and nothing of the above."""
    REST = 3
    """None of them."""


@dataclass(frozen=True, slots=True)
class TimeSpent:
    """Nanoseconds of wall-clock time by part; the four parts add up to `total_ns`."""

    store_ns: int
    scheduling_ns: int
    backends_ns: int
    rest_ns: int
    lock_wait_ns: int
    """Of `store_ns`: waiting for another process's lock."""

    @property
    def total_ns(self) -> int:
        return self.store_ns + self.scheduling_ns + self.backends_ns + self.rest_ns

    def since(self, earlier: "TimeSpent") -> "TimeSpent":
        """What was spent after `earlier` was read."""
        return TimeSpent(
            self.store_ns - earlier.store_ns,
            self.scheduling_ns - earlier.scheduling_ns,
            self.backends_ns - earlier.backends_ns,
            self.rest_ns - earlier.rest_ns,
            self.lock_wait_ns - earlier.lock_wait_ns,
        )


class _Span:
    """`with` for one part. It holds no state of its own, so it nests and is shared by tasks."""

    __slots__ = ("_keeper", "_part")

    def __init__(self, keeper: "Timekeeper", part: Part) -> None:
        self._keeper = keeper
        self._part = int(part)  # an enum is slower to look up by

    def __enter__(self) -> None:
        self._keeper.begin(self._part)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keeper.end(self._part)


class _LockWait:
    """`with` for waiting for a lock, which is the store's time."""

    __slots__ = ("_keeper",)

    def __init__(self, keeper: "Timekeeper") -> None:
        self._keeper = keeper

    def __enter__(self) -> None:
        self._keeper.begin_waiting()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keeper.end_waiting()


class Timekeeper:
    """Divides the time since it was made. Statements run in threads of their own, so every thread may tell it.

    Each change of what is under way settles the time since the last, so keeping time costs two readings of the clock
    for each thing that is timed.
    """

    __slots__ = (
        "_lock",
        "_lock_wait",
        "_monotonic_ns",
        "_settled_ns",
        "_spans",
        "_spent",
        "_under_way",
        "_waited",
        "_waiting",
    )

    def __init__(self, monotonic_ns: Callable[[], int]) -> None:
        self._monotonic_ns = monotonic_ns
        self._under_way = [0, 0, 0]
        self._waiting = 0
        self._spent = [0, 0, 0, 0]
        self._waited = 0
        self._settled_ns = monotonic_ns()
        self._spans = tuple(_Span(self, part) for part in (Part.STORE, Part.SCHEDULING, Part.BACKENDS))
        self._lock_wait = _LockWait(self)
        self._lock = threading.Lock()

    def time(self, part: Part) -> _Span:
        """Count what happens inside the `with` to `part`; as often at once as wanted."""
        return self._spans[part]

    def lock_wait(self) -> _LockWait:
        """Count what happens inside the `with` to the store, as waiting for another process's lock."""
        return self._lock_wait

    def under_way(self, part: Part) -> int:
        """How many things of `part` are under way now."""
        return self._under_way[part]

    def begin(self, part: int) -> None:
        with self._lock:
            under_way = self._under_way
            # Where others of its kind are under way, nothing changes for the time.
            if not under_way[part]:
                self._settle()
            under_way[part] += 1

    def end(self, part: int) -> None:
        with self._lock:
            under_way = self._under_way
            if under_way[part] == 1:
                self._settle()
            under_way[part] -= 1

    def begin_waiting(self) -> None:
        with self._lock:
            self._settle()
            self._under_way[Part.STORE] += 1
            self._waiting += 1

    def end_waiting(self) -> None:
        with self._lock:
            self._settle()
            self._under_way[Part.STORE] -= 1
            self._waiting -= 1

    def read(self) -> TimeSpent:
        """What was spent until now."""
        with self._lock:
            self._settle()
            store, scheduling, backends, rest = self._spent
            return TimeSpent(store, scheduling, backends, rest, self._waited)

    def _settle(self) -> None:
        now_ns = self._monotonic_ns()
        passed_ns = now_ns - self._settled_ns
        if passed_ns <= 0:
            return
        self._settled_ns = now_ns
        store, scheduling, backends = self._under_way
        self._spent[0 if store else 1 if scheduling else 2 if backends else 3] += passed_ns
        if self._waiting:
            self._waited += passed_ns

"""Time, injected: everything that needs the time takes a `Clock`, so tests set it and never sleep."""

import time
from datetime import UTC, datetime
from typing import Protocol

NS_PER_S = 1_000_000_000


class Clock(Protocol):
    """Wall time for records and leases, monotonic time for durations; both in integer nanoseconds."""

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch (UTC)."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds of a clock that never goes backwards; only differences mean anything."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


def iso(ns: int) -> str:
    """`ns` since the epoch as ISO 8601 in UTC with milliseconds, such as `2026-11-23T05:32:56.120Z`."""
    moment = datetime.fromtimestamp(ns // NS_PER_S, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ns % NS_PER_S // 1_000_000:03d}Z"

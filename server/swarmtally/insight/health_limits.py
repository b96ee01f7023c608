"""Where a figure of health begins to be bad."""

from dataclasses import dataclass

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """The defaults are what `health_check` uses. Times are seconds."""

    check_s: float = 8.0
    """A check that takes longer counts as failed; nothing waits for it."""

    total_s: float = 25.0
    """How long all checks may take. Clients cut calls off from 60 s on."""

    whole_bytes: int | float = 256 * _MIB
    """A larger file is not checked as a whole but table by table."""

    integrity_s: float = 3.0
    """How long the file is read."""

    write_s: float = 5.0
    """How long a commit is waited for."""

    write_slow_s: float = 1.0

    wal_bytes: int = 64 * _MIB
    """SQLite empties the log every 4 MiB when nobody stands in the way."""

    free_low_bytes: int = 1024 * _MIB
    free_least_bytes: int = 100 * _MIB

    loop_s: float = 0.25
    """How long the event loop is watched."""

    lag_s: float = 0.1
    lag_worst_s: float = 1.0

    clock_s: float = 1.0
    """How far the wall clock may stand behind recorded times, or have moved against the monotonic one."""

    available_low: float = 0.10
    available_least: float = 0.03
    """Shares of the machine's memory."""

    process_share: float = 0.50
    """The share of the machine's memory that this process and its children may hold."""

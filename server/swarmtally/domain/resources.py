"""What a process and the machine under it used of cpu, memory, disk and network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swarmtally.domain.timekeeping import TimeSpent


@dataclass(frozen=True, slots=True)
class ResourceUse:
    """Of a process and its children over some time; None: the system does not tell, or could not be asked."""

    cpu_ns: int | None
    rss_bytes: int | None
    """Now. Pages that processes share are counted for each."""
    read_bytes: int | None
    written_bytes: int | None
    children: int | None
    """Now, children of children too."""
    net_sent_bytes: int | None
    """Of the whole machine, as the two below: systems do not count these by process."""
    net_received_bytes: int | None
    memory_stall_ns: int | None
    """Time in which some task of the machine waited for memory (Linux PSI)."""


@dataclass(frozen=True, slots=True)
class ResourceSample:
    """One interval of a process that executes runs."""

    at_ns: int
    """When it was recorded, a moment after the interval's end: Unix ns."""
    project: str
    owner: str
    """The process, `host:pid:start`."""
    use: ResourceUse
    spent: TimeSpent
    """Where the interval went; its parts add up to it."""
    lag_ns: int
    """The longest the event loop kept a due timer waiting."""
    calls: int
    """Of backends, under way at the end of the interval."""

    @property
    def interval_ns(self) -> int:
        return self.spent.total_ns

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "ResourceSample":
        return cls(
            at_ns=row["at_ns"],
            project=row["project"],
            owner=row["owner"],
            use=ResourceUse(**{name: row[name] for name in ResourceUse.__slots__}),
            spent=TimeSpent(**{name: row[name] for name in TimeSpent.__slots__}),
            lag_ns=row["lag_ns"],
            calls=row["calls"],
        )

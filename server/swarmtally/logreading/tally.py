"""What is kept of a template's entries: counts, times in buckets, three examples."""

from array import array
from collections import Counter

from swarmtally.logreading.stamps import NS_PER_S

MOST_BUCKETS = 128
"""Stretches of time counted apart; with more, each becomes twice as long."""
MOST_COMPONENTS = 32
"""Components counted by name; the entries of further ones are in the count alone."""
LONGEST_KEPT = 2_000
"""Characters of an entry that are kept for an example, before secrets are masked."""


class Tally:
    """Grows entry by entry; two can become one."""

    __slots__ = (
        "buckets", "components", "count", "entry", "first_ns", "first_text", "last_ns", "last_text", "levels", "lines",
        "middle_text", "shift",
    )  # fmt: skip

    def __init__(self, entry: int) -> None:
        self.entry = entry
        self.count = 0
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.shift = 0
        self.buckets: dict[int, int] = {}
        """Entries by Unix seconds >> shift."""
        self.levels: Counter[str | None] = Counter()
        self.components: Counter[str] = Counter()
        self.first_text = self.middle_text = self.last_text = ""
        self.lines = array("L")

    def add(self, time_ns: int | None, level: str | None, component: str | None, text: str) -> None:
        self.count = count = self.count + 1
        self.levels[level] += 1
        if component is not None and (component in self.components or len(self.components) < MOST_COMPONENTS):
            self.components[component] += 1
        if time_ns is not None:
            self._time(time_ns)
        if count & (count - 1) == 0:
            # The last power of two is never before the middle half of the entries.
            self.middle_text = text
            if count == 1:
                self.first_text = text
        self.last_text = text

    def take(self, other: "Tally") -> None:
        """The other's entries, too: which examples are first and last follows from the number of the first entry."""
        earlier, later = (self, other) if self.entry <= other.entry else (other, self)
        self.first_text, self.middle_text, self.last_text = earlier.first_text, later.first_text, later.last_text
        self.entry = earlier.entry
        self.count += other.count
        self.levels += other.levels
        for component, count in other.components.items():
            if component in self.components or len(self.components) < MOST_COMPONENTS:
                self.components[component] += count
        times = [time for time in (self.first_ns, self.last_ns, other.first_ns, other.last_ns) if time is not None]
        self.first_ns, self.last_ns = (min(times), max(times)) if times else (None, None)
        self._take_buckets(other)
        self.lines.extend(other.lines)

    def _take_buckets(self, other: "Tally") -> None:
        shift = max(self.shift, other.shift)
        mine, self.buckets, self.shift = (self.shift, self.buckets), {}, shift
        for one, buckets in (mine, (other.shift, other.buckets)):
            for bucket, count in buckets.items():
                at = bucket >> (shift - one)
                self.buckets[at] = self.buckets.get(at, 0) + count
        self._bound()

    def _time(self, time_ns: int) -> None:
        if self.first_ns is None or self.last_ns is None:
            self.first_ns = self.last_ns = time_ns
        elif time_ns > self.last_ns:
            self.last_ns = time_ns
        elif time_ns < self.first_ns:
            self.first_ns = time_ns
        at = (time_ns // NS_PER_S) >> self.shift
        buckets = self.buckets
        if at in buckets:
            buckets[at] += 1
        else:
            buckets[at] = 1
            if len(buckets) > MOST_BUCKETS:
                self._bound()

    def _bound(self) -> None:
        while len(self.buckets) > MOST_BUCKETS:
            merged: dict[int, int] = {}
            for at, count in self.buckets.items():
                merged[at >> 1] = merged.get(at >> 1, 0) + count
            self.buckets = merged
            self.shift += 1

"""What calls that share a machine would have taken alone."""

from bisect import bisect_right
from collections.abc import Sequence


class Shared:
    """How far calls that share a capacity have come: k at once each progress at 1/k (processor sharing)."""

    def __init__(self, calls: Sequence[tuple[int, int]]) -> None:
        self._at: list[int] = []
        self._progress: list[float] = []
        self._rate: list[float] = []
        running, progress = 0, 0.0
        for at_ns, change in sorted([(begin, 1) for begin, _ in calls] + [(end, -1) for _, end in calls]):
            if self._at:
                progress += (at_ns - self._at[-1]) * self._rate[-1]
            running += change
            self._at.append(at_ns)
            self._progress.append(progress)
            self._rate.append(1 / running if running > 0 else 0.0)

    def between(self, begin_ns: int, end_ns: int) -> float:
        """What a call of that time would have taken alone, in ns."""
        return self._until(end_ns) - self._until(begin_ns)

    def _until(self, at_ns: int) -> float:
        at = bisect_right(self._at, at_ns) - 1
        return self._progress[at] + (at_ns - self._at[at]) * self._rate[at] if at >= 0 else 0.0

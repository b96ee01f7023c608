"""Windows of time, as figures are counted in them."""

from dataclasses import dataclass

from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.timeframe import Timeframe, moment

NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """(since_ns, until_ns]"""

    since_ns: int
    until_ns: int

    def holds(self, at_ns: int | None) -> bool:
        return at_ns is not None and self.since_ns < at_ns <= self.until_ns


def window_of(timeframe: str, as_of: str | None, now_ns: int) -> Window:
    """The window that `timeframe` means at `as_of` (a moment in ISO 8601; None: `now_ns`), to the millisecond.

    Raises:
        InvalidInput: one of them means nothing, or as_of lies in the future.
    """
    if as_of is not None:
        as_of_ns = moment(as_of)
        if as_of_ns > now_ns:
            raise InvalidInput(f"as_of {as_of!r} lies in the future; leave it out for now")
        now_ns = as_of_ns
    # What is shown as as_of must mean the same moment when it is given again.
    found = Timeframe.parse(timeframe, now_ns // NS_PER_MS * NS_PER_MS)
    return Window(found.since_ns, found.until_ns)

"""Which stretch of time a figure is about: `90s`, `15m`, `24h`, `7d`, `30d`, `all`, or `start/end` in ISO 8601."""

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, NoReturn

from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.errors import InvalidInput

TEXT_LIMIT = 100
"""The longest text of a timeframe, in characters."""

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

_LENGTH = re.compile(r"([0-9]{1,12})([smhd])")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = datetime(2201, 1, 1, tzinfo=UTC) - _EPOCH


class Timeframe(NamedTuple):
    """From `since_ns` to `until_ns`, both included and since the epoch; a tuple, for statements to bind."""

    since_ns: int
    until_ns: int

    @classmethod
    def parse(cls, text: str, now_ns: int) -> "Timeframe":
        """The stretch that `text` means when it is `now_ns`; nothing reaches beyond that.

        Moments without an offset are UTC; a date is its midnight.

        Raises:
            InvalidInput: it means none.
        """
        said = text.strip()
        if said == "all":
            return cls(min(0, now_ns), now_ns)
        length = _LENGTH.fullmatch(said)
        if length is not None:
            return _last(int(length[1]) * _SECONDS[length[2]], said, now_ns)
        start, slash, end = said.partition("/")
        if not slash or len(said) > TEXT_LIMIT:
            _refuse(f"timeframe {said[:TEXT_LIMIT]!r} is none")
        since_ns, until_ns = moment(start), min(moment(end), now_ns)
        if since_ns > now_ns:
            _refuse(f"timeframe {said!r} begins in the future")
        if since_ns >= until_ns:
            _refuse(f"timeframe {said!r} ends before it begins")
        return cls(since_ns, until_ns)


def _last(seconds: int, said: str, now_ns: int) -> Timeframe:
    if seconds == 0:
        _refuse(f"timeframe {said!r} has no length")
    return Timeframe(max(min(0, now_ns), now_ns - seconds * NS_PER_S), now_ns)


def moment(text: str) -> int:
    """`text`, in ISO 8601, since the epoch; without an offset it is UTC.

    Raises:
        InvalidInput: it is no such moment.
    """
    try:
        named = datetime.fromisoformat(text.strip())
        # Whole microseconds: a float of seconds would lose some.
        since_epoch = (named if named.tzinfo is not None else named.replace(tzinfo=UTC)) - _EPOCH
    except (ValueError, OverflowError):
        _refuse(f"{text.strip()[:TEXT_LIMIT]!r} is no moment in ISO 8601")
    if not timedelta() <= since_epoch < _LONGEST:
        _refuse(f"{text.strip()[:TEXT_LIMIT]!r} lies before 1970 or after 2200, where nothing is recorded")
    return since_epoch // timedelta(microseconds=1) * 1_000


def _refuse(fact: str) -> NoReturn:
    raise InvalidInput(f"{fact}; give 90s, 15m, 24h, 7d, all, or 2026-11-01/2026-11-02T12:00:00Z")

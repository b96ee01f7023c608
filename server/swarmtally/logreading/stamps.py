"""Times as logs write them. A time without a zone is taken as UTC; one without a year as the latest that is not after
`now_ns`, and as unknown when that is not given; a time of day without a date is unknown."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

NS_PER_S = 1_000_000_000
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: month for month, name in enumerate(_NAMES, start=1)}
_EPOCH = date(1970, 1, 1).toordinal()
_Day = tuple[str | None, str | None, str | None, str | None, str]
"""Year, year of two digits, month, its name, day, as they stand."""
_KEPT_DAYS = 4_096
_AHEAD = timedelta(days=1)
"""Clocks of hosts differ: a yearless time up to this far ahead is still of this year."""

_CLOCK = r"(?P<h>[01]?\d|2[0-3])[:.](?P<mi>[0-5]?\d)[:.](?P<s>[0-5]?\d)(?:[.,:](?P<f>\d{1,9}))?"
_ZONE = r"(?: ?(?P<z>Z|UTC|GMT|[+-]\d\d:?\d\d)(?![\w:]))?"
_SHAPES = (
    # 2026-11-23T21:17:47.123Z, 2026/11/23 21:17:47, 2026-11-23 21:17:47,123 +0100, 2005-06-03-15.42.50.675872
    rf"(?P<y>\d{{4}})(?P<d1>[-/.])(?P<m>\d\d)(?P=d1)(?P<d>\d\d)(?:[T_-]|,? ){_CLOCK}{_ZONE}",
    # 20171223-22:15:29:606
    rf"(?P<y>\d{{4}})(?P<m>\d\d)(?P<d>\d\d)[-T ]{_CLOCK}{_ZONE}",
    # Nov 23 21:17:47, Sun Dec 04 04:47:44.902022 2005
    rf"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?(?P<mo>[A-Z][a-z]{{2}}) {{1,2}}(?P<d>\d\d?) {_CLOCK}(?: (?P<y>\d{{4}})\b)?",
    # 10/Oct/2000:13:55:36 -0700
    rf"(?P<d>\d\d)/(?P<mo>[A-Z][a-z]{{2}})/(?P<y>\d{{4}}):{_CLOCK}{_ZONE}",
    # 03-17 16:13:38.811, 10.30 16:49:06
    rf"(?P<m>\d\d)[-.](?P<d>\d\d) {_CLOCK}",
    # Log4j as Hadoop and Spark configure it: yy/MM/dd HH:mm:ss LEVEL, yyMMdd HHmmss thread LEVEL
    rf"(?P<yy>\d\d)/(?P<m>\d\d)/(?P<d>\d\d) {_CLOCK}(?= [A-Z]{{4,5}} )",
    r"(?P<yy>\d\d)(?P<m>\d\d)(?P<d>\d\d) (?P<h>\d\d)(?P<mi>\d\d)(?P<s>\d\d)(?= \d+ [A-Z]{4,5} )",
    # Seconds or milliseconds since 1970
    r"(?P<epoch>1\d{9}(?:\.\d{1,9})?|1\d{12})(?=[\s\]:|]|$)",
    # 21:17:47.123
    r"(?:[01]?\d|2[0-3]):[0-5]\d:[0-5]\d(?:[.,:]\d{1,9})?(?=[\s\]:|])",
)
_PATTERNS = tuple(re.compile(shape) for shape in _SHAPES)
_ISO = _PATTERNS[0]
_OF_LETTER = (_PATTERNS[2],)
_OF_DIGIT = tuple(pattern for pattern in _PATTERNS if pattern is not _PATTERNS[2])


class Stamps:
    """Reads times; remembers the days it has seen, since a log has few of them."""

    __slots__ = ("_days", "_now")

    def __init__(self, now_ns: int | None = None) -> None:
        self._now = None if now_ns is None else datetime.fromtimestamp(now_ns / NS_PER_S, UTC).replace(tzinfo=None)
        self._days: dict[_Day, int | None] = {}

    def match(self, text: str, at: int = 0) -> tuple[int | None, int] | None:
        """Unix nanoseconds (None where they cannot be known) and where the time ends; None when there is none."""
        first = text[at : at + 1]
        for pattern in _OF_DIGIT if first.isdigit() else _OF_LETTER if first.isalpha() else ():
            found = pattern.match(text, at)
            if found:
                return self._ns(found), found.end()
        return None

    def value(self, given: object) -> int | None:
        """Unix nanoseconds of a field: a text as in `match`, or seconds, milliseconds, micro- or nanoseconds."""
        if isinstance(given, bool) or given is None:
            return None
        if isinstance(given, int | float):
            return _of_number(given)
        found = self.match(given) if isinstance(given, str) else None
        return found[0] if found else None

    def _ns(self, found: re.Match[str]) -> int | None:
        if found.re is _ISO:
            return self._of_iso(found)
        parts = found.groupdict()
        if "epoch" in parts:
            return _of_number(float(found["epoch"]) if "." in found["epoch"] else int(found["epoch"]))
        if "d" not in parts:
            return None
        day_key = (parts.get("y"), parts.get("yy"), parts.get("m"), parts.get("mo"), parts["d"])
        day = self._known_day(day_key)
        if day is None:
            return None
        seconds = day * 86_400 + int(parts["h"]) * 3_600 + int(parts["mi"]) * 60 + int(parts["s"])
        fraction = parts.get("f")
        nanoseconds = int(fraction.ljust(9, "0")) if fraction else 0
        return (seconds - _offset_s(parts.get("z"))) * NS_PER_S + nanoseconds

    def _of_iso(self, found: re.Match[str]) -> int | None:
        """The same, quicker, for the shape that most logs have."""
        year, _, month, day, hour, minute, second, fraction, zone = found.groups()
        key = (year, None, month, None, day)
        days = self._known_day(key)
        if days is None:
            return None
        seconds = days * 86_400 + int(hour) * 3_600 + int(minute) * 60 + int(second) - _offset_s(zone)
        return seconds * NS_PER_S + (int(fraction.ljust(9, "0")) if fraction else 0)

    def _known_day(self, key: _Day) -> int | None:
        if key not in self._days:
            if len(self._days) >= _KEPT_DAYS:
                self._days.clear()
            self._days[key] = self._day(*key)
        return self._days[key]

    def _day(self, year: str | None, short: str | None, month: str | None, name: str | None, day: str) -> int | None:
        """Days since 1970."""
        number = int(month) if month else _MONTHS.get((name or "").lower(), 0)
        for candidate in self._years(year, short):
            try:
                found = date(candidate, number, int(day))
            except ValueError:
                continue
            if year or short or self._now is None or found <= (self._now + _AHEAD).date():
                return found.toordinal() - _EPOCH
        return None

    def _years(self, year: str | None, short: str | None) -> Iterator[int]:
        if year:
            # With a zone, what lies in the calendar's first or last year may lie outside of it.
            if 1 < int(year) < 9999:
                yield int(year)
        elif short:
            yield 2000 + int(short)
        elif self._now is not None:
            # Eight years back there was a 29 February for certain.
            yield from range(min(self._now.year + 1, 9999), max(self._now.year - 9, 0), -1)


def _offset_s(zone: str | None) -> int:
    if zone is None or zone[0] not in "+-":
        return 0
    size = int(zone[1:3]) * 3_600 + int(zone[-2:]) * 60
    return -size if zone[0] == "-" else size


_UNITS: tuple[tuple[float, Callable[[float], int]], ...] = (
    (1e11, lambda number: round(number * NS_PER_S) if isinstance(number, float) else int(number) * NS_PER_S),
    (1e14, lambda number: round(number * 1_000_000)),
    (1e17, lambda number: round(number * 1_000)),
    (1e20, round),
)
"""Up to which size a number of 1971 to 5138 is in seconds, milliseconds, microseconds, nanoseconds."""


def _of_number(number: float) -> int | None:
    if not 3e7 <= number < 1e20:
        return None
    return next(convert(number) for limit, convert in _UNITS if number < limit)

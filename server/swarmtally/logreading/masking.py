"""Words of a message with their values masked: numbers, addresses, ids, paths, durations, sizes, times."""

import re

from swarmtally.logreading.hiding import LEADS_ON, RISKY, hide_secrets

ANY = "<*>"
LONGEST_WORD = 512
"""Characters; a longer word is a value."""
LONGEST_MESSAGE = 8_192
"""Characters of a message that are looked at."""
MOST_WORDS = 256
_KEPT = 100_000
"""Distinct words whose masks are remembered; then all are forgotten."""
_PLAIN = re.compile(r"[^\d/\\@:]*")
_DAYS_AND_MONTHS = frozenset(
    [
        "Mon",
        "Tue",
        "Wed",
        "Thu",
        "Fri",
        "Sat",
        "Sun",
        "Mon,",
        "Tue,",
        "Wed,",
        "Thu,",
        "Fri,",
        "Sat,",
        "Sun,",
        "Jan",
        "Feb",
        "Mar",
        "Apr",
        "May",
        "Jun",
        "Jul",
        "Aug",
        "Sep",
        "Oct",
        "Nov",
        "Dec",
    ]
)
_IPV6 = r"(?:[0-9A-Fa-f]{1,4}:){3,7}:?[0-9A-Fa-f]{1,4}(?![\w:])|(?<![\w:])::(?:[0-9A-Fa-f]{1,4}:){0,5}[0-9A-Fa-f]{1,4}(?![\w:])|[0-9A-Fa-f]{1,4}::(?:[0-9A-Fa-f]{1,4}:?){1,6}(?![\w:])"
_KINDS = (
    ("url", r"[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s\"'<>\]),;]+"),
    ("id", r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}(?![0-9A-Fa-f])"),
    ("time", r"\d{4}[-/]\d\d?[-/]\d\d?(?:[T_:]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)?(?![\w/])"),
    ("mac", r"(?<![\w:])(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![\w:])"),
    ("ip", rf"(?<![\w.])/?\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?:[:/]\d{{1,5}})?(?![\w.]*\d)|{_IPV6}"),
    ("clock", r"(?<![\w:])\d\d?:\d\d(?::\d\d(?:[.,]\d+)?)?(?![\w:])"),
    ("email", r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"),
    ("path", r"(?<![\w.)\]/>])(?:~|\.{1,2})?/[\w.@%+~$,:=*-]+(?:/[\w.@%+~$,:=*#-]*)*(?:\?[^\s\"'<>]*)?|(?<!\w)[A-Za-z]:\\[^\s\"'<>|]*"),
    ("hex", r"(?<!\w)0[xX][0-9A-Fa-f]+"),
    ("digest", r"(?<![0-9A-Za-z])(?=[0-9A-Fa-f]*\d)(?=\d*[A-Fa-f])[0-9A-Fa-f]{6,}(?![0-9A-Za-z])"),
    ("duration", r"(?<![\w.])-?\d+(?:\.\d+)?(?:ns|us|µs|ms|s|sec|secs|seconds?|min|mins|m|h|d)(?:\d+(?:\.\d+)?(?:ms|s|m))*(?!\w)"),
    ("size", r"(?<![\w.])\d+(?:\.\d+)?(?:[kKMGTP]i?)?[bB](?:ytes)?(?!\w)|(?<![\w.])\d+(?:\.\d+)?[kKMGTP]i?(?!\w)"),
    ("num", r"(?<![A-Za-z0-9.])[-+]?\d+(?:[.,]\d+)*|\d+(?:[.,]\d+)*"),
)  # fmt: skip
_OF_MARKS = ("url", "time", "mac", "ip", "clock", "email", "path")
_VALUE = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _KINDS))
_UNMARKED = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _KINDS if name not in _OF_MARKS))
"""For words without any of the marks that the left out kinds have."""
_MARKED = re.compile(r"[/\\@:.-]")
_NUMBER = re.compile(r"([(\[\"'=#]*)[-+]?\d+(?:\.\d+)?([.,;:)\]\"']*)")
_SHOWN = {name: f"<{name}>" for name, _ in _KINDS} | {"clock": "<time>", "mac": "<id>", "digest": "<id>", "hex": "<id>"}


def mask(word: str) -> str:
    """The word with each value in it replaced by its kind."""
    if len(word) > LONGEST_WORD:
        return ANY
    if _PLAIN.fullmatch(word):
        return "<time>" if word in _DAYS_AND_MONTHS else word
    values = _VALUE if _MARKED.search(word) else _UNMARKED
    return values.sub(lambda found: _SHOWN[str(found.lastgroup)], word)


class Masks(dict[str, str]):
    """Word to masked word; fills itself, since most words of a log come again and again."""

    __slots__ = ("risky",)

    def __init__(self) -> None:
        self.risky: set[str] = set()
        """Words near which a secret may stand."""

    def __missing__(self, word: str) -> str:
        if len(word) > LONGEST_WORD:
            return ANY
        if len(self) >= _KEPT:
            self.clear()
            self.risky.clear()
        number = _NUMBER.fullmatch(word)
        if number:
            masked = f"{number[1]}<num>{number[2]}"
        elif RISKY.search(word):
            if LEADS_ON.search(word):
                self.risky.add(word)
            masked = mask(hide_secrets(word))
        else:
            masked = mask(word)
        self[word] = masked
        return masked

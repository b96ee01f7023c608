"""Words of a message with their values masked: numbers, addresses, ids, paths, durations, sizes, times."""

import re

from swarmtally.logreading.hiding import hide_secrets, leads_on, may_hold_secret

ANY = "<*>"
LONGEST_WORD = 512
"""Characters; a longer word is a value."""
LONGEST_MESSAGE = 8_192
"""Characters of a message that are looked at."""
MOST_WORDS = 256
_KEPT = 100_000
"""Distinct words whose masks are remembered; then all are forgotten."""
_PLAIN = re.compile(r"[^\d/\\@:]*")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS_AND_MONTHS = frozenset((*_DAYS, *(f"{day}," for day in _DAYS), *_MONTHS))
_HEX = "[0-9A-Fa-f]"
_IPV6 = (
    rf"(?:{_HEX}{{1,4}}:){{3,7}}:?{_HEX}{{1,4}}(?![\w:])"
    rf"|(?<![\w:])::(?:{_HEX}{{1,4}}:){{0,5}}{_HEX}{{1,4}}(?![\w:])"
    rf"|(?<![\w:])(?:{_HEX}{{1,4}}:){{1,6}}(?::{_HEX}{{1,4}}){{1,6}}(?![\w:])"
)
_KINDS = (
    ("url", r"[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s\"'<>\]),;]+"),
    ("id", rf"(?<!{_HEX}){_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}(?!{_HEX})"),
    (
        "time",
        r"\d{4}[-/]\d\d?[-/]\d\d?(?:[T_:]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)?(?![\w/])",
    ),
    ("mac", rf"(?<![\w:])(?:{_HEX}{{2}}:){{5}}{_HEX}{{2}}(?![\w:])"),
    ("ip", rf"(?<![\w.])/?\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?:[:/]\d{{1,5}})?(?![\w.]*\d)|{_IPV6}"),
    ("clock", r"(?<![\w:])\d\d?:\d\d(?::\d\d(?:[.,]\d+)?)?(?![\w:])"),
    ("email", r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"),
    (
        "path",
        (
            r"(?<![\w.)\]/>])(?:~|\.{1,2})?/[\w.@%+~$,:=*-]+(?:/[\w.@%+~$,:=*#-]*)*(?:\?[^\s\"'<>]*)?"
            r"|(?<!\w)[A-Za-z]:\\[^\s\"'<>|]*"
        ),
    ),
    ("hex", rf"(?<!\w)0[xX]{_HEX}+"),
    ("digest", rf"(?<![0-9A-Za-z])(?={_HEX}*\d)(?=\d*[A-Fa-f]){_HEX}{{6,}}(?![0-9A-Za-z])"),
    (
        "duration",
        (
            r"(?<![\w.])-?\d+(?:\.\d+)?(?:ns|us|µs|ms|s|sec|secs|seconds?|min|mins|m|h|d)"
            r"(?:\d+(?:\.\d+)?(?:ms|s|m))*(?!\w)"
        ),
    ),
    ("size", r"(?<![\w.])\d+(?:\.\d+)?(?:[kKMGTP]i?)?[bB](?:ytes)?(?!\w)|(?<![\w.])\d+(?:\.\d+)?[kKMGTP]i?(?!\w)"),
    ("num", r"(?<![A-Za-z0-9.])[-+]?\d+(?:[.,]\d+)*|\d+(?:[.,]\d+)*"),
)
_OF_MARKS = ("url", "time", "mac", "ip", "clock", "email", "path")
_VALUE = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _KINDS))
_UNMARKED = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _KINDS if name not in _OF_MARKS))
"""Quicker, for words without any of the marks that the left out kinds have."""
_MARKED = re.compile(r"[/\\@:.-]")
_WHOLE = re.compile(
    r"([(\[\"'=#]*)(?:(?P<ip>/?\d{1,3}(?:\.\d{1,3}){3}(?:[:/]\d{1,5})?)|(?P<path>/[\w.@%+~$-]+(?:/[\w.@%+~$-]*)*)"
    rf"|(?P<digest>(?={_HEX}*\d)(?=\d*[A-Fa-f]){_HEX}{{6,}})|(?P<duration>-?\d+(?:\.\d+)?(?:ns|us|µs|ms|s|min|m|h|d)))"
    r"[.,;:)\]\"']*"
)
_NUMBER = re.compile(r"([(\[\"'=#]*)[-+]?\d+(?:\.\d+)?([.,;:)\]\"']*)")
_SHOWN = {name: f"<{name}>" for name, _ in _KINDS} | {"clock": "<time>", "mac": "<id>", "digest": "<id>", "hex": "<id>"}


def mask(word: str) -> str:
    """The word with each value in it replaced by its kind."""
    if len(word) > LONGEST_WORD:
        return ANY
    return _as_whole(word) or _in_parts(word)


def _as_whole(word: str) -> str | None:
    """Quicker, for words that are a usual value and nothing else; no secret is one."""
    number = _NUMBER.fullmatch(word)
    if number:
        return f"{number[1]}<num>{number[2]}"
    whole = _WHOLE.fullmatch(word)
    if whole is None:
        return None
    kind = str(whole.lastgroup)
    return f"{whole[1]}{_SHOWN[kind]}{word[whole.end(kind) :]}"


def _in_parts(word: str) -> str:
    if _PLAIN.fullmatch(word):
        return "<time>" if word in _DAYS_AND_MONTHS else word
    values = _VALUE if _MARKED.search(word) else _UNMARKED
    return values.sub(lambda found: _SHOWN[str(found.lastgroup)], word)


class Masks(dict[str, str]):
    """Word to masked word; fills itself, since most words of a log come again and again."""

    __slots__ = ("long_risk", "risky")

    def __init__(self) -> None:
        self.risky: set[str] = set()
        """Words near which a secret may stand."""
        self.long_risk = False
        """Whether one of them was too long to be remembered; whoever acts on it takes it back."""

    def __missing__(self, word: str) -> str:
        if len(word) > LONGEST_WORD:
            self.long_risk = self.long_risk or leads_on(word[-LONGEST_WORD:])
            return ANY
        if len(self) >= _KEPT:
            self.clear()
            self.risky.clear()
        masked = _as_whole(word)
        if masked is None:
            risky = may_hold_secret(word)
            masked = _in_parts(hide_secrets(word) if risky else word)
            if risky and leads_on(word):
                self.risky.add(word)
        self[word] = masked
        return masked

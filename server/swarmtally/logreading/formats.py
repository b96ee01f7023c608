"""What stands before a message in the usual log formats: time, level, component."""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

from swarmtally.logreading import fields
from swarmtally.logreading.levels import LEVEL, SYSLOG_LEVELS, level_of
from swarmtally.logreading.stamps import Stamps

_KLOG = re.compile(r"([IWEF])(\d\d)(\d\d) (\d\d:\d\d:\d\d\.\d+) +\d+ ([\w.-]+\.go):\d+\] ?")
_KLOG_LEVELS = {"I": "info", "W": "warning", "E": "error", "F": "critical"}
_LOGCAT = re.compile(r" +\d+ +\d+ ([VDIWEFA]) +([^\s:][^:]{0,80}?) *: ")
_LOGCAT_LEVELS = {**_KLOG_LEVELS, "V": "debug", "D": "debug", "A": "critical"}
_CRI = re.compile(r" (?:stdout|stderr) [FP] ")
_PRIORITY = re.compile(r"<(\d{1,3})>")
_SYSLOG_5424 = re.compile(r"1 (\S+) \S+ (\S+) \S+ \S+ (?:-|(?:\[(?:[^\]\\]|\\.)*\])+)(?: |$)\ufeff?")
_SYSLOG_3164 = re.compile(r" (?:[\w.:/@-]+ )?([A-Za-z_][\w./+() -]{0,60}?)(?:\[[^\]\s]*\])?: ?")
_ACCESS = re.compile(r'\S+ \S+ (?:\S+ ){1,2}?\[([^\]]{20,30})\] "([A-Z]+) (\S+)(?: [^"]*)?" (\d{3}) ')
_NGINX = re.compile(r" \[(\w+)\] \d+#\d+: (?:\*\d+ )?")
_NGINX_CONTEXT = re.compile(r", (?:client|server|request|upstream|host): ")
_APACHE = re.compile(r"(?: \[(?:(\w*):)?(\w+)\])(?: \[pid [^\]]*\])?(?: \[client [^\]]*\])? ?")
_CLUSTER = re.compile(r"(?:-|[A-Z][A-Z0-9_]+) (1\d{9}) \d{4}\.\d\d\.\d\d (\S+) ")
_NODE = re.compile(r" \S+ [A-Z]+ ([A-Z_]+) ([A-Z]+) ")
_FIELD = re.compile(
    rf"""[\s|]*(?:-{{1,3}}\s+)?(?:
        \[\ *(?P<boxed>{LEVEL})\ *\]
      | (?P<level>{LEVEL})(?:(?=\s{{2}}|[\t|])|[:,](?=\s)|(?=\]))
      | (?P<upper>(?-i:[A-Z]{{3,8}}))(?=\s|$)
      | \[(?P<thread>[^\[\]]{{0,400}}(?:\[[^\[\]]{{0,80}}\][^\[\]]{{0,80}}){{0,3}})\](?=[\s:]):?
      | (?P<pid>\d+)(?=\s+(?:\d+\s+)?(?:-{{3}}|{LEVEL}\s))
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_COMPONENT = re.compile(
    r"""[\s|-]*(?:in\ )?((?:\d{1,4}(?=[A-Za-z]\w*\.[A-Za-z]))?[A-Za-z_][\w.$/@-]{0,120}(?:\([\w-]{1,40}\))?)(?:\ \*64)?
        (?:\[[^\]\s]{0,40}\])?(?:(?::\d+)?\s*(?::\s|\s-\s|\|)|(?=\s\[))""",
    re.VERBOSE,
)
_PLAIN = re.compile(rf"(?:(?:({LEVEL}):([\w.]+):(?=\S))|\[({LEVEL})\][:\s]|({LEVEL}):\s)", re.IGNORECASE)
_UPPER = re.compile(r"([A-Z]{4,8})\s")
_FAILURE = re.compile(r"(?:Error|Exception|Fault|Warning|Timeout|Interrupt|Exit|panic)$")
_IDS = re.compile(r"\s*(?:\[(?=[^\]]*[\d-])[^\[\],'\"]*\](?=\s)|\d+\|)")
_PREFIX = re.compile(r"(?:\S{1,200}\s{1,20}\|\s|(?=\S*[\d./:_-])\S{1,200}\s)(?=\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:)")
_LOS_ALAMOS = re.compile(r"\d+ \S+ (\S+) \S+ (1\d{9}) -?\d ")


class Head(NamedTuple):
    """A line without what stands before its message."""

    time_ns: int | None
    level: str | None
    component: str | None
    message: str
    stamped: bool = True
    """Whether the line began with a time, a level or a known format: nothing that does continues another."""


class Formats:
    """Finds the format of each line by itself, so what a line means never depends on those before it."""

    __slots__ = ("_stamps",)

    def __init__(self, now_ns: int | None = None) -> None:
        self._stamps = Stamps(now_ns)

    def head(self, line: str) -> Head:
        return self._head(line) or Head(None, None, None, line, stamped=False)

    def _head(self, line: str) -> Head | None:
        first = line[:1]
        if first.isdigit():
            return self._digit(line)
        special = self._of_first.get(first)
        found = special(self, line) if special else None
        if found:
            return found
        if first in "ABCDEFGHIJKLMNOPQRSTUVWXYZ-":
            found = self._letter(line)
            if found:
                return found
        named = self._logfmt(line) if "=" in line else None
        return named or self._prefixed(line) or (self._plain(line) if first in "acdefinstw" else None)

    def _prefixed(self, line: str) -> Head | None:
        """What gathers logs puts a file's or container's name first."""
        found = _PREFIX.match(line)
        stamp = self._stamps.match(line, found.end()) if found else None
        return self._timed(line, *stamp) if stamp else None

    def _los_alamos(self, line: str) -> Head | None:
        found = _LOS_ALAMOS.match(line)
        return Head(self._stamps.value(int(found[2])), None, found[1], line[found.end() :]) if found else None

    def _digit(self, line: str) -> Head | None:
        found = self._stamps.match(line)
        if found:
            return self._timed(line, *found)
        return self._access(line) or self._prefixed(line) or self._los_alamos(line)

    def _letter(self, line: str) -> Head | None:
        found = self._stamps.match(line)
        if found:
            return self._syslog(line, *found) or self._timed(line, *found)
        return self._klog(line) or self._plain(line) or self._cluster(line) or self._access(line)

    def _timed(self, line: str, time_ns: int | None, at: int) -> Head:
        rest = line[at : at + 1]
        if rest in " ]|:\t,-":
            for form in (_LOGCAT, _NGINX, _CRI):
                found = form.match(line, at)
                if found:
                    return self._forms[form](self, line, time_ns, found)
        level, component, at = _described(line, at)
        message = line[at:]
        inner = self._logfmt(message) if "=" in message else None
        if inner:
            return inner._replace(time_ns=inner.time_ns or time_ns, level=inner.level or level)
        return Head(time_ns, level, component, message.lstrip(" :|,]\t").removeprefix("- "))

    def _logcat(self, line: str, time_ns: int | None, found: re.Match[str]) -> Head:
        return Head(time_ns, _LOGCAT_LEVELS[found[1]], found[2], line[found.end() :])

    def _nginx(self, line: str, time_ns: int | None, found: re.Match[str]) -> Head:
        context = _NGINX_CONTEXT.search(line, found.end())
        message = line[found.end() : context.start() if context else None]
        return Head(time_ns, level_of(found[1]), "nginx", message)

    def _cri(self, line: str, time_ns: int | None, found: re.Match[str]) -> Head:
        inner = self.head(line[found.end() :])
        # What a container wrote may begin with a time of its own, or continue the line before.
        return inner._replace(time_ns=inner.time_ns or time_ns)

    def _boxed(self, line: str) -> Head | None:
        """[time] …, [level] …"""
        found = self._stamps.match(line, 1)
        if found is None or line[found[1] : found[1] + 1] not in ("]", " "):
            return self._plain(line)
        time_ns, at = found
        if line[at] == " ":
            end = line.find("]", at, at + 12)
            at = end if end > 0 else at
        if line[at] != "]":
            return None
        apache = _APACHE.match(line, at + 1)
        level = level_of(apache[2]) if apache else None
        if apache and level:
            return Head(time_ns, level, apache[1] or None, line[apache.end() :])
        return self._timed(line, time_ns, at + 1)

    def _prioritised(self, line: str) -> Head | None:
        found = _PRIORITY.match(line)
        if found is None:
            return None
        level = SYSLOG_LEVELS[int(found[1]) % 8]
        modern = _SYSLOG_5424.match(line, found.end())
        if modern:
            component = None if modern[2] == "-" else modern[2]
            return Head(self._stamps.value(modern[1]), level, component, line[modern.end() :])
        inner = self._head(line[found.end() :])
        return inner._replace(level=level) if inner else None

    def _syslog(self, line: str, time_ns: int | None, at: int) -> Head | None:
        found = _SYSLOG_3164.match(line, at)
        if found is None or level_of(found[1]):
            return None
        message = line[found.end() :]
        # What runs under systemd or in a pod puts its own head behind syslog's.
        inner = self._klog(message) or self._plain(message)
        if inner is None:
            return Head(time_ns, None, found[1], message)
        return inner._replace(time_ns=time_ns or inner.time_ns, component=inner.component or found[1])

    def _klog(self, line: str) -> Head | None:
        found = _KLOG.match(line)
        if found is None:
            return None
        time_ns = self._stamps.value(f"{found[2]}-{found[3]} {found[4]}")
        return Head(time_ns, _KLOG_LEVELS[found[1]], found[5], line[found.end() :])

    def _plain(self, line: str) -> Head | None:
        found = _PLAIN.match(line)
        if found:
            level = level_of(found[1] or found[3] or found[4])
            return Head(None, level, found[2], line[found.end() :].lstrip())
        upper = _UPPER.match(line)
        level = level_of(upper[1]) if upper else None
        if upper is None or level is None:
            return None
        _, component, at = _described(line, upper.end())
        return Head(None, level, component, line[at:].lstrip(" :|"))

    def _cluster(self, line: str) -> Head | None:
        """Blue Gene and Thunderbird: alert tag, seconds, date, node, then the line of the node."""
        found = _CLUSTER.match(line)
        if found is None:
            return None
        time_ns = self._stamps.value(int(found[1]))
        stamp = self._stamps.match(line, found.end())
        if stamp is None:
            return Head(time_ns, None, None, line[found.end() :])
        node = _NODE.match(line, stamp[1])
        if node:
            return Head(stamp[0], level_of(node[2]), node[1].lower(), line[node.end() :])
        inner = self._syslog(line, time_ns, stamp[1])
        return inner or Head(time_ns, None, None, line[stamp[1] :].lstrip())

    def _access(self, line: str) -> Head | None:
        """Common and combined: the address's request and what became of it."""
        found = _ACCESS.match(line)
        if found is None:
            return None
        code = int(found[4])
        try:
            phrase = HTTPStatus(code).phrase
        except ValueError:
            phrase = f"status {code // 100}xx"
        level = "error" if code >= 500 else "warning" if code >= 400 else "info"
        return Head(self._stamps.value(found[1]), level, None, f"{found[2]} {found[3]} {code} {phrase}")

    def _json(self, line: str) -> Head | None:
        given = fields.of_json(line)
        return None if given is None else self._of_fields(given)

    def _logfmt(self, line: str) -> Head | None:
        given = fields.of_logfmt(line)
        return None if given is None else self._of_fields(given)

    def _of_fields(self, given: Mapping[str, object]) -> Head:
        named = fields.named(given)
        head = Head(self._stamps.value(named.time), level_of(named.level), named.component, named.message)
        if not named.wraps:
            return head
        inner = self.head(head.message)
        return inner._replace(time_ns=inner.time_ns or head.time_ns, level=inner.level or head.level)

    _of_first: Mapping[str, Callable[["Formats", str], Head | None]] = {
        "{": _json, "[": _boxed, "<": _prioritised,
    }  # fmt: skip
    _forms: Mapping[re.Pattern[str], Callable[["Formats", str, int | None, re.Match[str]], Head]] = {
        _LOGCAT: _logcat, _NGINX: _nginx, _CRI: _cri,
    }  # fmt: skip


def _described(line: str, at: int) -> tuple[str | None, str | None, int]:
    """Level, component, and where the message begins, of what follows a time."""
    level = component = None
    for _ in range(6):
        found = _FIELD.match(line, at)
        if found is None:
            break
        word = found["boxed"] or found["level"] or found["upper"]
        if word:
            known = level_of(word)
            if known is None or level:
                break
            level = known
        at = found.end()
    named = _COMPONENT.match(line, at)
    if named and not _FAILURE.search(named[1]) and level_of(named[1]) is None:
        component = named[1]
        at = named.end()
        after = _FIELD.match(line, at) if level is None else None
        word = (after["boxed"] or after["level"] or after["upper"]) if after else None
        if after and word and level_of(word):
            level, at = level_of(word), after.end()
        ids = _IDS.match(line, at)
        at = ids.end() if ids else at
    return level, component, at

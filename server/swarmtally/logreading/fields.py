"""Lines that name their fields: JSON objects and logfmt."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_TIME = ("time", "timestamp", "@timestamp", "ts", "t", "datetime", "asctime", "date", "@t", "eventTime")
_LEVEL = ("level", "severity", "lvl", "levelname", "log.level", "loglevel", "log_level", "@l", "severityText")
_MESSAGE = ("message", "msg", "event", "@m", "@mt", "body", "text", "log", "error", "err", "reason", "detail")
_COMPONENT = (
    "logger", "logger_name", "loggerName", "component", "module", "name", "service", "service.name", "source", "caller",
)  # fmt: skip
_TRACE = ("exception", "stack_trace", "stackTrace", "stack", "traceback", "exc_info", "@x", "error.stack_trace")
_PAIR = re.compile(r'([A-Za-z_@][\w.@-]*)=(?:"((?:[^"\\]|\\.)*)"|(\S*))(?:\s+|$)')
_LOGFMT = re.compile(r"(?:^|\s)(?:msg|message|event|error|err|level|lvl|severity)=")
_DEEPEST = 2
"""Levels of objects in objects whose fields are read: `error.stack`."""
_MOST_PAIRS = 100
_LONGEST_JSON = 262_144


class Named(NamedTuple):
    """The fields that mean something to us."""

    time: object
    level: object
    component: str | None
    message: str
    wraps: bool
    """Whether the message is a line of another program's log, as Docker wraps it."""


def of_json(line: str) -> Mapping[str, object] | None:
    """The object on this line, objects in it as `outer.inner`; None when it is none."""
    if len(line) > _LONGEST_JSON or line[-1:] not in "} \r\n":
        return None
    try:
        given = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return flat(given) if isinstance(given, dict) else None


def flat(given: Mapping[str, object], prefix: str = "", depth: int = 0) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in given.items():
        if isinstance(value, dict) and depth < _DEEPEST:
            found.update(flat(value, f"{prefix}{key}.", depth + 1))
        else:
            found[prefix + key] = value
    return found


def of_logfmt(line: str) -> Mapping[str, object] | None:
    """The pairs of a line that is nothing but pairs and says what happened; None for any other."""
    if _PAIR.match(line) is None or _LOGFMT.search(line) is None:
        return None
    found: dict[str, object] = {}
    at = 0
    for _ in range(_MOST_PAIRS):
        pair = _PAIR.match(line, at)
        if pair is None:
            break
        quoted = pair[2]
        found[pair[1]] = pair[3] if quoted is None else quoted.replace('\\"', '"').replace("\\n", "\n")
        at = pair.end()
    return found if at >= len(line) and len(found) > 1 else None


def named(given: Mapping[str, object]) -> Named:
    """What the fields say; where none is a message, all of them are."""
    message = _text(given, _MESSAGE)
    time, level, component = _first(given, _TIME), _first(given, _LEVEL), _text(given, _COMPONENT)
    said = message if message is not None else _rest(given)
    error = _text(given, ("error", "err", "error.message", "err.message", "exception.message"))
    if error and error != said:
        said = f"{said}: {error}"
    trace = _text(given, (*_TRACE, "error.stack", "err.stack", "exception.stacktrace", "exception.stack"))
    if trace and "\n" in trace:
        said = f"{said}\n{trace}"
    return Named(time, level, component, said.rstrip("\n"), wraps="log" in given and "stream" in given)


def _rest(given: Mapping[str, object]) -> str:
    known = {*_TIME, *_LEVEL, *_COMPONENT}
    return " ".join(f"{key}={value}" for key, value in given.items() if key not in known) or str(dict(given))


def _first(given: Mapping[str, object], keys: Sequence[str]) -> object:
    return next((given[key] for key in keys if given.get(key) is not None), None)


def _text(given: Mapping[str, object], keys: Sequence[str]) -> str | None:
    return next((value for key in keys if isinstance(value := given.get(key), str) and value), None)

"""What a stack trace says: exception, message, and the innermost frame that is the program's own."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

_PY_START = "Traceback (most recent call last):"
_PY_FRAME = re.compile(r'\s*(?:\|\s*)?File "([^"]+)", line \d+(?:, in (.+))?')
_PY_RAISED = re.compile(r"((?:[A-Za-z_][\w]*\.)*[A-Za-z_]\w*)(?:: ?(.*))?$")
_EXCEPTION_NAME = re.compile(
    r"((?:[A-Za-z_$][\w$]*\.)*[A-Z][\w$]*(?:Error|Exception|Throwable|Fault|Failure)|Error)(?: \[\w+\])?(?:: ?(.*))?$"
)
_BEFORE_NAME = re.compile(r"(?<=[\s:]) *(?=(?:[\w$]+\.)*[A-Z][\w$]*(?:Error|Exception)\b)")
_JVM_FRAME = re.compile(r"\s+at (?:[\w.-]+(?:@[\w.-]+)?/+)?([\w.$<>/]+)\(([^)]*)\)")
_JS_FRAME = re.compile(r"\s+at (?:async )?(?:new )?(?:(.+?) \()?([^()\s][^()]*?):\d+(?::\d+)?\)?(?: \{)?$")
_GO_FRAME = re.compile(r"\s+(\S+\.go):\d+")
_GO_CALL = re.compile(r"(?:created by )?([\w./·-]+(?:\(\*?[\w.\[\]·]+\))?[\w.·\[\]-]*)(?:\(|$| in )")
_GO_PANIC = re.compile(r"(?:.*?\b)?(?:panic|fatal error): (.*?)(?: \[recovered\])?$")
_FOREIGN = re.compile(
    r"site-packages/|dist-packages/|/lib/python\d|lib\\python|<frozen |<string>"
    r"|^(?:java|javax|jdk|sun|com\.sun|kotlin|kotlinx|scala|akka|groovy)[./]"
    r"|^org\.(?:springframework|apache|hibernate|eclipse|junit|jboss|gradle)\.|^(?:io\.netty|reactor|com\.fasterxml|feign|okhttp\d?)\."
    r"|node_modules|^node:|^internal/|<anonymous>|/go/pkg/mod/|/usr/local/go/src/|/usr/lib/go|^runtime[./]|^panic$"
)
_LAMBDA = re.compile(r"(?:\$\$(?:Lambda|Enhancer\w*|FastClass\w*)[\w$/]*|\$\d+|lambda\$(\w+)\$\d+|/0x[0-9a-f]+)")
_DIGITS = re.compile(r"\d{3,}")
LONGEST_FRAME = 200
LONGEST_SAID = 1_000
"""Characters before an exception's name that are looked through."""
_IS_PATH = re.compile(r"[/\\:]")


class Trace(NamedTuple):
    """A stack trace in short."""

    exception: str
    message: str
    frame: str | None


def trace_of(first: str, rest: Sequence[str]) -> Trace | None:
    """Of an entry's message and the lines under it; None when it is no trace."""
    lines = [first, *rest]
    starts = [n for n, line in enumerate(lines) if _PY_START in line]
    if starts:
        return _python(lines[starts[-1] :])
    if any(_GO_FRAME.match(line) for line in rest):
        return _go(lines)
    if any(_JVM_FRAME.match(line) or _JS_FRAME.match(line) for line in rest):
        return _jvm_or_js(lines)
    return None


def _python(lines: Sequence[str]) -> Trace | None:
    """The last traceback of a chain: what in the end was raised."""
    frames = []
    for line in lines[1:]:
        found = _PY_FRAME.match(line)
        if found:
            frames.append((found[1], f"{found[2] or '<module>'} ({_short(found[1])})"))
        elif line[:1] not in (" ", "\t", "") and frames:
            raised = _PY_RAISED.match(line)
            return Trace(raised[1], raised[2] or "", _own(reversed(frames))) if raised else None
    return None


def _jvm_or_js(lines: Sequence[str]) -> Trace | None:
    """The last cause of a chain, for what is above it only wraps it; frames of the causes above it when it has none."""
    sections: list[tuple[str, list[tuple[str, str]]]] = []
    above = lines[0]
    for line in lines:
        frame = _frame(line)
        if frame is None:
            if not line.lstrip().startswith(("...", "Suppressed:")):
                above = line if not line[:1].isspace() or line.lstrip().startswith("Caused by:") else above
                if line.lstrip().startswith("Caused by:"):
                    sections.append((line.strip(), []))
            continue
        if not sections:
            sections.append((above, []))
        sections[-1][1].append(frame)
    said = [one for one in sections if _name(one[0])]
    if not said:
        return None
    exception, message = _name(said[-1][0]) or ("", "")
    frames = [frame for _, found in reversed(sections) for frame in found]
    return Trace(exception, message, _own(iter(frames)))


def _name(line: str) -> tuple[str, str] | None:
    """Exception and message of the line above the frames, which may begin with other words."""
    text = line.strip().removeprefix("Caused by: ")
    found = _EXCEPTION_NAME.match(text)
    for start in _BEFORE_NAME.finditer(text[:LONGEST_SAID]):
        found = found or _EXCEPTION_NAME.match(text, start.end())
    return (found[1], found[2] or "") if found else None


def _frame(line: str) -> tuple[str, str] | None:
    """Where it is (to tell foreign code by) and how it is shown."""
    script = _JS_FRAME.match(line)
    if script and (
        script[2].count("/") or script[2].count("\\") or ":" in script[2] or line.rstrip(")").count(":") >= 2
    ):
        where = script[2].removeprefix("file://")
        return where, f"{script[1] or '<anonymous>'} ({_short(where)})"
    found = _JVM_FRAME.match(line)
    if found is None:
        return None
    name = _LAMBDA.sub(lambda part: part[1] or "", found[1])
    return name, name


def _go(lines: Sequence[str]) -> Trace | None:
    panic = next((found for line in lines if (found := _GO_PANIC.match(line))), None)
    if panic is None:
        return None
    frames = []
    for call, where in pairwise(lines):
        file = _GO_FRAME.match(where)
        called = _GO_CALL.match(call) if file else None
        if file and called:
            known = called[1] if _FOREIGN.search(called[1]) else file[1]
            frames.append((known, f"{called[1]} ({_short(file[1])})"))
    kind = "runtime error" if panic[1].startswith("runtime error: ") else "panic"
    return Trace(kind, panic[1].removeprefix("runtime error: "), _own(iter(frames)))


def _own(frames: Iterator[tuple[str, str]]) -> str | None:
    """From the innermost outwards: the first that is the program's own, else the first."""
    first = None
    for where, shown in frames:
        shown = _DIGITS.sub("<num>", shown)[:LONGEST_FRAME]
        if _FOREIGN.search(where) is None:
            return shown
        first = first or shown
    return first


def _short(path: str) -> str:
    """The file and the folder it is in: the rest differs between machines."""
    return "/".join(path.replace("\\", "/").split("/")[-2:])

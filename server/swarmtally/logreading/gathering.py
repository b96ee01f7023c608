"""Which lines belong to the entry before them: stack traces of Python, Java, JavaScript and Go, and indented lines."""

import re

from swarmtally.logreading.formats import Head

MOST_LINES = 200
"""Further lines of an entry that are kept: the first half and the last; the rest only counts as part of it."""
_HALF = MOST_LINES // 2
_TRACEBACK = re.compile(r"(?:  \+ Exception Group )?Traceback \(most recent call last\):")
_FRAME = re.compile(r"\s+(?:at \S|File \"|\.\.\. \d+ )")
_EXCEPTION = re.compile(
    r"(?:Exception in thread \"[^\"]*\" |Uncaught |Unhandled )?(?:[A-Za-z_$][\w$]*\.)*[A-Z][\w$]*"
    r"(?:Error|Exception|Throwable|Fault|Interrupt|Exit|Failure)(?: \[\w+\])?(?::|$)"
)
_ANEW = re.compile(r"Exception in thread |Uncaught |Unhandled ")
_CHAINED = re.compile(r"Caused by: |Suppressed: |During handling of the above|The above exception was the direct cause")
_PANIC = re.compile(r"(?:panic: |fatal error: |goroutine \d+ \[)")
_OF_GO = re.compile(
    r"goroutine \d+ \[|[\w./*()·$\[\]{}-]+\(.*\)(?: in goroutine \d+)?$"
    r"|created by |exit status \d|\[signal |\[recovered"
)
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----(?!.*-----END)")
_UNSEEN = "unseen"


class Entry:
    """What one event wrote: its first line and those that belong to it."""

    __slots__ = ("_exception_due", "_kind", "cut", "head", "number", "rest", "text")

    def __init__(self, head: Head, text: str, number: int) -> None:
        self.head = head
        self.text = text
        self.number = number
        """Of its first line, from 0."""
        self.rest: list[str] = []
        self.cut = 0
        """How many lines in the middle were not kept."""
        self._kind: str | None = _UNSEEN
        self._exception_due = False

    def takes(self, line: str, head: Head) -> bool:
        """Takes a line that is not blank when it belongs here."""
        if self._kind is _UNSEEN:
            # Most entries are followed by another, and are never asked.
            self._kind = _kind(self.text, self.head)
        if not self._belongs(line, head):
            return False
        self._keep(line)
        return True

    def keep_all(self, lines: list[str]) -> None:
        """Lines that came as one text."""
        for line in lines:
            self._keep(line)

    def _keep(self, line: str) -> None:
        self.rest.append(line)
        if "-----BEGIN" in line and _KEY.search(line):
            self._kind = "key"
        if len(self.rest) > MOST_LINES:
            del self.rest[_HALF]
            self.cut += 1

    def _belongs(self, line: str, head: Head) -> bool:
        if self._kind == "key":
            # Or its lines would be taken for messages, and shown.
            self._kind = "ended key" if "-----END" in line else "key"
            return True
        if line[0] in " \t":
            return self._indented(line)
        if head.time_ns is not None:
            return False
        if self._exception_due:
            # The line under Python's frames is the exception, whatever it looks like.
            self._exception_due = False
            return True
        if _TRACEBACK.match(line):
            return self._begins("python")
        if _CHAINED.match(line):
            return self._kind is not None
        if self._kind == "go" or _PANIC.match(line):
            return self._of_go(line)
        if self._kind is not None and line in ("}", "]", "},"):
            return True
        if _EXCEPTION.match(line) and not _ANEW.match(line):
            return self._kind is None and self.head.stamped and self._begins("exception")
        return False

    def _indented(self, line: str) -> bool:
        if _FRAME.match(line):
            self._exception_due = self._kind == "python"
            self._kind = self._kind or "exception"
            return True
        return self._kind is not None or self.head.stamped

    def _begins(self, kind: str) -> bool:
        """A trace under the line that announces it, or one chained to this one."""
        if self._kind is None and not self.head.stamped:
            return False
        if self._kind == "python" and self.rest and not _CHAINED.match(self.rest[-1]):
            return False
        self._kind = kind
        return True

    def _of_go(self, line: str) -> bool:
        if self._kind != "go":
            return False
        return _OF_GO.match(line) is not None


def _kind(text: str, head: Head) -> str | None:
    """The kind of trace that begins with an entry's first line."""
    if _KEY.search(text):
        return "key"
    for said in (text, head.message):
        if _TRACEBACK.match(said):
            return "python"
        if _PANIC.match(said):
            return "go"
        if _EXCEPTION.match(said):
            return "exception"
    return None

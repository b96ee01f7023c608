"""Assesses a folder in a process of its own: `python -P -m swarmtally.quality ROOT CRITERIA LIMIT OFFSET`.

It writes lines of JSON (`swarmtally.quality.answer`), and ends with all its processes when its stdin does: whoever
asked is then gone. `-P` keeps the working directory, which may be the target, off the path of imports.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO

from swarmtally.quality.answer import Line, answer, written
from swarmtally.quality.assess import assess
from swarmtally.quality.model import Criterion

TOLD_EVERY_S = 0.25
"""How long lies between two reports of progress within a stage."""


def main(arguments: list[str]) -> int:
    """Assess and write; returns the exit status."""
    root, criteria, limit, offset = arguments
    threading.Thread(target=_end_with_the_asker, daemon=True).start()
    with os.fdopen(os.dup(1), "wb", buffering=0) as out:
        # What a library prints must not come between the lines.
        os.dup2(2, 1)
        try:
            sources, assessments = assess(
                Path(root), [Criterion(name) for name in criteria.split(",")], _Progress(out).tell
            )
        except OSError as error:
            out.write(written(Line(error=f"{root} cannot be read ({error.strerror or error})")))
            return 1
        _write(out, written(Line(answer=answer(sources, assessments, int(limit), int(offset)))))
    return 0


class _Progress:
    """Tells of each stage's begin and end, and now and then between: some analysers report each file."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._what = ""
        self._due_s = 0.0

    def tell(self, what: str, done: int, total: int) -> None:
        now_s = time.monotonic()
        if what != self._what or done == total or now_s >= self._due_s:
            self._what, self._due_s = what, now_s + TOLD_EVERY_S
            self._out.write(written(Line(progress=(what, done, total))))


def _write(out: BinaryIO, content: bytes) -> None:
    """All of it: a pipe takes less at a time."""
    view = memoryview(content)
    while view:
        view = view[out.write(view) :]


def _end_with_the_asker() -> None:
    while os.read(0, 4096):
        pass
    if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

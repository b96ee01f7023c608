"""The process that reads a large log: the log on stdin; on stdout a line of JSON now and then that says how far it is,
and last one with what was read. `python -P -m swarmtally.logreading.child --now NS [--seconds N] [--numbers]`.

A process of its own, because reading holds Python's interpreter lock: in a thread it would hold up the server.
"""

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from typing import Any

from swarmtally.logreading.source import read_log

MODULE = "swarmtally.logreading.child"


def main(arguments: Sequence[str] | None = None) -> int:
    """Read stdin and write what was found."""
    # Ctrl-C reaches the whole group; the parent says what there is to say.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--now", type=int, required=True, metavar="NS")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--numbers", action="store_true")
    given = parser.parse_args(arguments)
    read = sys.stdin.buffer.read
    log = read_log(read, now_ns=given.now, seconds=given.seconds, numbers=given.numbers, tell=_tell)
    _write({"log": log})
    return 0


def _tell(lines: int, taken: int) -> None:
    _write({"lines": lines, "bytes": taken})


def _write(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, default=_fields, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


if __name__ == "__main__":
    sys.exit(main())

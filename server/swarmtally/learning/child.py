"""The process that trains a model: on stdin lines of JSON, each a list of rows; on stdout a line of JSON for each
part that is begun and each section that is done, and last one with the model. `python -P -m swarmtally.learning.child
--pattern NAME --seed N`.

A process of its own, because fitting holds Python's interpreter lock: in a thread it would hold up the server.
"""

import argparse
import gc
import json
import signal
import sys
from collections.abc import Sequence
from typing import Any

from swarmtally.learning.answers import Insufficient
from swarmtally.learning.rows import TrainingRow
from swarmtally.learning.sections import PATTERNS, Section, learn, to_document

MODULE = "swarmtally.learning.child"


def main(arguments: Sequence[str] | None = None) -> int:
    """Read rows from stdin and write what was learned."""
    # Ctrl-C reaches the whole group; the parent says what there is to say.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("--pattern", choices=sorted(PATTERNS), required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args(arguments)
    # It ends soon, and looking through a hundred thousand rows for what can be freed takes seconds.
    gc.disable()
    rows = [TrainingRow(*values) for line in sys.stdin.buffer for values in json.loads(line)]
    sections = learn(rows, given.pattern, given.seed, _tell, lambda part: _write({"begun": part}))
    _write({"model": to_document(sections)})
    return 0


def _tell(section: Section) -> None:
    learned = [name for name, each in section.targets.items() if not isinstance(each, Insufficient)]
    _write({"source": section.source, "level": section.level, "rows": section.rows, "learned": learned})


def _write(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, separators=(",", ":"), allow_nan=False) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

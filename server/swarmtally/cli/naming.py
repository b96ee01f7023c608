"""How names are written: options with `-`, tools with `_`; both are found however they are spelled."""

import difflib
import re
from collections.abc import Iterable


def kebab(name: str) -> str:
    """`max_agents` and `maxAgents` as `max-agents`."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"-\1", name).replace("_", "-").lower()


def snake(name: str) -> str:
    """`swarm-init` and `swarmInit` as `swarm_init`."""
    return kebab(name).replace("-", "_")


def remedy(wrong: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` with the nearest of `known`, else the list of them all."""
    names = list(known)
    # Stricter than difflib's own 0.6, which takes "memory" for "demo".
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=0.65)
    return f"; did you mean {close[0]!r}?" if close else f"; it takes {', '.join(names)}"

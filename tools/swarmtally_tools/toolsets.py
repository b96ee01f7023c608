"""Which tools a server offers: named groups of them, and only those that change nothing.

Plain tables, so that a server can say what it offers before it has imported a tool. Tests hold them against the tools'
definitions.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from swarmtally.domain.errors import InvalidInput

ALL = "all"

TOOLSETS: Mapping[str, tuple[str, ...]] = {
    "swarm": ("swarm_init", "agent_spawn", "swarm_scale", "swarm_monitor", "load_balance"),
    "memory": ("memory_usage", "memory_search"),
    "sparc": (
        "sparc_run",
        "sparc_batch",
        "sparc_concurrent",
        "sparc_pipeline",
        "run_status",
        "run_control",
        "work_claim",
        "work_report",
    ),
    "runs": ("run_status", "run_control", "work_claim", "work_report"),
    "insight": (
        "performance_report",
        "token_usage",
        "bottleneck_analyze",
        "health_check",
        "error_analysis",
        "quality_assess",
    ),
    "learning": ("neural_train", "neural_patterns", "neural_predict"),
}
"""Name → its tools. `sparc` holds `runs` as well: a run that was started must be followed, and its packets done."""

READ_ONLY = frozenset(
    {
        "swarm_monitor",
        "memory_search",
        "run_status",
        "performance_report",
        "token_usage",
        "bottleneck_analyze",
        "health_check",
        "quality_assess",
        "neural_patterns",
    }
)
"""The tools whose definition says `read_only`."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a server offers.

    Args:
        toolsets: names of `TOOLSETS`; empty: all tools.
        read_only: of those, only tools that change nothing.
    """

    toolsets: tuple[str, ...] = ()
    read_only: bool = False

    @property
    def names(self) -> frozenset[str]:
        """The tools' names."""
        return _names(self)

    def has(self, *names: str) -> bool:
        """Whether all of `names` are offered."""
        return self.names.issuperset(names)

    def why_not(self, name: str) -> str:
        """Why the tool `name`, which there is, is not offered, and what would change that."""
        holding = [toolset for toolset, tools in TOOLSETS.items() if name in tools]
        if self.read_only and name not in READ_ONLY:
            return f"{name} is not offered: it changes things, and this server was started with --read-only"
        return (
            f"{name} is not offered: it is in toolset {' and '.join(holding)}, and this server was started with "
            f"--toolsets {','.join(self.toolsets)}"
        )


@cache
def _names(offer: Offer) -> frozenset[str]:
    wanted = {name for toolset in offer.toolsets or TOOLSETS for name in TOOLSETS[toolset]}
    return frozenset(wanted & READ_ONLY if offer.read_only else wanted)


def offered(given: Sequence[str], *, read_only: bool) -> Offer:
    """The offer that `--toolsets` and `--read-only` ask for.

    Args:
        given: names of toolsets, each text one or several with commas; none, or `all` among them: all.

    Raises:
        InvalidInput: there is no toolset of a name, or nothing would be offered.
    """
    named = tuple(dict.fromkeys(name for text in given for part in text.split(",") if (name := part.strip())))
    if given and not named:
        raise InvalidInput(f"--toolsets is empty; it takes {', '.join((ALL, *TOOLSETS))}")
    for name in named:
        if name != ALL and name not in TOOLSETS:
            close = difflib.get_close_matches(name, [ALL, *TOOLSETS], n=1)
            meant = f"; did you mean {close[0]!r}?" if close else f"; it takes {', '.join((ALL, *TOOLSETS))}"
            raise InvalidInput(f"--toolsets has no {name[:64]!r}{meant}")
    offer = Offer(() if ALL in named else named, read_only)
    if not offer.names:
        raise InvalidInput(f"--read-only leaves nothing of --toolsets {','.join(named)}; add another toolset")
    return offer

"""What came of a fault's rounds, and the table of them."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """One row: how often a fault was brought about, what had been acknowledged, and what was found wrong."""

    fault: str
    rounds: int = 0
    acknowledged: int = 0
    """Rows acknowledged in its rounds; each is looked for after this and every later round on the same database."""
    damaged: list[str] = field(default_factory=list)
    """What SQLite or the laws of our tables find wrong, and internal errors."""
    lost: list[str] = field(default_factory=list)
    """What was acknowledged and is not there, and calls that reached the model without a row."""
    twice: list[str] = field(default_factory=list)
    """Results that were recorded or counted more than once."""
    stuck: list[str] = field(default_factory=list)
    """What does not end after resume, and processes that no longer answer."""
    orphans: list[str] = field(default_factory=list)
    """Processes that were left."""
    remarks: list[str] = field(default_factory=list)
    skipped: str = ""
    """Why there were no rounds."""

    @property
    def findings(self) -> list[str]:
        kinds = ("damaged", "lost", "twice", "stuck", "orphans")
        return [f"{kind}: {what}" for kind in kinds for what in getattr(self, kind)]

    def once(self) -> None:
        """Keep of what was found in several rounds, because it stays in the database, only the first."""
        for kind in ("damaged", "lost", "twice", "stuck", "orphans"):
            setattr(self, kind, list(dict.fromkeys(getattr(self, kind))))


HEAD = (
    "| fault | rounds | acknowledged | damaged | lost | twice | stuck | orphans | |",
    "|---|--:|--:|--:|--:|--:|--:|--:|---|",
)


def table(tallies: Iterable[Tally]) -> str:
    return "\n".join((*HEAD, *map(line, tallies)))


def line(tally: Tally) -> str:
    """The tally as a line of the table."""
    if tally.skipped:
        return f"| {tally.fault} | 0 | | | | | | | skipped: {tally.skipped} |"
    found = (tally.damaged, tally.lost, tally.twice, tally.stuck, tally.orphans)
    counts = (tally.rounds, tally.acknowledged, *map(len, found))
    return f"| {tally.fault} | {' | '.join(map(str, counts))} | {'; '.join(tally.remarks)} |"

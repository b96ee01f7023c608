"""How long a task takes, as far as finished ones of the same project tell."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MIN_ROWS = 3
"""The fewest finished tasks an estimate rests on."""

ALL_ROLES = "all roles"
ROLE = "role"
MODEL = "model"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A duration in nanoseconds, from how many finished tasks, and from whose: of that role, or of all roles; or as the
    project's model says that was learned from so many."""

    duration_ns: int
    n: int
    basis: str


@dataclass(frozen=True, slots=True)
class History:
    """How long finished tasks took (exec_ns of their last attempts), ascending: by role, and all together."""

    by_role: Mapping[str, Sequence[int]]
    every: Sequence[int]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, int]]) -> "History":
        """From (role, exec_ns) of finished tasks, in any order."""
        by_role: dict[str, list[int]] = {}
        for role, exec_ns in rows:
            by_role.setdefault(role, []).append(exec_ns)
        every = sorted(exec_ns for found in by_role.values() for exec_ns in found)
        return cls({role: sorted(found) for role, found in by_role.items()}, every)

    def duration(self, role: str) -> Estimate | None:
        """The median of the role; of all roles where the role has fewer than `MIN_ROWS`; None where all have fewer."""
        return self._longer_than(role, -1)

    def remaining(self, role: str, elapsed_ns: int) -> Estimate | None:
        """How much longer a task takes that has run for `elapsed_ns`: the median of those that took longer still, less
        what has passed (the median residual life). None where fewer than `MIN_ROWS` took longer."""
        whole = self._longer_than(role, elapsed_ns)
        return Estimate(whole.duration_ns - elapsed_ns, whole.n, whole.basis) if whole else None

    def _longer_than(self, role: str, elapsed_ns: int) -> Estimate | None:
        of_role = self.by_role.get(role, ())
        # A role with a history of its own is never mended with that of others.
        rows, basis = (of_role, ROLE) if len(of_role) >= MIN_ROWS else (self.every, ALL_ROLES)
        longer = rows[bisect_right(rows, elapsed_ns) :]
        return Estimate(_median(longer), len(longer), basis) if len(longer) >= MIN_ROWS else None


def _median(ascending: Sequence[int]) -> int:
    middle = len(ascending) // 2
    return ascending[middle] if len(ascending) % 2 else (ascending[middle - 1] + ascending[middle]) // 2

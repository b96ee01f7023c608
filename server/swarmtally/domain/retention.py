"""How long recorded rows are kept."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retention:
    """In days."""

    runs_days: int = 400
    """Runs that ended, with their tasks, attempts, calls, deliverables and events; events of swarms and agents; log
    templates that were not met again."""
    details_days: int = 7
    """Messages and resource samples."""

"""Assesses a target: reads it once, runs the analysers, scores each criterion."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from swarmtally.quality.documentation import assess_documentation
from swarmtally.quality.model import Assessment, Criterion, Sources
from swarmtally.quality.sources import Progress, collect
from swarmtally.quality.testing import assess_testing

FROM_SOURCES: Mapping[Criterion, Callable[[Sources], Assessment]] = {
    Criterion.TESTING: assess_testing,
    Criterion.DOCUMENTATION: assess_documentation,
}
"""Criteria that need nothing but the files themselves."""


def assess(
    root: Path, criteria: Sequence[Criterion], progress: Progress | None = None
) -> tuple[Sources, tuple[Assessment, ...]]:
    """Measures each criterion, in the order given.

    Takes as long as the target is large, and runs processes of its own: not for an event loop. Nothing is written.
    Raises OSError when the root is not there or cannot be read.
    """
    sources = collect(root, progress)
    return sources, tuple(FROM_SOURCES[criterion](sources) for criterion in criteria if criterion in FROM_SOURCES)

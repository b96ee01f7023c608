"""Assesses a target: reads it once, runs the analysers, scores each criterion."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from swarmtally.quality.criteria import COUNTED, Material, assessed
from swarmtally.quality.documentation import assess_documentation
from swarmtally.quality.facts import FileFacts
from swarmtally.quality.languages import PYTHON
from swarmtally.quality.linting import lint
from swarmtally.quality.model import Assessment, Criterion, LeftOut, Sources
from swarmtally.quality.sources import Progress, collect
from swarmtally.quality.testing import assess_testing
from swarmtally.quality.workers import measure_all


def assess(
    root: Path, criteria: Sequence[Criterion], progress: Progress | None = None
) -> tuple[Sources, tuple[Assessment, ...]]:
    """Measures each criterion, in the order given; a score does not depend on what else is asked for.

    Takes as long as the target is large, and runs processes of its own: not for an event loop. Nothing is written.
    Raises OSError when the root is not there or cannot be read.
    """
    progress = progress or _untold
    # Testing and documentation are of all that was read, also of what an analyser refuses.
    sources = read = collect(root, progress)
    material = None
    if any(criterion in COUNTED for criterion in criteria):
        sources, material = _analysed(sources, progress)
    assessments = []
    for criterion in criteria:
        if criterion in COUNTED:
            assert material is not None
            assessments.append(assessed(criterion, material))
        elif criterion is Criterion.TESTING:
            assessments.append(assess_testing(read))
        else:
            # What the analysers have parsed is not parsed again.
            assessments.append(assess_documentation(read, material.facts if material else {}))
    return sources, tuple(assessments)


def _analysed(sources: Sources, progress: Progress) -> tuple[Sources, Material]:
    """What the analysers say of the code outside tests; what they could not read is left out of the sources."""
    files = [file for file in sources.files if not file.is_test]
    measured = measure_all(files, lambda done: progress("measuring files", done, len(files)))
    refused = {path: facts for path, facts in measured.items() if isinstance(facts, str)}
    python = [file for file in files if file.language == PYTHON and file.path not in refused]
    linted = lint(sources.root, python, lambda done: progress("linting Python", done, len(python)))
    refused |= linted.refused
    left_out = tuple(LeftOut(path, reason) for path, reason in sorted(refused.items()))
    sources = replace(
        sources,
        files=tuple(file for file in sources.files if file.path not in refused),
        left_out=(*sources.left_out, *left_out),
    )
    facts = {path: each for path, each in measured.items() if isinstance(each, FileFacts) and path not in refused}
    kept = [file for file in sources.files if not file.is_test]
    return sources, Material(kept, facts, linted, sources.root)


def _untold(_what: str, _done: int, _total: int) -> None:
    """Nobody asked to be told."""

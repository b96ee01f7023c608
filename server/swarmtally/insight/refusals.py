"""Calls that a provider refused because there were too many, and how many at once it took."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from swarmtally.domain.errors import FailureCause
from swarmtally.insight import opened
from swarmtally.insight.jobs import UNLIMITED, Recording
from swarmtally.insight.losses import failed_again, unfailing
from swarmtally.insight.opened import PROVIDER
from swarmtally.insight.recording import Backend, Scene
from swarmtally.insight.relaxing import with_slots
from swarmtally.insight.study import Cause, Component, Evidence, Study, WhatIf
from swarmtally.store.history import Attempt


def rate_limits(study: Study) -> Iterator[Cause]:
    """Calls that the provider refused because there were too many."""
    found = failed_again(study, (FailureCause.RATE_LIMIT,))
    fewest = {backend: at_once for backend in opened.backends(study) if (at_once := _fewest(study, backend))}
    # What takes fewer calls by now than were ever refused has been changed already.
    if found is None or all(opened.slots(study, backend) < at_once for backend, at_once in fewest.items()):
        return
    lost_ns, failed = found
    what_if, reason = _gentler(study, fewest)
    yield Cause(
        "rate_limit",
        Component.BACKEND,
        f"the provider refused {len(failed)} calls, which were sent again after pauses",
        lost_ns,
        (Evidence("attempts_refused", len(failed), 0, sum(len(scene.attempts) for scene in study.scenes)),),
        what_if,
        reason,
    )


def most_taken(study: Study, backend: Backend) -> int:
    """The most calls at once that the backend is not known to refuse. One that refused a call alone does not limit
    calls at once."""
    at_once = _fewest(study, backend)
    return UNLIMITED if at_once is None or at_once == 1 else at_once - 1


def _fewest(study: Study, backend: Backend) -> int | None:
    """The fewest calls at once of which the backend refused one; None: it refused none.

    A call that was taken counts when it was under way at any moment of the refused one: which of two that were sent
    together came first, only the provider knows.
    """
    found = [each for scene in study.scenes for each in opened.attempts(scene, backend)]
    refused = [span for each in found if _refused(each) and (span := opened.call(each)) is not None]
    taken = [span for each in found if not _refused(each) and (span := opened.call(each)) is not None]
    beside = [sum(begin <= end_ns and end >= begin_ns for begin, end in taken) for begin_ns, end_ns in refused]
    return 1 + min(beside) if beside else None


def _refused(attempt: Attempt) -> bool:
    return attempt.cause == FailureCause.RATE_LIMIT


def _gentler(study: Study, fewest: Mapping[Backend, int]) -> tuple[WhatIf | None, str | None]:
    """With as many calls at once as were never refused; where such calls were refused too, nothing can be said."""
    if 1 in fewest.values():
        return None, "calls were refused even alone, so the limit is not one of calls at once; raise it at the provider"
    calls = min(fewest.values()) - 1

    def gentle(scene: Scene) -> Recording:
        for backend in fewest:
            scene = replace(scene, recording=_limited(scene, backend, calls))
        return unfailing(scene.recording, (FailureCause.RATE_LIMIT,))

    made_ns = study.total_ns(gentle)
    if made_ns >= study.base_ns:
        return None, f"with {calls} calls at once, which were never refused, it would take longer than with refusals"
    note = f"{calls} calls at once were never refused, {calls + 1} were"
    if {backend.name for backend in fewest} != {PROVIDER}:
        return WhatIf(f"at most {calls} calls at once", made_ns, None, f"{note}; its program sets max_parallel"), None
    command = f"export SWARMTALLY_MAX_PARALLEL={calls}"
    return WhatIf(f"at most {calls} calls at once", made_ns, command, f"{note}; then start the server again"), None


def _limited(scene: Scene, backend: Backend, calls: int) -> Recording:
    more = [number for number in opened.pools(scene, backend) if scene.recording.pools[number].slots > calls]
    return with_slots(scene.recording, more, calls) if more else scene.recording

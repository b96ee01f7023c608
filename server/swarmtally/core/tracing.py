"""The seam to whoever draws traces of runs: what is told, and the one that nobody listens to.

A run is begun inside the call that starts or resumes it and ends wherever the scheduler lets go of it. Its attempts are
told that they belong to it; a model call belongs to the attempt around it. No prompt, answer or error text is told.
"""

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from swarmtally.core.ports import BackendInfo
from swarmtally.domain.errors import FailureCause
from swarmtally.domain.run import Run
from swarmtally.domain.task import Claim, Outcome
from swarmtally.domain.usage import TokenUsage

LET_GO = "let_go"
"""What becomes of a run here that was cancelled, taken over, or interrupted by the end of its process."""


class RunTrace(Protocol):
    """One run, as long as this process holds it."""

    def end(self, outcome: str, /) -> None:
        """It is let go of; `outcome` is its final status, or `LET_GO`."""
        ...


class AttemptTrace(Protocol):
    """One attempt at a task."""

    def came(self, outcome: Outcome, /) -> None:
        """What came of it; nothing is told when it was cancelled."""
        ...


class CallTrace(Protocol):
    """One call of a model."""

    def answered(self, usage: TokenUsage, truncated: bool, failed: FailureCause | None, /) -> None:
        """What came back; nothing is told when it was cancelled."""
        ...


class Tracing(Protocol):
    """Where runs, attempts and model calls are told of."""

    def run(self, run: Run, /) -> RunTrace:
        """The process begins to hold the run, in the context of the call that made it so."""
        ...

    def attempt(self, within: RunTrace, claim: Claim, /) -> AbstractContextManager[AttemptTrace]:
        """An attempt of that run is under way while this is open."""
        ...

    def call(self, info: BackendInfo, /) -> AbstractContextManager[CallTrace]:
        """A call is under way while this is open."""
        ...

    def apart(self) -> AbstractContextManager[object]:
        """What is started while this is open belongs to no call: it serves those of all."""
        ...


class Untraced:
    """Nobody listens. One object stands for all of it, so that nothing is made for nobody."""

    def run(self, *_: object) -> Self:
        return self

    def attempt(self, *_: object) -> Self:
        return self

    def call(self, *_: object) -> Self:
        return self

    def apart(self) -> Self:
        return self

    def end(self, *_: object) -> None:
        pass

    def came(self, *_: object) -> None:
        pass

    def answered(self, *_: object) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        pass


UNTRACED: Tracing = Untraced()

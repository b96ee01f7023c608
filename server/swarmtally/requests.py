"""What a SPARC tool asks the app for, and what it gets."""

from collections.abc import Sequence
from dataclasses import dataclass

from swarmtally.domain.budget import Budget
from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.run import RunKind
from swarmtally.domain.swarm import Swarm

CONTEXT_LIMIT = 100
"""The most shared texts one run may have."""

CONTEXT_LIMIT_BYTES = 1024 * 1024
"""The most shared context one run may have, all texts together."""


@dataclass(frozen=True, slots=True)
class SparcRequest:
    """What a `sparc_*` tool asks for. `context` are texts that all tasks see."""

    kind: RunKind
    modes: tuple[str, ...]
    tasks: tuple[str, ...]
    swarm_id: str | None = None
    model: str | None = None
    context: tuple[str, ...] = ()
    out_dir: str | None = None
    budget_tokens: int | None = None
    """The most that its calls may take, input and output together."""
    budget_usd: float | None = None

    @property
    def budget(self) -> Budget:
        return Budget.asked(self.budget_tokens, self.budget_usd)

    def __post_init__(self) -> None:
        """
        Raises:
            InvalidInput: it holds one text where several go, or not as many tasks and modes as its kind has, or a
                budget that is none.
        """
        if self.kind is RunKind.QUEUE:
            raise InvalidInput("a queue has roles and dependencies; plan it with plan_queue and start it with dispatch")
        Budget.asked(self.budget_tokens, self.budget_usd)
        for name, texts in (("modes", self.modes), ("tasks", self.tasks), ("context", self.context)):
            _check_texts(name, texts)
        if self.kind in (RunKind.RUN, RunKind.PIPELINE) and len(self.tasks) != 1:
            raise InvalidInput(f"a {self.kind} has one task, not {len(self.tasks)}; for several use a batch")
        wanted = {RunKind.RUN: 1, RunKind.CONCURRENT: 1, RunKind.PIPELINE: 0}.get(self.kind)
        if wanted is not None and len(self.modes) != wanted:
            raise InvalidInput(f"a {self.kind} has {'one' if wanted else 'no'} mode, not {len(self.modes)}")


@dataclass(frozen=True, slots=True)
class Started:
    """A run that was started, in which swarm, and whether that swarm was made for it."""

    run_id: str
    swarm: Swarm
    made_swarm: bool
    host_driven: bool
    """The calling client does its work, packet by packet."""
    note: str | None = None
    """What of the request does not go into its prompts whole."""


def _check_texts(name: str, texts: object) -> None:
    if isinstance(texts, str):
        raise InvalidInput(f"{name} is one text; give a list or tuple of texts")


def check_context(context: Sequence[str]) -> None:
    """
    Raises:
        InvalidInput: it is more than one run may have.
    """
    size = sum(len(text.encode()) for text in context)
    if len(context) > CONTEXT_LIMIT or size > CONTEXT_LIMIT_BYTES:
        raise InvalidInput(
            f"context has {len(context)} texts of {size} bytes; at most {CONTEXT_LIMIT} texts and "
            f"{CONTEXT_LIMIT_BYTES} bytes are allowed: leave out what the tasks do not need"
        )

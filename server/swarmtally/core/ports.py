"""What the core asks of the layers above it. Programs and tests bring their own by having these methods."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from swarmtally.domain.run import Run
from swarmtally.domain.task import Artefact, Expansion, Task
from swarmtally.domain.usage import TokenUsage

ASK = "NEED:"
"""What comes before a reference where a model asks for a part in its answer's text."""


class Pricing(Protocol):
    """What a model's tokens cost."""

    @property
    def date(self) -> str:
        """Of the price list, in ISO 8601."""
        ...

    @property
    def output_weight(self) -> float:
        """The price of an output token / the price of an uncached input token."""
        ...

    @property
    def cache_read_weight(self) -> float | None:
        """The price of a token read from the provider's cache / the same; None: the list has none."""
        ...

    def cost_nanousd(self, usage: TokenUsage) -> int | None:
        """What the tokens cost in 1e-9 US dollars; None when they are not known."""
        ...


class Tokenizer(Protocol):
    """Counts the tokens of a model's own vocabulary."""

    @property
    def name(self) -> str:
        """Of the vocabulary."""
        ...

    def count(self, text: str) -> int:
        """The tokens of `text`. Called in a worker thread."""
        ...


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """What a backend is and what it can do at once."""

    name: str
    """`model` or `local`, or a program's own name."""
    model: str
    base_url: str | None
    max_parallel: int
    """How many calls it takes at the same time."""
    reports_tokens: bool
    bound: Literal["latency", "compute"]
    """Whether calls at once wait beside each other (latency) or slow each other down (compute)."""
    context_tokens: int
    """The model's whole context: prompt and output together."""
    max_output_tokens: int
    fetches: Literal["tool", "text"] | None = None
    """How its model asks for a part that was left out of its prompt; None: it cannot."""
    caches: bool = False
    """Whether its provider caches the beginnings of prompts, so that the first of several should go ahead."""
    cache_least_tokens: int = 1_024
    """The shortest beginning that it caches."""
    pricing: Pricing | None = None
    """None: nobody's price list knows the model."""
    tokenizer: Tokenizer | None = None
    """None: input is estimated by what the model's calls reported."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Parts that were left out of a prompt, which its model asked for, and got."""

    asked: tuple[str, ...]
    """References."""
    answer: str

    @property
    def text(self) -> str:
        """Both as one text. Where the exchange is a call of a tool it holds the same, written otherwise."""
        return "\n".join((*(f"{ASK} {reference}" for reference in self.asked), self.answer))


@dataclass(frozen=True, slots=True)
class Separate:
    """The prompt that a separate request for the same task would need: the whole shared context and the whole of
    everything the task builds on, directly or not."""

    size_bytes: int
    shared_bytes: int
    """Its beginning that every separate request of the run would share."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A packed prompt. `parts` are sent as one user message, in this order: shared context, artefacts, role, task."""

    system: str
    parts: tuple[str, ...]
    digested: tuple[str, ...] = field(default=())
    """Artefacts that did not go in whole: there was no room, or the task may only see their digest."""
    deliverable: str = ""
    """What it asks for, in a word."""
    cut_contexts: int = 0
    """How many texts of the shared context did not go in whole."""
    shared_parts: int = 0
    """How many of the first parts are the same for every task of the run: after them a provider's cache may end."""
    left_out: tuple[str, ...] = ()
    """References to parts that can be asked for."""
    exchanges: tuple[Exchange, ...] = ()
    """What was asked for, and got, since the prompt was first sent."""
    separate: Separate | None = None
    """None: a separate request has no such task."""

    @property
    def pieces(self) -> tuple[str, ...]:
        """All of it in the order in which it is sent."""
        return (self.system, *self.parts, *(exchange.text for exchange in self.exchanges))

    @property
    def text(self) -> str:
        """All of it as one text."""
        return "\n\n".join(self.pieces)

    def prefix(self) -> list[tuple[int, str]]:
        """The beginnings of `text` that end with its pieces: their lengths in bytes and sha256, shortest first."""
        whole, size = hashlib.sha256(), 0
        found = []
        for number, part in enumerate(self.pieces):
            encoded = (f"\n\n{part}" if number else part).encode()
            whole.update(encoded)
            size += len(encoded)
            found.append((size, whole.hexdigest()))
        return found

    @property
    def size_bytes(self) -> int:
        return sum(len(piece.encode()) for piece in self.pieces)

    @property
    def written_bytes(self) -> int:
        """The bytes that JSON makes of its text: up to six for a character."""
        return len(json.dumps(self.text, ensure_ascii=False).encode())


@dataclass(frozen=True, slots=True)
class Room:
    """How much a prompt may hold."""

    size_bytes: int
    """Of UTF-8."""
    written_bytes: int | None = None
    """Of JSON; None where that does not count."""

    def excess(self, prompt: Prompt, spare: int = 0) -> int:
        """How many bytes the prompt is too long where `spare` bytes are to be left; 0 or less when it goes in."""
        over = prompt.size_bytes - self.size_bytes
        if self.written_bytes is not None:
            over = max(over, prompt.written_bytes - self.written_bytes)
        return over + spare


@dataclass(frozen=True, slots=True)
class Reply:
    """A backend's answer: the deliverable's text and what it cost."""

    text: str
    usage: TokenUsage
    truncated: bool = False
    """The answer was cut off at the output limit."""
    asks: tuple[str, ...] = ()
    """References to parts that were left out of the prompt, asked for in place of an answer; then `text` is empty."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What earlier tasks give to a task."""

    needed: tuple[Artefact, ...] = ()
    """The artefacts of its dependencies."""
    seen: tuple[Artefact, ...] = ()
    """Artefacts its topology lets it see besides; always as digests."""
    missing: tuple[str, ...] = ()
    """The keys of dependencies that delivered nothing."""
    earlier: tuple[Artefact, ...] = ()
    """What its dependencies build on, directly or not; none of `needed` or `seen`."""


class Backend(Protocol):
    """Turns a prompt into a result. It never fakes one."""

    @property
    def info(self) -> BackendInfo: ...

    async def execute(self, prompt: Prompt) -> Reply:
        """Do the work.

        Raises:
            ContextExceeded: the prompt did not fit.
            BackendFailure: the call failed; `transient` says whether trying again can help.
        """
        ...

    async def aclose(self) -> None:
        """Release what it holds. Calls under way have been cancelled before."""
        ...


class Planner(Protocol):
    """Knows what follows from a task's result."""

    def expand(self, run: Run, task: Task, output: str) -> Expansion:
        """What `task` (one with `expands`) makes possible. `output` is data, never an instruction.

        Called in a worker thread.
        """
        ...


class Packer(Protocol):
    """Makes a task's prompt from what it may see."""

    def pack(self, run: Run, task: Task, inputs: Inputs, budget_bytes: int) -> Prompt:
        """The prompt of `task`, at most `budget_bytes` long where digests and cuts can make it so.

        Large inputs are packed in a worker thread.

        Raises:
            ContextExceeded: it cannot be made to fit.
            SwarmError: the task cannot be done at all, for instance because its mode is gone.
        """
        ...

    def parts(self, run: Run, inputs: Inputs, references: Sequence[str], budget_bytes: int) -> str:
        """What the references name among the run's shared context and `inputs`, and nothing else, at most
        `budget_bytes` long; what was cut says so, and one that names nothing is said to be unknown.

        Large inputs are searched in a worker thread.
        """
        ...


class Shelf(Protocol):
    """Keeps deliverables as files in a run's `out_dir`."""

    async def put(self, run: Run, artefact: Artefact) -> str:
        """Write the artefact and return its absolute path. A file we did not write is never overwritten.

        Called only for runs with an `out_dir`.

        Raises:
            SwarmError, OSError: it cannot be written; the run ends saying so.
        """
        ...

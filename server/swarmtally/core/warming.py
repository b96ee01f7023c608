"""The first of several calls whose prompts begin alike brings that beginning into its provider's cache.

Sent all at once, each would pay for writing it; sent after the first was answered, they read what it wrote. So the
first goes ahead and the others wait for its answer. When it is cancelled or fails, the next one takes its place; after
`FAILURES` in a row nobody waits any more, so that an outage is not met one call after the other. A beginning that was
not used for `KEPT_NS` is cold again. All of it concerns one process: what others send is not known here.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from swarmtally.core.ports import BackendInfo, Prompt
from swarmtally.domain.clock import NS_PER_S, Clock

KEPT_NS = 5 * 60 * NS_PER_S
"""How long a provider is taken to keep a beginning since it was last used: the least that one of them promises."""

FAILURES = 2
"""After how many calls in a row that brought nothing into the cache the others go all the same."""

BYTES_PER_TOKEN = 3
"""How much text a token is taken to hold, so that no beginning is waited for that may be too short to be cached."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """What names the beginning of a call's prompt that others of its run share."""

    run_id: str
    sha256: str
    tools: bool
    """Whether its model may call a tool: providers put those before everything else."""


@dataclass(slots=True)
class _State:
    used_ns: int | None = None
    """When a call that begins so was last answered; None: none was yet."""
    ahead: bool = False
    """A call has gone ahead and was not answered yet."""
    failures: int = 0
    """How many of those that went ahead failed since."""
    calls: int = 0
    """How many wait for their turn or have it."""
    changed: anyio.Event = field(default_factory=anyio.Event)

    def warm(self, now_ns: int) -> bool:
        return self.used_ns is not None and now_ns - self.used_ns < KEPT_NS

    def wake(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()


class Turn:
    """One call's turn; `answered` says that its beginning is cached now."""

    def __init__(self) -> None:
        self.cached = False

    def answered(self) -> None:
        self.cached = True


class Warming:
    """The beginnings of prompts that this process sent."""

    def __init__(self) -> None:
        self._states: dict[Beginning, _State] = {}

    @asynccontextmanager
    async def turn(self, beginning: Beginning | None, clock: Clock) -> AsyncIterator[Turn]:
        """Wait while another call brings `beginning` into the cache; None waits for nothing."""
        turn = Turn()
        if beginning is None:
            yield turn
            return
        self._forget_cold(clock.monotonic_ns())
        state = self._states.setdefault(beginning, _State())
        state.calls += 1
        leads = False
        try:
            while state.ahead and state.failures < FAILURES and not state.warm(clock.monotonic_ns()):
                await state.changed.wait()
            leads = not state.ahead and not state.warm(clock.monotonic_ns())
            state.ahead = state.ahead or leads
            yield turn
            # One that was cancelled says nothing about the provider.
            state.failures += leads and not turn.cached
        finally:
            state.calls -= 1
            if turn.cached:
                state.used_ns, state.failures = clock.monotonic_ns(), 0
            if leads:
                state.ahead = False
            state.wake()

    def _forget_cold(self, now_ns: int) -> None:
        """Let go of beginnings that nobody uses, so that they do not add up over a process's life."""
        for beginning in [key for key, state in self._states.items() if not state.calls and not state.warm(now_ns)]:
            del self._states[beginning]


def beginning_of(run_id: str, prompt: Prompt, info: BackendInfo) -> Beginning | None:
    """The beginning that the prompt shares with others of its run; None where no cache keeps it."""
    if not info.caches or not prompt.shared_parts:
        return None
    size_bytes, sha256 = prompt.prefix()[prompt.shared_parts]
    if size_bytes < info.cache_least_tokens * BYTES_PER_TOKEN:
        return None
    offered = info.fetches == "tool" and bool(prompt.left_out or prompt.exchanges)
    return Beginning(run_id, sha256, offered)

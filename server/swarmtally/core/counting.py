"""How many tokens a prompt will have, estimated before it is sent: its bytes by the bytes a token has had so far."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import anyio
import anyio.to_thread

from swarmtally.core.ports import BackendInfo, Prompt
from swarmtally.domain.text import counted
from swarmtally.store import usage
from swarmtally.store.database import Database

LEARNED_CALLS = 200
"""The most calls a ratio is learned from: the model's newest that reported their tokens."""

LEAST_CALLS = 5
"""With fewer than these nothing is learned."""

ASSUMED_BYTES = 2.0
"""How much text a token is taken to hold as long as nothing is known of a model: prose holds 4 bytes, code 3."""

LOOK_AGAIN_CALLS = 1_000
"""How many calls are estimated at most before the database is asked again what was reported meanwhile."""

ERROR_SHARE = 0.95
"""An estimate's error is one that this share of the calls it was learned from do not exceed."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """How much text one of a model's tokens holds."""

    bytes_per_token: float
    n: int
    """Calls it was learned from; fewer than `LEAST_CALLS`: it is assumed."""
    error: float | None
    """What `ERROR_SHARE` of those calls do not exceed of |estimate - reported| / reported, each one estimated from the
    others; None where it is assumed."""

    def tokens(self, size_bytes: int) -> int:
        return math.ceil(size_bytes / self.bytes_per_token)

    @property
    def learned(self) -> bool:
        return self.n >= LEAST_CALLS


@dataclass(frozen=True, slots=True)
class Estimate:
    """A prompt's input tokens before it is sent."""

    tokens: int
    basis: str
    n: int | None
    """Calls it was learned from; None: a tokenizer counted."""
    error: float | None
    reason: str | None
    """Why no error is known."""


def learn(calls: Sequence[tuple[int, int]]) -> Ratio:
    """The ratio of some calls, given as bytes of the prompt and input tokens reported, both more than 0: the median of
    their bytes per token, so that a few prompts that are unlike the others do not move it."""
    if len(calls) < LEAST_CALLS:
        return Ratio(ASSUMED_BYTES, len(calls), None)
    ratios = sorted((size / tokens, size, tokens) for size, tokens in calls)
    errors = []
    for number, (_, size, tokens) in enumerate(ratios):
        others = ratios[:number] + ratios[number + 1 :]
        errors.append(abs(math.ceil(size / _median(others)) - tokens) / tokens)
    nearest_rank = math.ceil(ERROR_SHARE * len(errors)) - 1
    return Ratio(_median(ratios), len(ratios), sorted(errors)[nearest_rank])


def _median(ratios: Sequence[tuple[float, int, int]]) -> float:
    middle = len(ratios) // 2
    return ratios[middle][0] if len(ratios) % 2 else (ratios[middle - 1][0] + ratios[middle][0]) / 2


@dataclass(slots=True)
class _Known:
    ratio: Ratio
    calls: int = 0
    """Estimated since the process began."""
    due: int = 1
    """At which of them the database is asked again."""


class Counter:
    """Estimates prompts. The database is asked when a model is first met, and then again after each half as many calls
    more as there have been, so that it costs next to nothing and follows what comes in."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], _Known] = {}
        self._looking = anyio.Lock()

    async def estimate(self, database: Database, info: BackendInfo | None, prompt: Prompt) -> Estimate:
        """The input tokens of `prompt` on that backend; None: on a client's, of which nothing is known."""
        if info is not None and info.tokenizer is not None:
            counted_tokens = await anyio.to_thread.run_sync(info.tokenizer.count, prompt.text)
            reason = "a tokenizer counts the text, not what the provider wraps it in"
            return Estimate(counted_tokens, f"counted by tokenizer {info.tokenizer.name}", None, None, reason)
        ratio = await self.ratio(database, info) if info is not None else learn(())
        # As the ledger keeps a prompt's size, which is what ratios are learned from.
        tokens = ratio.tokens(len(prompt.text.encode()))
        if ratio.learned:
            basis = f"{ratio.bytes_per_token:.2f} bytes a token, the median of the model's last {ratio.n} calls"
            return Estimate(tokens, basis, ratio.n, ratio.error, None)
        reason = f"{counted(ratio.n, 'call')} of this model reported tokens; an error needs at least {LEAST_CALLS}"
        return Estimate(tokens, f"{ASSUMED_BYTES:.0f} bytes a token, assumed on the safe side", ratio.n, None, reason)

    async def tokens(self, database: Database, info: BackendInfo, prompt: Prompt) -> int:
        """The input tokens of `prompt` on that backend, as `estimate` tells them."""
        if info.tokenizer is not None:
            return await anyio.to_thread.run_sync(info.tokenizer.count, prompt.text)
        return (await self.ratio(database, info)).tokens(len(prompt.text.encode()))

    async def ratio(self, database: Database, info: BackendInfo) -> Ratio:
        """The ratio of a backend's model as it was when the database was last asked."""
        key = (info.name, info.model)
        if key not in self._known:
            async with self._looking:
                if key not in self._known:
                    self._known[key] = _Known(await _look(database, info))
        known = self._known[key]
        known.calls += 1
        if known.calls > known.due:
            # Moved before the look, so that only one of many calls at once looks.
            known.due += min(max(1, known.calls // 2), LOOK_AGAIN_CALLS)
            known.ratio = await _look(database, info)
        return known.ratio


async def _look(database: Database, info: BackendInfo) -> Ratio:
    return learn(await database.read(lambda tx: usage.reported_sizes(tx, info.name, info.model, LEARNED_CALLS)))

"""Logs with known templates: each line says which one it was made from."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_VOCABULARY = """
accepted address allocated archive attempt backend balance batch block broker buffer bucket cache cannot channel
client closed cluster commit compaction completed configuration connected connection container context controller
coordinator created cursor database deadline deleted delivery deployed device disabled dispatched document driver
dropped election element enabled entry epoch error evicted executor expired exporter failed fetched file filter
finished flushed follower found frame gateway generation group handler heartbeat index inserted instance interrupted
invalid job joined journal key leader lease listener loaded lock lookup manager master merge message metadata migrated
missing mount network node offset opened operation orders owner packet page partition payment peer pending pipeline
policy pool port primary process producer profile promoted provider queue quorum read rebalanced received record
recovered refused region registered rejected released removed replica request reserved resolved response restarted
result retry rolled route rule running scheduler schema segment selected sent server service session shard shutdown
signal skipped snapshot socket stale started state stopped storage stream submitted subscription succeeded synced
table target task terminated thread throttled timeout timer topic tracked transaction transfer unavailable unknown
updated upload user validated volume waiting watch worker written zone
"""
WORDS = tuple(_VOCABULARY.split())
_SYLLABLES = "ba be da di fo ga ha ka ki la lo ma mi na no pa ra ri sa so ta te va vi zo"
SYLLABLES = tuple(_SYLLABLES.split())
COMPONENTS = ("api.orders", "api.payments", "core.scheduler", "store.segments", "net.gateway", "auth.sessions")
LEVELS = ("DEBUG", "INFO", "INFO", "INFO", "WARN", "ERROR")
HEADS = (
    lambda clock, level, component, said: f"2026-11-23 {clock},123 {level} [main] {component}: {said}",
    lambda clock, level, component, said: f"2026-11-23 {clock}.123 - {component} - {level} - {said}",
    lambda clock, level, component, said: f"Nov 23 {clock} web-1 {component}[17]: {said}",
    lambda clock, level, component, said: (
        f'{{"time":"2026-11-23T{clock}Z","level":"{level}","logger":"{component}","message":"{said}"}}'
    ),
)
"""log4j, Python's logging, syslog, JSON lines."""

Values = Callable[[random.Random], str]
NAME: Values = lambda dice: "".join(dice.choices(SYLLABLES, k=3))  # noqa: E731 - one of the kinds below
KINDS: tuple[Values, ...] = (
    lambda dice: str(dice.randrange(100_000)),
    lambda dice: (
        f"10.{dice.randrange(256)}.{dice.randrange(256)}.{dice.randrange(256)}:{dice.randrange(1_024, 65_536)}"
    ),
    lambda dice: f"/var/lib/{NAME(dice)}/{dice.randrange(1_000)}.dat",
    lambda dice: f"{dice.getrandbits(128):032x}",
    lambda dice: f"{dice.randrange(1, 9_000)}ms",
    lambda dice: f"id={dice.randrange(10_000)}",
    lambda dice: f"blk_{dice.randrange(10**12)}",
    NAME,
)
"""Numbers, addresses, paths, digests, durations, pairs, ids, and words that look like any other."""


@dataclass(frozen=True)
class Line:
    """A line of a log, and the template it was made from; below 0 it is noise, like no other."""

    text: str
    template: int


def corpus(count: int, *, templates: int, noise: float, seed: int = 7) -> Iterator[Line]:
    """`noise` is the share of lines made of random words. Templates are as frequent as 1, 1/2, 1/3 … (Zipf)."""
    dice = random.Random(seed)
    made = [_template(dice) for _ in range(templates)]
    weights = [1 / rank for rank in range(1, templates + 1)]
    # Choices one by one would take most of the time.
    for start in range(0, count, 10_000):
        chosen = dice.choices(range(templates), weights, k=min(10_000, count - start))
        for number, template in enumerate(chosen, start):
            if dice.random() < noise:
                said, template = " ".join(dice.choices(WORDS, k=dice.randrange(3, 12))), -1 - number
            else:
                said = _said(made[template], dice)
            second = number * 80_000 // count
            clock = f"{second // 3_600:02}:{second // 60 % 60:02}:{second % 60:02}"
            level, component = LEVELS[template % len(LEVELS)], COMPONENTS[template % len(COMPONENTS)]
            yield Line(HEADS[template % len(HEADS)](clock, level, component, said), template)


def _template(dice: random.Random) -> Sequence[str | Values]:
    words: list[str | Values] = list(dice.sample(WORDS, dice.randrange(4, 11)))
    for _ in range(dice.randrange(4)):
        words.insert(dice.randrange(1, len(words) + 1), dice.choice(KINDS))
    return words


def _said(template: Sequence[str | Values], dice: random.Random) -> str:
    return " ".join(word if isinstance(word, str) else word(dice) for word in template)

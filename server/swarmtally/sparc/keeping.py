"""Keeps what was made of texts, as long as those are not too long together."""

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from threading import Lock
from typing import TypeVar

_Made = TypeVar("_Made")


def kept(limit_chars: int) -> Callable[[Callable[[str], _Made]], Callable[[str], _Made]]:
    """Keep what the decorated function made of the texts it was asked for last, at most `limit_chars` of them together.

    `functools.lru_cache` counts texts, of which one may be a word and the next a book. What is made of a text that is
    longer than the limit by itself is kept too, alone: it is asked for again. Prompts are packed in several threads.
    """

    def decorated(make: Callable[[str], _Made]) -> Callable[[str], _Made]:
        made: OrderedDict[str, _Made] = OrderedDict()
        lock = Lock()
        chars = 0

        @wraps(make)
        def once(text: str) -> _Made:
            nonlocal chars
            with lock:
                if text in made:
                    made.move_to_end(text)
                    return made[text]
            new = make(text)
            with lock:
                if text not in made:
                    made[text] = new
                    chars += len(text)
                while chars > limit_chars and len(made) > 1:
                    chars -= len(made.popitem(last=False)[0])
            return new

        return once

    return decorated

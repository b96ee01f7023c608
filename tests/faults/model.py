"""The model behind all runs: an OpenAI-compatible server that lives in the harness, and whose answers are numbered."""

import time
from collections.abc import Callable
from random import Random

from tests.backends.wire import Answer, Hold, OpenAIWire, Received, completion, failure, tokens


class Later(Hold):
    """Lets an answer go when its time has come, or it is released."""

    def __init__(self, after_s: float) -> None:
        super().__init__()
        self._due = time.monotonic() + after_s

    @property
    def released(self) -> bool:
        return super().released or time.monotonic() >= self._due


class Model(OpenAIWire):
    """Answers each call after a random time of up to `slow_s`, with a text that no other call gets."""

    def __init__(self, draw: Random) -> None:
        super().__init__()
        self.slow_s = 0.03
        self.size = 40
        """Characters of an answer."""
        self.hold: Hold | None = None
        """Keeps back the answers of all calls that come while it is set."""
        self.failing = 0
        """So many calls are refused (503) before the next is answered."""
        self.told: list[tuple[int, Callable[[], None]]] = []
        """What is called, once, when so many calls have come."""
        self.respond = self._respond
        self._draw = Random(draw.random())

    @property
    def calls(self) -> int:
        return len(self.requests)

    def after_calls(self, more: int, tell: Callable[[], None]) -> None:
        """Have `tell` called when so many more calls have come."""
        self.told.append((self.calls + more, tell))

    def _respond(self, _: Received) -> Answer:
        number = self.calls
        for item in [item for item in self.told if item[0] <= number]:
            self.told.remove(item)
            item[1]()
        if self.failing:
            self.failing -= 1
            return failure(503)
        text = f"answer {number} ".ljust(self.size, ".")
        return Answer(
            body=completion(text, tokens(100, 10)), hold=self.hold or Later(self._draw.random() * self.slow_s)
        )

"""What a validator said, as one line."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.validators.installed import Installed


@dataclass(frozen=True, slots=True)
class Verdict:
    """A validator's figure beside its limit, and what has to be known to read it."""

    name: str
    version: str
    figure: str
    limit: str
    passed: bool
    notes: tuple[str, ...] = ()
    """Failures, and each thing that was not counted with the reason."""

    @property
    def line(self) -> str:
        word = "ok  " if self.passed else "FAIL"
        return f"{word} {self.name:<24} {self.version:<14} {self.figure}; limit: {self.limit}"


Validator = Callable[[Installed], Verdict]

"""When a failed attempt is tried again."""

from dataclasses import dataclass

_CAP_S = 60.0
_OBEYED = 10
"""A provider's own wish is obeyed up to so many times the cap."""

LONGEST_PAUSE_S = _OBEYED * _CAP_S
"""No attempt is put off for longer: a task that seems to be waits for a moment of a clock that was set back since."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Capped exponential backoff with jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015: equal jitter).

    `base_s` and `cap_s` are seconds; `max_attempts` counts the first attempt too.
    """

    max_attempts: int = 4
    base_s: float = 1.0
    cap_s: float = _CAP_S

    def delay_s(self, failed_attempts: int, draw: float, retry_after_s: float | None = None) -> float | None:
        """Seconds to wait after `failed_attempts` (from 1) failures, or None when no attempt remains.

        `draw` is uniform in [0, 1). A provider's `retry_after_s` is obeyed up to ten times the cap.
        """
        if failed_attempts >= self.max_attempts:
            return None
        ceiling = min(self.cap_s, self.base_s * 2.0 ** (failed_attempts - 1))
        backoff = ceiling * (0.5 + 0.5 * draw)
        if retry_after_s is None:
            return backoff
        return max(backoff, min(retry_after_s, _OBEYED * self.cap_s))

"""When a failed attempt is tried again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Capped exponential backoff with jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015: equal jitter).

    `base_s` and `cap_s` are seconds; `max_attempts` counts the first attempt too.
    """

    max_attempts: int = 4
    base_s: float = 1.0
    cap_s: float = 60.0

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
        return max(backoff, min(retry_after_s, 10 * self.cap_s))

"""Whether a backend answered as it must. Programs bring their own, and no type checker need have seen those."""

import math
from operator import attrgetter

from swarmtally.core.ports import Reply
from swarmtally.domain.errors import BackendFailure, FailureCause
from swarmtally.domain.usage import INCREDIBLE, SOURCES, TokenUsage

_figures = attrgetter("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


def check_reply(reply: object) -> None:
    """
    Raises:
        TypeError: it is no reply, or holds what cannot be recorded. Figures are left to `credible`.
    """
    if not isinstance(reply, Reply):
        raise TypeError(f"its reply is {_type(reply)}, not Reply")
    if not isinstance(reply.text, str):
        raise TypeError(f"its reply's text is {_type(reply.text)}, not str")
    if not isinstance(reply.asks, tuple) or not all(isinstance(reference, str) for reference in reply.asks):
        raise TypeError(f"its reply's asks are {_type(reply.asks)}, not a tuple of str")
    _check_usage(reply.usage)


def check_failure(failure: BackendFailure) -> None:
    """
    Raises:
        TypeError: it holds what cannot be recorded or waited for.
    """
    if failure.usage is not None:
        _check_usage(failure.usage)
    wait_s = failure.retry_after_s
    if wait_s is not None and not (isinstance(wait_s, int | float) and math.isfinite(wait_s)):
        raise TypeError(f"its retry_after_s is {wait_s!r}, not a number of seconds")
    if not isinstance(failure.cause, FailureCause):
        raise TypeError(f"its cause is {_type(failure.cause)}, not FailureCause")


def credible(usage: TokenUsage) -> TokenUsage:
    """See `TokenUsage.credible`; a figure that is no whole number is not credible either."""
    for figure in _figures(usage):
        if figure is not None and type(figure) is not int:
            return TokenUsage(reason=INCREDIBLE)
    return usage.credible()


def _check_usage(usage: object) -> None:
    if not isinstance(usage, TokenUsage):
        raise TypeError(f"its usage is {_type(usage)}, not TokenUsage")
    if not isinstance(usage.reason, str | None):
        raise TypeError(f"its usage's reason is {_type(usage.reason)}, not str")
    if usage.source not in SOURCES:
        raise TypeError(f"its usage's source is {usage.source!r}, not one of {', '.join(SOURCES)}")


def _type(value: object) -> str:
    return type(value).__name__

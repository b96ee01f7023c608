"""The one boundary where what a model library raises becomes `BackendFailure` or `ContextExceeded`.

An error nobody foresaw is not translated: it is a bug of ours and has to be seen as one.
"""

import json
import re
import shlex
import sys
from collections.abc import Iterable

from swarmtally.domain.errors import BackendFailure, ContextExceeded, FailureCause, SwarmError
from swarmtally.domain.usage import TokenUsage

MESSAGE_LIMIT = 300
"""The longest message, in characters."""

_KEY_LIKE = re.compile(r"(?:\b(?:sk|pk|rk|gsk|xai|hf|pylf)[-_]|\bAIza)[\w\-*.…]{4,}|(?<=Bearer )\S+", re.IGNORECASE)
_SHORTEST_SECRET = 6
_TRANSIENT_STATUS = frozenset({408, 409, 425, 429})


class Scrubber:
    """Makes text fit to be shown and stored: one line, bounded, without any of the known secrets."""

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Iterable[str | None]) -> None:
        known = {secret for secret in secrets if secret and len(secret) >= _SHORTEST_SECRET}
        # The longest first: a key that contains another must not be left in halves.
        self._secrets = sorted(known, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        # Secrets go before the cut, or half a key could survive at the end of the line.
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        line = " ".join(_KEY_LIKE.sub("[key]", text).split())
        return line if len(line) <= MESSAGE_LIMIT else line[: MESSAGE_LIMIT - 1] + "…"


def install_remedy(provider: str) -> str:
    """What to install so that `provider` can be used."""
    return f"{shlex.quote(sys.executable)} -m pip install 'pydantic-ai-slim[{provider}]'"


def translate(error: Exception, model: str, scrub: Scrubber, usage: TokenUsage | None = None) -> SwarmError | None:
    """The failure that `error`, raised by a call to `model`, means; None when it is not one of a model call."""
    if isinstance(error, ImportError):
        return _final(scrub, f"{model} needs a library that is not installed: {install_remedy(model.split(':')[0])}")
    return _from_pydantic_ai(error, model, scrub, usage) or _from_transport(error, model, scrub, usage)


def _from_pydantic_ai(error: Exception, model: str, scrub: Scrubber, usage: TokenUsage | None) -> SwarmError | None:
    from pydantic_ai import exceptions as ai

    if isinstance(error, ai.ModelAPIError):
        return _from_api(error, model, scrub, usage)
    if isinstance(error, ai.ContentFilterError):
        return _final(scrub, f"{model} refused the content: {error}", usage)
    if isinstance(error, ai.UserError):
        return _final(scrub, f"{model} cannot be used: {error}", usage)
    if isinstance(error, (ai.UnexpectedModelBehavior, ai.ConcurrencyLimitExceeded, ai.RunTimedOut)):
        return _transient(scrub, f"{model} answered with something unreadable: {error}", usage)
    if isinstance(error, ai.AgentRunError):
        return _final(scrub, f"the call to {model} failed: {error}", usage)
    return None


def _from_api(error: Exception, model: str, scrub: Scrubber, usage: TokenUsage | None) -> BackendFailure:
    from pydantic_ai import exceptions as ai

    assert isinstance(error, ai.ModelAPIError)
    detail = _detail(error)
    status = error.status_code if isinstance(error, ai.ModelHTTPError) else None
    said = f" (HTTP {status})" if status else ""
    if isinstance(error, ai.ModelContextWindowExceededError) or _is_llama_overflow(error.body):
        return ContextExceeded(scrub(f"the prompt does not fit the context of {model}: {detail}"), usage)
    if isinstance(error, ai.ModelQuotaExceededError):
        return _final(scrub, f"the account behind {model} has no quota left{said}; top it up: {detail}", usage)
    if isinstance(error, ai.ModelAuthenticationError):
        return _final(
            scrub, f"{model} refused the key{said}; check SWARMTALLY_API_KEY or the provider's own: {detail}", usage
        )
    if isinstance(error, ai.ModelNotFoundError):
        return _final(scrub, f"{model} was not found{said}; check the name and the base URL: {detail}", usage)
    if isinstance(error, ai.ModelRequestTimeout):
        return _transient(scrub, f"{model} did not answer within {error.timeout:g} s", usage, FailureCause.TIMEOUT)
    if _api_is_transient(error, status):
        return BackendFailure(
            scrub(f"{model} could not answer now{said}: {detail}"),
            transient=True,
            retry_after_s=error.retry_after,
            usage=usage,
            cause=_cause(error, status),
        )
    return _final(scrub, f"{model} rejected the request{said}: {detail}", usage)


def _api_is_transient(error: Exception, status: int | None) -> bool:
    from pydantic_ai import exceptions as ai

    passing = (ai.ModelRateLimitError, ai.ModelUnavailableError, ai.ModelServerError, ai.ModelConnectionError)
    if isinstance(error, passing):
        return True
    if isinstance(error, ai.ModelRequestRejectedError):
        return False
    # What is left has no category: a status of its own, or none at all, as with a body that is no JSON.
    return status is None or status in _TRANSIENT_STATUS or status >= 500


def _cause(error: Exception, status: int | None) -> FailureCause:
    from pydantic_ai import exceptions as ai

    if status == 429 or isinstance(error, ai.ModelRateLimitError):
        return FailureCause.RATE_LIMIT
    if isinstance(error, ai.ModelConnectionError):
        return FailureCause.NETWORK
    if isinstance(error, (ai.ModelServerError, ai.ModelUnavailableError)) or (status is not None and status >= 500):
        return FailureCause.SERVER
    return FailureCause.OTHER


def _from_transport(error: Exception, model: str, scrub: Scrubber, usage: TokenUsage | None) -> SwarmError | None:
    """Errors of the wire that a provider's SDK let through unwrapped."""
    import httpx2

    if isinstance(error, (httpx2.HTTPError, httpx2.StreamError, OSError, EOFError, json.JSONDecodeError)):
        said = str(error) or type(error).__name__
        return _transient(scrub, f"the connection to {model} failed: {said}", usage, FailureCause.NETWORK)
    return None


def _is_llama_overflow(body: object) -> bool:
    """llama.cpp's own word for a prompt that is too long, which pydantic-ai does not know."""
    return isinstance(body, dict) and body.get("type") == "exceed_context_size_error"


def _detail(error: Exception) -> str:
    """The provider's own sentence where there is one; the library's text around it says the same at length."""
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        inner = body.get("error", body)
        if isinstance(inner, dict) and isinstance(inner.get("message"), str):
            return str(inner["message"])
    return str(error)


def _final(scrub: Scrubber, text: str, usage: TokenUsage | None = None) -> BackendFailure:
    return BackendFailure(scrub(text), transient=False, usage=usage)


def _transient(
    scrub: Scrubber, text: str, usage: TokenUsage | None = None, cause: FailureCause = FailureCause.OTHER
) -> BackendFailure:
    return BackendFailure(scrub(text), transient=True, usage=usage, cause=cause)

"""How providers cache the beginnings of prompts, and what a request must say for it.

- Anthropic (also on Bedrock and OpenRouter) and OpenAI from GPT-5.6 on keep what ends at a breakpoint in the request.
  Writing costs a quarter more than sending, reading a tenth, so there is one, after what all of a run's prompts share.
- Earlier models of OpenAI, and those of Azure, Google and DeepSeek, keep every beginning that is long enough unasked.
  OpenAI sends requests with the same key to the machine that has it.
- Of other providers, and of servers that only speak as OpenAI does, nothing is known: they are sent nothing of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from swarmtally.core.ports import Prompt

if TYPE_CHECKING:
    from pydantic_ai.models import Model

_OPENAI = frozenset({"openai", "openai-chat", "openai-responses"})
_OPENAI_HOST = "api.openai.com"
_UNASKED = _OPENAI | {"azure", "azure-responses", "google", "google-cloud", "deepseek"}
"""Providers that cache without being asked."""

LEAST_TOKENS = 1_024
"""The shortest beginning that most models cache."""

_LEAST_TOKENS = {
    "opus-4-0": LEAST_TOKENS,
    "opus-4-1": LEAST_TOKENS,
    "opus-4-2": LEAST_TOKENS,
    "opus-4-": 4_096,
    "haiku-4": 4_096,
    "haiku": 2_048,
}
"""The shortest beginnings that Anthropic's models cache where they are others, by what is in the model's name (its page
on prompt caching, 2026); the first counts. `opus-4-2` is that of `claude-opus-4-20250514`."""


@dataclass(frozen=True, slots=True)
class Caching:
    """What a provider does with the beginnings of prompts."""

    caches: bool = False
    least_tokens: int = LEAST_TOKENS
    """The shortest beginning that it keeps."""
    marks: bool = False
    """A breakpoint in the request says where it ends."""
    keyed: bool = False
    """A key sends requests that begin alike to the same machine (OpenAI)."""
    explicit: bool = False
    """Unless told otherwise it would also write the rest of each prompt, which nobody reads again (OpenAI)."""

    def settings(self, prompt: Prompt) -> Mapping[str, Any]:
        """What a request says besides its breakpoint. It depends on nothing but the shared beginning."""
        if not prompt.shared_parts:
            return {}
        said: dict[str, Any] = {}
        if self.keyed:
            said["openai_prompt_cache_key"] = f"swarmtally-{prompt.prefix()[prompt.shared_parts][1][:32]}"
        if self.explicit:
            said["openai_prompt_cache_options"] = {"mode": "explicit"}
        return said


def caching_of(provider: str, model: "Model") -> Caching:
    """How `provider` caches for a model of its own, as pydantic-ai built it."""
    profile: Mapping[str, Any] = model.profile
    if provider in _OPENAI:
        # --base-url and OPENAI_BASE_URL lead elsewhere, where the fields of OpenAI's own API may be refused.
        if urlsplit(model.base_url or "").hostname != _OPENAI_HOST:
            return Caching()
        return replace(_with_breakpoints(profile, LEAST_TOKENS), caches=True, keyed=True)
    if profile.get("supports_cache"):
        return _with_breakpoints(profile, _least_tokens(model.model_name))
    return Caching(caches=provider in _UNASKED)


def _with_breakpoints(profile: Mapping[str, Any], least_tokens: int) -> Caching:
    marks = bool(profile.get("supports_cache"))
    explicit = marks and bool(profile.get("openai_supports_prompt_cache_breakpoints"))
    return Caching(marks, least_tokens, marks, explicit=explicit)


def _least_tokens(name: str) -> int:
    if "claude" not in name:
        return LEAST_TOKENS
    return next((least for part, least in _LEAST_TOKENS.items() if part in name), LEAST_TOKENS)

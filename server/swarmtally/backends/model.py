"""Any model pydantic-ai can name, and any server that speaks OpenAI's chat completions."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

import anyio
import anyio.to_thread

from swarmtally.backends import conversation
from swarmtally.backends.caching import Caching, caching_of
from swarmtally.backends.failures import Scrubber, translate
from swarmtally.backends.prices import pricing_of
from swarmtally.backends.tokenizers import tokenizer_of
from swarmtally.core.ports import BackendInfo, Pricing, Prompt, Reply
from swarmtally.domain.errors import BackendFailure, InvalidInput
from swarmtally.domain.usage import TokenUsage

if TYPE_CHECKING:
    from openai.types import CompletionUsage
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import Model
    from pydantic_ai.settings import ModelSettings
    from pydantic_ai.usage import RequestUsage

DEFAULT_CONTEXT_TOKENS = 32_768
"""The context assumed for a model whose own is not known."""

DEFAULT_MAX_OUTPUT_TOKENS = 4_096
DEFAULT_MAX_PARALLEL = 8
DEFAULT_TIMEOUT_S = 300.0

API_KEY_VARIABLE = "SWARMTALLY_API_KEY"

KEY_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "google": ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
}
"""Where each provider's key is looked for, in this order."""

_T = TypeVar("_T")

_NO_KEY = "no-key-needed"


class ModelBackend:
    """A model behind an HTTP API. Make one with `open`; it holds connections until `aclose`."""

    def __init__(
        self,
        model: "Model",
        info: BackendInfo,
        settings: "ModelSettings",
        scrub: Scrubber,
        caching: Caching = Caching(),  # noqa: B008 - frozen
    ) -> None:
        self._model = model
        self._info = info
        self._settings = settings
        self._scrub = scrub
        self._caching = caching
        self._closed = False

    @classmethod
    async def open(
        cls,
        model: str,
        *,
        environ: Mapping[str, str],
        base_url: str | None = None,
        max_output_tokens: int | None = None,
        max_parallel: int = DEFAULT_MAX_PARALLEL,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> Self:
        """Import the provider's SDK and build its client, in a worker thread (1 to 1.5 s the first time).

        Args:
            model: `provider:name`; with `base_url` always `openai:name`.
            environ: Where keys are looked for.
            base_url: An OpenAI-compatible server. Only `SWARMTALLY_API_KEY` is ever sent to it.
            max_output_tokens: The most tokens a reply may have; 4,096 by default.
            max_parallel: Calls at the same time.
            timeout_s: Seconds one call may take from end to end.

        Raises:
            BackendFailure: the provider is unknown, its SDK is missing or its key is not set.
            InvalidInput: `max_output_tokens` leaves no room for a prompt.
        """
        scrub = Scrubber(value for name, value in environ.items() if name.endswith(("_API_KEY", "_TOKEN")))

        def build() -> "Model":
            if base_url is not None:
                return compatible_model(model.removeprefix("openai:"), base_url, environ.get(API_KEY_VARIABLE))
            return _provider_model(model, environ)

        def prepare() -> tuple["Model", int, int, "ModelSettings", Caching, Pricing | None]:
            built = build()
            caching = caching_of(model.split(":")[0], built)
            context = built.context_window or DEFAULT_CONTEXT_TOKENS
            limit = output_limit(max_output_tokens, DEFAULT_MAX_OUTPUT_TOKENS, context, model)
            pricing = pricing_of(built.model_name, built.base_url) if base_url is None else None
            return built, context, limit, call_settings(built, limit, timeout_s), caching, pricing

        built, context_tokens, limit, settings, caching, pricing = await _in_thread(prepare, model, scrub)
        info = BackendInfo(
            name="model",
            model=model,
            base_url=base_url,
            max_parallel=max_parallel,
            reports_tokens=True,
            bound="latency",
            context_tokens=context_tokens,
            max_output_tokens=limit,
            fetches="tool" if base_url is None and built.profile.get("supports_tools", True) else "text",
            caches=caching.caches,
            cache_least_tokens=caching.least_tokens,
            pricing=pricing,
            tokenizer=await anyio.to_thread.run_sync(tokenizer_of, model, base_url),
        )
        await built.__aenter__()
        return cls(built, info, settings, scrub, caching)

    @property
    def info(self) -> BackendInfo:
        return self._info

    async def execute(self, prompt: Prompt) -> Reply:
        """One request, tried once. Cancelling it closes the request.

        Raises:
            ContextExceeded: the prompt did not fit.
            BackendFailure: the call failed, or the reply held no text.
        """
        if self._closed:
            raise BackendFailure(f"{self._info.model} was closed; open it again", transient=False)
        from pydantic_ai.direct import model_request

        try:
            response = await model_request(
                self._model,
                conversation.messages(prompt, self._info, marks=self._caching.marks),
                model_settings=self._settings_for(prompt),
                model_request_parameters=conversation.parameters(prompt, self._info),
            )
        except (IndexError, KeyError, TypeError, RecursionError):
            # The libraries stumble over answers that are JSON and not what the protocol says, such as no choices.
            raise BackendFailure(f"{self._info.model} answered with something unreadable", transient=True) from None
        except Exception as error:
            failure = translate(error, self._info.model, self._scrub)
            if failure is None:
                raise
            # The library's error may quote the request with its key: it must not reach a log as the cause.
            raise failure from None
        return self._reply(response)

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._model.__aexit__(None, None, None)

    def _settings_for(self, prompt: Prompt) -> "ModelSettings":
        settings = self._settings.copy()
        settings.update(self._caching.settings(prompt))  # type: ignore[typeddict-item]  # keys of one provider's own
        if conversation.offers_tool(prompt, self._info) and not prompt.left_out:
            settings["tool_choice"] = "none"
        return settings

    def _reply(self, response: "ModelResponse") -> Reply:
        text = (response.text or "").strip()
        usage = token_usage(response.usage)
        asks = conversation.asks(response)
        if asks:
            return Reply("", usage, asks=asks)
        if text:
            return Reply(text, usage, truncated=response.finish_reason == "length")
        model, reason = self._info.model, response.finish_reason
        if reason == "content_filter":
            raise BackendFailure(f"{model} refused the content", transient=False, usage=usage)
        why = " before its token limit; raise --max-output-tokens" if reason == "length" else ""
        # At the limit the same request would most likely end the same way, and be paid for again.
        raise BackendFailure(f"{model} answered without any text{why}", transient=reason != "length", usage=usage)


def output_limit(asked: int | None, usual: int, context_tokens: int, model: str) -> int:
    """The most tokens a reply may have: what was asked for, else the usual or half of a small context.

    Raises:
        InvalidInput: what was asked for leaves no room for a prompt.
    """
    if asked is None:
        return min(usual, max(1, context_tokens // 2))
    if asked >= context_tokens:
        raise InvalidInput(
            f"--max-output-tokens {asked} leaves no room for a prompt: {model} has {context_tokens} tokens of context "
            "in all; lower it"
        )
    return asked


def call_settings(model: "Model", max_output_tokens: int, timeout_s: float) -> "ModelSettings":
    """What every request to `model` carries. Retries are the scheduler's, so each is one attempt on the wire.

    Blocking: it also imports what the first request needs, so that this does not happen on the event loop.
    """
    import pydantic_ai.direct  # noqa: F401
    from pydantic_ai.settings import ModelSettings

    settings = ModelSettings(max_tokens=max_output_tokens, request_timeout=timeout_s)
    if "max_retries" not in model.unsupported_settings:
        settings["max_retries"] = 0
    return settings


def token_usage(usage: "RequestUsage") -> TokenUsage:
    """The tokens as the provider reported them; what it did not report is None, never 0."""
    if usage.unmeasured_requests:
        return TokenUsage(reason="the provider did not report both its input and its output tokens")
    if not usage.input_tokens:
        # Every prompt has tokens, so a 0 is a figure nobody measured.
        return TokenUsage(reason="the provider reported 0 input tokens, which cannot be")
    # A field that was not reported reads as 0 from the class; only reported ones are in the instance.
    said: Mapping[str, object] = {**usage.details, **vars(usage)}
    return TokenUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=_figure(said, "cache_read_tokens"),
        cache_write_tokens=_figure(said, "cache_write_tokens"),
        reasoning_tokens=_figure(said, "output_reasoning_tokens", "reasoning_tokens"),
    )


def _figure(said: Mapping[str, object], *names: str) -> int | None:
    found = (value for name in names if isinstance(value := said.get(name), int))
    return next(found, None)


async def _in_thread(build: Callable[[], _T], model: str, scrub: Scrubber) -> _T:
    try:
        return await anyio.to_thread.run_sync(build)
    except InvalidInput:
        raise
    except Exception as error:
        failure = translate(error, model, scrub)
        if failure is None:
            raise
        raise failure from None


def compatible_model(name: str, base_url: str, api_key: str | None) -> "Model":
    """A model on an OpenAI-compatible server. Blocking: imports the SDK.

    `OPENAI_API_KEY` is not sent: it belongs to OpenAI, and `base_url` may be anyone's.
    """
    from openai.types.chat import ChatCompletion
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    class CompatibleModel(OpenAIChatModel):
        """Takes an answer whose usage is not whole: it was paid for, only what it used is unknown."""

        def _validate_completion(self, response: ChatCompletion) -> Any:
            response.usage = _whole(getattr(response, "usage", None))
            return super()._validate_completion(response)

    return CompatibleModel(name, provider=OpenAIProvider(base_url=base_url, api_key=api_key or _NO_KEY))


def _whole(usage: object) -> "CompletionUsage | None":
    """The usage when it gives input and output tokens. Their total, which nothing here reads, is optional."""
    from openai.types import CompletionUsage
    from pydantic import ValidationError

    # The SDK has not checked it: fields may be missing or hold anything.
    given = usage.model_dump(warnings=False) if isinstance(usage, CompletionUsage) else None
    try:
        return CompletionUsage.model_validate({**given, "total_tokens": 0} if given else None)
    except ValidationError:
        return None


def _provider_model(model: str, environ: Mapping[str, str]) -> "Model":
    from pydantic_ai.models import infer_model
    from pydantic_ai.providers import Provider, infer_provider, infer_provider_class

    def provider(name: str) -> Provider[object]:
        key = api_key(name, environ)
        if key is None:
            return infer_provider(name)
        with_key: Callable[..., Provider[object]] = infer_provider_class(name)
        return with_key(api_key=key)

    provider_name = model.split(":")[0]
    if ":" not in model:
        return infer_model(model)
    try:
        infer_provider_class(provider_name)
    except ValueError:
        # Without a factory of ours it explains the wrong name and suggests a right one.
        return infer_model(model)
    return infer_model(model, provider)


def provider_address(model: str, environ: Mapping[str, str]) -> str | None:
    """Where calls to `provider:name` go; None when its SDK does not say. Blocking: imports the SDK."""
    return _provider_model(model, environ).base_url


def api_key(provider: str, environ: Mapping[str, str]) -> str | None:
    """The key for `provider`: `SWARMTALLY_API_KEY`, else the provider's own variable, else None."""
    names = (API_KEY_VARIABLE, *KEY_VARIABLES.get(provider, ()))
    return next((environ[name] for name in names if environ.get(name)), None)

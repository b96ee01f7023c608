"""Which backend does the work, and why: decided without a call and without importing a model library."""

import difflib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import anyio.to_thread

from swarmtally.backends.failures import install_remedy
from swarmtally.backends.gguf import PULL_REMEDY, PulledModel, find_model, list_models
from swarmtally.backends.local import LocalBackend
from swarmtally.backends.model import DEFAULT_MAX_PARALLEL, KEY_VARIABLES, ModelBackend
from swarmtally.core.ports import Backend
from swarmtally.domain.errors import InvalidInput, ModelMissing, NoBackend
from swarmtally.domain.run import HOST, SAMPLING, BackendChoice, check_output_tokens

NAMED = "it was named"

_AFTER_CANCEL = {
    "local": "the embedded model's slot stays busy until it has read the stopped call's prompt: at most 8 s were seen",
    "model": "free at once: the connection is closed; the provider may still bill what it had written",
    HOST: "clients are not interrupted; what they report is refused",
}
"""How long a backend's slot stays busy after its call was cancelled."""


@dataclass(frozen=True, slots=True)
class _Default:
    """What a provider is used with when its key is set and nothing was named: its small, current model."""

    provider: str
    module: str
    model: str


_DEFAULTS = (
    _Default("anthropic", "anthropic", "anthropic:claude-haiku-4-5"),
    _Default("openai", "openai", "openai:gpt-5-mini"),
    _Default("google", "google.genai", "google:gemini-3.5-flash-lite"),
)

_PROVIDERS = frozenset(
    """
    alibaba anthropic azure azure-responses bedrock bedrock-mantle cerebras cohere crusoe deepseek fireworks github
    github-copilot google google-cloud groq heroku huggingface litellm local meta mistral moonshotai nebius ollama
    openai openai-chat openai-responses openrouter ovhcloud sambanova snowflake together vercel vllm xai zai
    """.split()  # noqa: SIM905 - thirty lines of list say no more
)
"""Providers pydantic-ai knows, for telling a slip from a name. One that is missing here still works."""

_FAMILIES = {"claude": "anthropic", "gpt": "openai", "o1": "openai", "o3": "openai", "o4": "openai", "gemini": "google"}


def choose(
    front: Literal["mcp", "shell"],
    *,
    model: str | None,
    base_url: str | None,
    max_output_tokens: int | None,
    environ: Mapping[str, str],
    data_dir: Path,
    max_parallel: int | None = None,
) -> BackendChoice:
    """The backend to use, with the reason. Blocks for a few file reads. `max_parallel` is for a provider's and a
    client's model: the embedded one takes one call at a time.

    A named model wins. In the shell a provider whose key is set comes next, then the pulled model; over MCP the calling
    client does the work itself, and nobody's key is spent unasked.

    Raises:
        InvalidInput: the model or the base URL cannot be used.
        ModelMissing: the embedded model was named and is not there.
        NoBackend: nothing was named and nothing was found.
    """
    if model is not None:
        model = model.strip()
    check_output_tokens(max_output_tokens)
    if max_parallel is not None and max_parallel < 1:
        raise InvalidInput(f"max_parallel is {max_parallel}; it must be 1 or more")
    if base_url is not None:
        url, name = _checked_url(base_url), _compatible_name(model)
        choice = BackendChoice("model", name, url, f"{NAMED}, on the server given with --base-url", max_output_tokens)
    elif model:
        choice = _named(model, data_dir, max_output_tokens)
    elif front == "mcp":
        choice = BackendChoice(HOST, HOST, None, "no model was named: the calling client does the work", None)
    else:
        choice = _unasked_shell(environ, data_dir, max_output_tokens)
    return replace(choice, max_parallel=max_parallel) if choice.name == "model" or choice.lent else choice


async def open_backend(choice: BackendChoice, *, environ: Mapping[str, str], data_dir: Path) -> Backend:
    """Open what was chosen, now or before a restart.

    Raises:
        ModelMissing: the embedded model is no longer there.
        NoBackend: the embedded model's libraries are not installed.
        BackendFailure: the provider is unknown, its SDK is missing or its key is not set.
    """
    if choice.name == "local":
        name = choice.model.removeprefix("local:")
        found = await anyio.to_thread.run_sync(_pulled, data_dir, name)
        return await LocalBackend.open(found.path, name=found.name, max_output_tokens=choice.max_output_tokens)
    return await ModelBackend.open(
        choice.model,
        environ=environ,
        base_url=choice.base_url,
        max_output_tokens=choice.max_output_tokens,
        max_parallel=choice.max_parallel or DEFAULT_MAX_PARALLEL,
    )


def after_cancel(choice: BackendChoice) -> str:
    """How long the slots of a backend stay busy when its calls are cancelled."""
    return _AFTER_CANCEL.get(choice.name, "as its program handles cancellation")


def _named(model: str, data_dir: Path, limit: int | None) -> BackendChoice:
    provider, colon, name = model.partition(":")
    if model == "host":
        return BackendChoice(HOST, HOST, None, NAMED, None)
    if model == SAMPLING:
        return BackendChoice(HOST, SAMPLING, None, f"{NAMED}: the client's own model, by sampling requests", limit)
    if provider == "local":
        return _local(_pulled(data_dir, name or None), NAMED, limit)
    if not colon:
        raise InvalidInput(f"{model!r} names no provider; {_suggestion(model, data_dir)}")
    if not name:
        raise InvalidInput(f"{model!r} names no model; write PROVIDER:NAME, such as anthropic:claude-haiku-4-5")
    near = difflib.get_close_matches(provider, sorted(_PROVIDERS), n=1, cutoff=0.75)
    if provider not in _PROVIDERS and near:
        raise InvalidInput(f"no provider {provider!r}; did you mean {near[0]}:{name}?")
    return BackendChoice("model", model, None, NAMED, limit)


def _suggestion(model: str, data_dir: Path) -> str:
    for prefix, provider in _FAMILIES.items():
        if model.lower().startswith(prefix):
            return f"did you mean {provider}:{model}?"
    known = {default.provider: default.model for default in _DEFAULTS} | {
        "local": "local",
        HOST: HOST,
        SAMPLING: SAMPLING,
    }
    known |= {pulled.name: f"local:{pulled.name}" for pulled in list_models(data_dir)}
    near = difflib.get_close_matches(model.lower(), list(known), n=1)
    if near:
        return f"did you mean {known[near[0]]}?"
    return "write PROVIDER:NAME, such as anthropic:claude-haiku-4-5, or give the server with --base-url"


def _compatible_name(model: str | None) -> str:
    if not model:
        raise InvalidInput("--base-url needs a model: name it with --model openai:NAME")
    provider, colon, name = model.partition(":")
    if provider == "openai" and colon:
        if not name:
            raise InvalidInput("--base-url needs a model: name it with --model openai:NAME")
        return model
    # A name may hold a colon of its own (llama3:8b), so only a known provider counts as one.
    if model in (HOST, SAMPLING) or provider in _PROVIDERS:
        raise InvalidInput(f"--base-url goes with --model openai:NAME, not with {model!r}")
    return f"openai:{model}"


def _checked_url(base_url: str) -> str:
    # The text is not repeated: a refused URL may hold a password.
    try:
        parts = urlsplit(base_url.strip())
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise InvalidInput("--base-url is no URL; write http(s)://HOST[:PORT]/PATH") from None
    if parts.scheme not in ("http", "https") or not host or not base_url.strip().isprintable():
        raise InvalidInput("--base-url must be http(s)://HOST[:PORT]/PATH")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidInput(
            "--base-url is stored, so it must hold no user, password or query; give the key in SWARMTALLY_API_KEY"
        )
    return base_url.strip().rstrip("/")


def _pulled(data_dir: Path, name: str | None) -> PulledModel:
    found = find_model(data_dir, name)
    if found is not None:
        return found
    there = ", ".join(f"local:{model.name}" for model in list_models(data_dir))
    if name is not None and there:
        raise ModelMissing(
            f"no model local:{name}; there is {there}. Add one with: swarmtally model pull NAME --path FILE"
        )
    raise ModelMissing(f"the embedded model is not there; fetch it with: {PULL_REMEDY}")


def _local(model: PulledModel, reason: str, limit: int | None) -> BackendChoice:
    return BackendChoice("local", f"local:{model.name}", None, reason, limit)


def _unasked_shell(environ: Mapping[str, str], data_dir: Path, limit: int | None) -> BackendChoice:
    skipped: list[str] = []
    for default, variable in _keys(environ):
        if _importable(default.module):
            reason = "; ".join([f"{variable} is set", *skipped])
            return BackendChoice("model", default.model, None, reason, limit)
        remedy = install_remedy(default.provider)
        skipped.append(f"{variable} is set, but the SDK is not installed: {remedy}")
    found = find_model(data_dir)
    if found is not None:
        why = skipped or ["no provider's key is set"]
        return _local(found, "; ".join(["no model was named, and the embedded one is there", *why]), limit)
    raise NoBackend(
        "; ".join(["no model to work with; name one with --model PROVIDER:NAME, set a provider's API key", *skipped])
        + f", or run `{PULL_REMEDY}`"
    )


def _keys(environ: Mapping[str, str]) -> Iterator[tuple[_Default, str]]:
    for default in _DEFAULTS:
        for variable in KEY_VARIABLES[default.provider]:
            if environ.get(variable):
                yield default, variable
                break


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        # The parent package of a dotted name is missing.
        return False

import contextlib
import sys
from pathlib import Path
from typing import Literal

import pytest

from swarmtally.backends import choice as choice_module
from swarmtally.backends.choice import NAMED, choose, open_backend
from swarmtally.backends.gguf import pull
from swarmtally.backends.model import ModelBackend
from swarmtally.core.ports import Prompt
from swarmtally.domain.errors import InvalidInput, ModelMissing, NoBackend
from swarmtally.domain.run import BackendChoice
from tests.backends.wire import OpenAIWire

KEYS = {name: "k3y-" + name for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY")}


def chosen(
    data_dir: Path,
    model: str | None = None,
    *,
    front: Literal["mcp", "shell"] = "shell",
    base_url: str | None = None,
    environ: dict[str, str] | None = None,
    limit: int | None = None,
) -> BackendChoice:
    found = choose(
        front, model=model, base_url=base_url, max_output_tokens=limit, environ=environ or {}, data_dir=data_dir
    )
    assert not any(key in found.to_json() + repr(found) for key in KEYS.values())
    return found


def pulled(data_dir: Path, name: str = "smollm2") -> None:
    path = data_dir / "file.gguf"
    path.write_bytes(b"GGUF")
    pull(name, data_dir, path)


@pytest.mark.parametrize("front", ["mcp", "shell"])
def test_a_named_model_wins(tmp_path: Path, front: Literal["mcp", "shell"]) -> None:
    pulled(tmp_path)
    found = chosen(tmp_path, "anthropic:claude-haiku-4-5", front=front, environ=KEYS, limit=7)
    assert found == BackendChoice("model", "anthropic:claude-haiku-4-5", None, NAMED, 7)


def test_a_provider_we_have_not_listed_is_left_to_the_library(tmp_path: Path) -> None:
    assert chosen(tmp_path, "gateway/anthropic:claude-haiku-4-5").model == "gateway/anthropic:claude-haiku-4-5"


def test_local_names_the_pulled_model(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="swarmtally model pull smollm2"):
        chosen(tmp_path, "local")
    pulled(tmp_path, "coder")
    assert chosen(tmp_path, "local") == BackendChoice("local", "local:coder", None, NAMED, None)
    assert chosen(tmp_path, "local:coder").model == "local:coder"
    with pytest.raises(ModelMissing, match="there is local:coder"):
        chosen(tmp_path, "local:other")


def test_over_mcp_no_key_is_spent_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pulled(tmp_path)
    found = chosen(tmp_path, front="mcp", environ=KEYS)
    assert (found.name, found.model) == ("host", "host")
    assert found.reason == "no model was named: the calling client does the work"


def test_the_calling_client_can_be_named(tmp_path: Path) -> None:
    assert (chosen(tmp_path, "host").name, chosen(tmp_path, "host").reason) == ("host", NAMED)


def test_a_client_s_model_is_used_when_it_is_named_only(tmp_path: Path) -> None:
    found = chosen(tmp_path, "sampling", limit=500)
    assert (found.name, found.model, found.lent) == ("host", "sampling", True)
    assert found.max_output_tokens == 500
    assert not chosen(tmp_path, front="mcp").lent


def test_the_shell_takes_a_provider_whose_key_is_set_before_the_local_model(tmp_path: Path) -> None:
    pulled(tmp_path)
    found = chosen(tmp_path, environ={"OPENAI_API_KEY": KEYS["OPENAI_API_KEY"]})
    assert (found.name, found.model, found.reason) == ("model", "openai:gpt-5-mini", "OPENAI_API_KEY is set")


@pytest.fixture
def without_anthropic(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if its SDK were not installed."""
    monkeypatch.setitem(sys.modules, "anthropic", None)


@pytest.mark.usefixtures("without_anthropic")
def test_the_reason_tells_what_was_skipped(tmp_path: Path) -> None:
    found = chosen(tmp_path, environ=KEYS)
    assert found.model == "openai:gpt-5-mini"
    assert found.reason.startswith("OPENAI_API_KEY is set; ANTHROPIC_API_KEY is set, but the SDK is not installed: ")
    assert found.reason.endswith("-m pip install 'pydantic-ai-slim[anthropic]'")


def test_the_order_of_providers_and_their_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    for module in ("anthropic", "google/genai"):
        (site / module).mkdir(parents=True)
        (site / module / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(site))
    assert chosen(tmp_path, environ=KEYS).model == "anthropic:claude-haiku-4-5"
    for variable in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        found = chosen(tmp_path, environ={variable: "x"})
        assert found.model.startswith("google:gemini-")
        assert found.reason == f"{variable} is set"
    sys.modules.pop("google", None)


@pytest.mark.usefixtures("without_anthropic")
def test_the_shell_falls_back_to_the_local_model_and_says_why(tmp_path: Path) -> None:
    pulled(tmp_path)
    assert "no provider's key is set" in chosen(tmp_path).reason
    found = chosen(tmp_path, environ={"ANTHROPIC_API_KEY": "x"})
    assert found.model == "local:smollm2"
    assert "pydantic-ai-slim[anthropic]" in found.reason


def test_a_key_of_google_without_its_sdk_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(NoBackend, match=r"GEMINI_API_KEY is set, but .*pydantic-ai-slim\[google\]"):
        chosen(tmp_path, environ={"GEMINI_API_KEY": "x"})


@pytest.mark.usefixtures("without_anthropic")
def test_the_shell_with_nothing_names_the_remedies(tmp_path: Path) -> None:
    for environ in ({}, {"ANTHROPIC_API_KEY": "x"}, {"ANTHROPIC_API_KEY": ""}):
        with pytest.raises(NoBackend, match="swarmtally model pull smollm2") as caught:
            chosen(tmp_path, environ=environ)
        assert "\n" not in str(caught.value)
        assert ("pydantic-ai-slim[anthropic]" in str(caught.value)) == bool(environ.get("ANTHROPIC_API_KEY"))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("hosts", "did you mean host"),
        ("samplings", "did you mean sampling"),
        ("claude-haiku-4-5", "anthropic:claude-haiku-4-5"),
        ("gpt-5-mini", "openai:gpt-5-mini"),
        ("gemini-3.8-flash", "google:gemini-3.8-flash"),
        ("smolm2", "local:smollm2"),
        ("lokal", "did you mean local"),
        ("zzz", "PROVIDER:NAME"),
        ("antropic:claude-haiku-4-5", "anthropic:claude-haiku-4-5"),
        ("openai:", "names no model"),
    ],
)
def test_a_wrong_name_is_refused_with_a_right_one(tmp_path: Path, model: str, said: str) -> None:
    pulled(tmp_path)
    with pytest.raises(InvalidInput, match=said):
        chosen(tmp_path, model)


@pytest.mark.parametrize("model", ["openai:llama3:8b", "llama3:8b"])
def test_a_base_url_takes_any_name(tmp_path: Path, model: str) -> None:
    found = chosen(tmp_path, model, base_url="http://127.0.0.1:11434/v1/")
    assert (found.name, found.model, found.base_url) == ("model", "openai:llama3:8b", "http://127.0.0.1:11434/v1")


@pytest.mark.parametrize("model", [None, "", "openai:", "anthropic:claude-haiku-4-5", "local", "host"])
def test_a_base_url_needs_an_openai_model(tmp_path: Path, model: str | None) -> None:
    with pytest.raises(InvalidInput, match="--base-url"):
        chosen(tmp_path, model, base_url="http://127.0.0.1/v1")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/v1",
        "host:80/v1",
        "http://",
        "http:///v1",
        "http://user:hunter2@host/v1",
        "http://hunter2@host/v1",
        "https://host/v1?key=hunter2",
        "https://host/v1#hunter2",
        "http://host:port/hunter2",
        "http://[hunter2/v1",
        "http://host/\x00hunter2",
    ],
)
def test_a_base_url_that_is_none_or_holds_a_secret_is_refused_without_repeating_it(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        chosen(tmp_path, "openai:m", base_url=url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("limit", [0, -1, 1_000_001, 10**24])
def test_a_limit_that_cannot_be_is_refused(tmp_path: Path, limit: int) -> None:
    with pytest.raises(InvalidInput, match=f"max_output_tokens is {limit}; it must be 1 to 1000000"):
        chosen(tmp_path, "openai:m", limit=limit)


def test_what_we_recommend_is_known_to_the_library() -> None:
    from pydantic_ai.models import known_model_names
    from pydantic_ai.providers import infer_provider_class

    known = {name.split(":")[0] for name in known_model_names()}
    for default in choice_module._DEFAULTS:
        assert default.provider in known
    names = set(known_model_names())
    assert {"anthropic:claude-haiku-4-5", "google:gemini-3.5-flash-lite"} <= names
    for provider in choice_module._PROVIDERS - {"local"}:
        # An ImportError means: known, but its SDK is not installed here.
        with contextlib.suppress(ImportError):
            infer_provider_class(provider)


async def test_an_opened_choice_works_and_survives_being_stored(wire: OpenAIWire, tmp_path: Path) -> None:
    stored = chosen(tmp_path, "m1", base_url=wire.base_url, limit=11).to_json()
    backend = await open_backend(BackendChoice.from_json(stored), environ={}, data_dir=tmp_path)
    assert isinstance(backend, ModelBackend)
    assert (await backend.execute(Prompt("", ("hi",)))).text
    assert backend.info.max_output_tokens == 11
    await backend.aclose()


async def test_calls_at_once_are_a_provider_s_model_s_only(wire: OpenAIWire, tmp_path: Path) -> None:
    def named(model: str | None, base_url: str | None = None) -> BackendChoice:
        return choose(
            "mcp", model=model, base_url=base_url, max_output_tokens=None, environ={}, data_dir=tmp_path, max_parallel=3
        )

    assert named(None).max_parallel is None
    stored = named("m1", wire.base_url).to_json()
    backend = await open_backend(BackendChoice.from_json(stored), environ={}, data_dir=tmp_path)
    assert backend.info.max_parallel == 3
    await backend.aclose()
    with pytest.raises(InvalidInput, match="max_parallel is 0; it must be 1 or more"):
        choose(
            "mcp", model="openai:m", base_url=None, max_output_tokens=None, environ={}, data_dir=tmp_path,
            max_parallel=0,
        )  # fmt: skip


async def test_a_local_choice_whose_file_went_is_model_missing(tmp_path: Path) -> None:
    gone = BackendChoice("local", "local:gone", None, "", None)
    with pytest.raises(ModelMissing, match="model pull"):
        await open_backend(gone, environ={}, data_dir=tmp_path)

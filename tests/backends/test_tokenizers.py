"""Exact counts: only with the library, only for OpenAI's own models, and only from a table that is on the machine.

With SWARMTALLY_TEST_TABLES naming a folder that holds tiktoken's cache, the tables themselves are tested too.
"""

import hashlib
import os
import socket
from pathlib import Path

import pytest

from swarmtally.backends.tokenizers import tokenizer_of

TABLE = hashlib.sha1(b"https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken").hexdigest()


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nothing here may reach for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_a_table_that_is_not_there_is_not_downloaded(cache: Path) -> None:
    assert tokenizer_of("openai:gpt-5-mini", None) is None
    assert list(cache.iterdir()) == []


def test_a_damaged_table_is_left_alone(cache: Path) -> None:
    (cache / TABLE).write_bytes(b"damaged")
    assert tokenizer_of("openai:gpt-5-mini", None) is None
    assert (cache / TABLE).read_bytes() == b"damaged"


@pytest.mark.parametrize(
    ("model", "base_url"),
    [("anthropic:claude-haiku-4-5", None), ("openai:gpt-5-mini", "http://127.0.0.1:1/v1"), ("openai:nobody", None)],
)
def test_only_openai_s_own_models_have_one(model: str, base_url: str | None) -> None:
    assert tokenizer_of(model, base_url) is None


@pytest.mark.skipif("SWARMTALLY_TEST_TABLES" not in os.environ, reason="needs tiktoken's tables")
def test_a_table_that_is_there_counts_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tiktoken")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", os.environ["SWARMTALLY_TEST_TABLES"])
    found = tokenizer_of("openai:gpt-5-mini", None)
    assert found is not None
    assert (found.name, found.count("hello world"), found.count("<|endoftext|>")) == ("o200k_base", 2, 7)

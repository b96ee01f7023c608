"""Exact counts for OpenAI's models, where the extra `tokenizers` is installed and its tables are on this machine.

tiktoken downloads a table that it does not find in its cache. It is only asked for tables that lie there, whole, so
that nothing here reaches for the network; without one, input is estimated.
"""

import hashlib
import importlib.util
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiktoken import Encoding

_TABLE = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
"""tiktoken's cache names a table by the sha1 of its address."""

_SHA256 = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
"""Of the tables, as tiktoken 0.14 checks them: with another it would download again."""

PROVIDER = "openai:"


@dataclass(frozen=True, slots=True)
class ExactTokenizer:
    """A vocabulary of OpenAI's."""

    encoding: "Encoding"

    @property
    def name(self) -> str:
        return self.encoding.name

    def count(self, text: str) -> int:
        return len(self.encoding.encode_ordinary(text))


def tokenizer_of(model: str, base_url: str | None) -> ExactTokenizer | None:
    """The tokenizer of `provider:name`; None where there is none to be had here. Blocking: reads its table.

    Args:
        base_url: a server of somebody's own, whose models have vocabularies that their names do not tell.
    """
    if base_url is not None or not model.startswith(PROVIDER) or importlib.util.find_spec("tiktoken") is None:
        return None
    import tiktoken

    try:
        name = tiktoken.encoding_name_for_model(model.removeprefix(PROVIDER))
    except KeyError:
        return None
    return ExactTokenizer(tiktoken.get_encoding(name)) if _is_here(name) else None


def _is_here(name: str) -> bool:
    """Whether tiktoken finds the table in its cache, which its own variables name, and takes it."""
    usual = str(Path(tempfile.gettempdir(), "data-gym-cache"))
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR", usual))
    if name not in _SHA256 or not folder:
        return False
    table = Path(folder, hashlib.sha1(_TABLE.format(name).encode(), usedforsecurity=False).hexdigest())
    return table.is_file() and hashlib.sha256(table.read_bytes()).hexdigest() == _SHA256[name]

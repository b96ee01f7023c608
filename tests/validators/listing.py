"""What the tools' definitions take of a model's context."""

import json

from swarmtally.backends.gguf import find_model
from swarmtally.settings import data_dir
from swarmtally.version import __version__
from swarmtally_tools import registry
from tests.validators.installed import Installed
from tests.validators.verdict import Verdict

AT_MOST = 6_500
"""Tokens of all names, descriptions and input schemas."""

_BYTES_PER_TOKEN = 3.5
"""Fewer than in any tokenizer we counted with, so that the figure is not too small."""


def run(_installed: Installed) -> Verdict:
    parts = [[tool.name, tool.description, tool.input_schema] for tool in registry.load_all()]
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    size = len(text.encode())
    model = find_model(data_dir())
    by_bytes = f"{size / _BYTES_PER_TOKEN:,.0f} tokens ({size:,} bytes at {_BYTES_PER_TOKEN} each)"
    counted: tuple[str, ...] = ("counted by bytes only: the embedded model was not pulled",)
    tokens = size / _BYTES_PER_TOKEN
    if model is not None:
        # Imported here: it needs the embedded model's library.
        from benchmarks.embedded_tokenizer import embedded_counter

        with embedded_counter(model.path) as count:
            counted = (f"counted by the embedded model's tokenizer: {count(text):,} tokens",)
    return Verdict(
        "tool definitions", __version__, f"{len(parts)} tools: {by_bytes}", f"{AT_MOST:,}", tokens <= AT_MOST, counted
    )

"""Counts tokens as the embedded model does: a server with that model is asked, on loopback."""

import http.client
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import xllamacpp


@contextmanager
def embedded_counter(path: Path) -> Iterator[Callable[[str], int]]:
    """What counts a text's tokens as the model at `path` does."""
    key = secrets.token_urlsafe(32)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = 512
    parameters.hostnames, parameters.port, parameters.api_keys = ["127.0.0.1"], 0, [key]
    parameters.ui, parameters.verbosity = False, 0
    server = xllamacpp.Server(parameters)
    connection = http.client.HTTPConnection(server.listening_address.removeprefix("http://"), timeout=60)

    @lru_cache(maxsize=4_096)
    def count(text: str) -> int:
        head = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        connection.request("POST", "/tokenize", body=json.dumps({"content": text}), headers=head)
        return len(json.loads(connection.getresponse().read())["tokens"])

    try:
        yield count
    finally:
        connection.close()

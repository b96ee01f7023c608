"""Counts tokens as the embedded model does: a server with that model is asked, on loopback."""

import http.client
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import xllamacpp

from swarmtally.backends.gguf import find_model
from swarmtally.settings import data_dir


@contextmanager
def embedded_counter() -> Iterator[Callable[[str], int] | None]:
    """What counts a text's tokens; None when the model was not pulled."""
    model = find_model(data_dir())
    if model is None:
        yield None
        return
    key = secrets.token_urlsafe(32)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model.path)
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

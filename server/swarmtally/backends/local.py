"""The embedded model: llama.cpp inside this process, on loopback, behind a random key.

Facts this rests on, measured with xllamacpp 2026.10:
- Dropping the `Server` while a client with a request under way is connected hangs for ever, and holds the GIL, so
  the whole process stops. That also happens when the interpreter drops it at exit. Once the client's socket is
  closed the drop ends within a second (the server's own poll) and the batch being read.
- So it is dropped only once our sockets are closed, and pinned for the rest of the process otherwise.
- With llama.cpp's default batch of 2,048 tokens such a drop took 8 s on two cores; 128 made it 0.4 s at nearly the
  same speed (245 tokens/s in instead of 269).
- Asking for its metrics in a loop keeps it from noticing that a client left: do not poll it.
- A client that never finishes its request holds the drop up for `timeout_read`, 3,600 s by default.
"""

import ctypes
import http.client
import json
import os
import secrets
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import anyio
import anyio.to_thread
import psutil

from swarmtally.backends.failures import Scrubber
from swarmtally.backends.model import DEFAULT_TIMEOUT_S, ModelBackend, call_settings, output_limit
from swarmtally.core.ports import BackendInfo, Prompt, Reply
from swarmtally.domain.errors import ModelMissing, NoBackend

if TYPE_CHECKING:
    import httpx2
    from pydantic_ai.models import Model
    from pydantic_ai.settings import ModelSettings

LIBRARIES_REMEDY = f"{shlex.quote(sys.executable)} -m pip install xllamacpp 'pydantic-ai-slim[openai]'"

DEFAULT_MAX_OUTPUT_TOKENS = 96
CONTEXT_TOKENS = 8_192
TEMPERATURE = 0.2
SEED = 7

_BATCH_TOKENS = 128
_PROMPT_CACHE_MIB = 512
_READ_TIMEOUT_S = 1
_DISCONNECT_WAIT_S = 1.0
_DISCONNECT_POLL_S = 0.01


class _Started(NamedTuple):
    server: Any
    model: "Model"
    client: "httpx2.AsyncClient"
    settings: "ModelSettings"
    context_tokens: int
    max_output_tokens: int
    key: str


class LocalBackend:
    """A gguf model in this process. Make one with `open`; `aclose` frees its memory and its port."""

    def __init__(self, server: object, client: "httpx2.AsyncClient", calls: ModelBackend) -> None:
        self._server: Any = server
        self._client = client
        self._calls = calls

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        name: str | None = None,
        max_output_tokens: int | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> Self:
        """Load the model, in a worker thread (0.5 to 1 s for 100 MB, and 1.5 s once for the libraries).

        Args:
            path: The gguf file.
            name: What to call it; the file's stem by default.
            max_output_tokens: The most tokens a reply may have; 96 by default.
            timeout_s: Seconds one call may take from end to end.

        Raises:
            NoBackend: the libraries are not installed.
            ModelMissing: the file cannot be loaded.
            InvalidInput: `max_output_tokens` leaves no room for a prompt.
        """
        model = f"local:{name or path.stem}"
        # A start that was cancelled half-way would leave a server nobody can end.
        with anyio.CancelScope(shield=True):
            started = await anyio.to_thread.run_sync(_start, path, model, max_output_tokens, timeout_s)
        info = BackendInfo(
            name="local",
            model=model,
            base_url=None,
            max_parallel=1,
            reports_tokens=True,
            bound="compute",
            context_tokens=started.context_tokens,
            max_output_tokens=started.max_output_tokens,
            fetches="text",
        )
        calls = ModelBackend(started.model, info, started.settings, Scrubber([started.key]))
        return cls(started.server, started.client, calls)

    @property
    def info(self) -> BackendInfo:
        return self._calls.info

    async def execute(self, prompt: Prompt) -> Reply:
        """One request. See `ModelBackend.execute`."""
        return await self._calls.execute(prompt)

    async def aclose(self) -> None:
        """Close the connections and end the server: 0.03 s when it is idle, about 1 s after a cancelled call.

        A server somebody is still connected to is left to the end of the process: dropping it would hang for ever.
        """
        if self._server is None:
            return
        holder, self._server = [self._server], None
        port = int(holder[0].listening_address.rpartition(":")[2])
        with anyio.CancelScope(shield=True):
            await self._calls.aclose()
            await self._client.aclose()
            if await _disconnected(port):
                # Elsewhere than on the event loop's thread; it still holds the GIL while it lasts.
                await anyio.to_thread.run_sync(holder.clear)
            else:
                _pin(holder[0])


async def _disconnected(port: int) -> bool:
    """Whether our sockets are closed. The loop closes them some turns after the client was told to."""
    with anyio.move_on_after(_DISCONNECT_WAIT_S):
        while await anyio.to_thread.run_sync(_connections, port):  # noqa: ASYNC110 - sockets tell nobody
            await anyio.sleep(_DISCONNECT_POLL_S)
        return True
    return False


def _connections(port: int) -> int:
    """Sockets of this process that are connected to `port`."""
    found = psutil.Process().net_connections("tcp4")
    return sum(1 for socket in found if socket.raddr and socket.raddr.port == port)


def _pin(server: object) -> None:
    """Keep even the interpreter from dropping it: an exit that hangs is worse than memory the system takes back."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(server))


def _start(path: Path, name: str, max_output_tokens: int | None, timeout_s: float) -> _Started:
    # Read by GNU OpenMP as it is loaded. By default its threads spin long while they wait for each other; where another
    # program wants the same cores that is ruinous. Three calls on two cores, alone / beside a second model: default
    # 3.3 / over 20 s each, no spinning (OMP_WAIT_POLICY=PASSIVE) 5.6 / 6.2 s, 1,000 turns 3.5 / 7.2 s.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        import httpx2
        import xllamacpp
        from openai import AsyncOpenAI
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider
    except ImportError:
        raise NoBackend(f"the embedded model needs: {LIBRARIES_REMEDY}") from None
    if not path.is_file():
        raise ModelMissing(f"{path} is not there; fetch a model with: swarmtally model pull smollm2")
    key = secrets.token_urlsafe(32)
    try:
        server = xllamacpp.Server(_parameters(xllamacpp, path, key))
    except RuntimeError as error:
        raise ModelMissing(f"{path} cannot be loaded ({error}); is it a complete gguf file?") from None
    context_tokens = _context_tokens(server.listening_address, key)
    limit = output_limit(max_output_tokens, DEFAULT_MAX_OUTPUT_TOKENS, context_tokens, name)
    # A proxy named in the environment must not see calls to ourselves.
    client = httpx2.AsyncClient(trust_env=False, timeout=timeout_s)
    url = f"{server.listening_address}/v1"
    sdk = AsyncOpenAI(base_url=url, api_key=key, http_client=client, max_retries=0)
    model = OpenAIChatModel(path.stem, provider=OpenAIProvider(openai_client=sdk))
    settings = call_settings(model, limit, timeout_s)
    settings["temperature"], settings["seed"] = TEMPERATURE, SEED
    return _Started(server, model, client, settings, context_tokens, limit, key)


def _parameters(xllamacpp: Any, path: Path, key: str) -> Any:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = 1
    parameters.n_batch = parameters.n_ubatch = _BATCH_TOKENS
    parameters.cache_ram_mib = _PROMPT_CACHE_MIB
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [key]
    parameters.timeout_read = _READ_TIMEOUT_S
    parameters.ui = False
    parameters.endpoint_slots = False
    # With the default `*` it answers any web page that asks; with nothing, no page may read an answer.
    parameters.cors_origins = ""
    parameters.cors_credentials = False
    parameters.verbosity = 0  # stdout belongs to the protocol
    return parameters


def _context_tokens(address: str, key: str) -> int:
    """The context the server made, or the one the model was trained with where that is smaller."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
        meta = json.loads(connection.getresponse().read())["data"][0]["meta"]
    finally:
        connection.close()
    return min(int(meta["n_ctx"]), int(meta.get("n_ctx_train") or CONTEXT_TOKENS))

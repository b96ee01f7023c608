"""Whether a backend can be reached just now, found out without a call that costs tokens.

A key goes only to the server it belongs to: `SWARMTALLY_API_KEY` to the base URL it was set for. A provider's own key
is not sent at all; its address is asked without one, and any answer says that it is there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from swarmtally.backends.failures import Scrubber, translate
from swarmtally.backends.gguf import PULL_REMEDY, find_model, is_intact
from swarmtally.backends.local import LIBRARIES_REMEDY
from swarmtally.backends.model import API_KEY_VARIABLE, provider_address
from swarmtally.backends.own import OWN
from swarmtally.domain.health import Finding, Status, ok
from swarmtally.domain.run import HOST, BackendChoice

if TYPE_CHECKING:
    import httpx2

TIMEOUT_S = 5.0
"""How long an answer is waited for."""

_REFUSED = (401, 403)
_TOO_MANY = 429
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class _Target:
    """What is asked, with the headers that may go there."""

    url: str
    headers: Mapping[str, str]
    remedy: str
    timeout_s: float
    provider: bool = False
    """The address of a provider, asked without a key: what it says of keys or paths does not matter."""


async def reach(
    choice: BackendChoice, *, environ: Mapping[str, str], data_dir: Path, timeout_s: float = TIMEOUT_S
) -> Finding:
    """What was chosen, and whether it is there: an HTTP request, or a look at the embedded model's file.

    Raises:
        BackendFailure: the provider is unknown, its SDK is missing or its key is not set.
    """
    if choice.name == HOST:
        return ok(f"{HOST}: the calling client does the work; there is nothing to reach")
    if choice.name == OWN:
        return ok(f"{choice.model}: brought by the program itself; it has no address that could be asked")
    if choice.name == "local":
        return await anyio.to_thread.run_sync(_local, choice, data_dir, abandon_on_cancel=True)
    scrub = Scrubber(value for name, value in environ.items() if name.endswith(("_API_KEY", "_TOKEN")))
    if choice.base_url is not None:
        key = environ.get(API_KEY_VARIABLE)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        remedy = "start the server there, or name another with --base-url"
        return await _ask(choice, _Target(f"{choice.base_url}/models", headers, remedy, timeout_s), scrub)
    address = await _address(choice.model, environ, scrub)
    if address is None:
        return ok(f"{choice.model}: its SDK and key are there; its address is not known, so it was not asked")
    remedy = "check the network and the provider's status"
    return await _ask(choice, _Target(address, {}, remedy, timeout_s, provider=True), scrub)


async def _address(model: str, environ: Mapping[str, str], scrub: Scrubber) -> str | None:
    try:
        return await anyio.to_thread.run_sync(provider_address, model, environ, abandon_on_cancel=True)
    except Exception as error:
        failure = translate(error, model, scrub)
        if failure is None:
            raise
        raise failure from None


async def _ask(choice: BackendChoice, target: _Target, scrub: Scrubber) -> Finding:
    status: int | None = None
    fault = f"no answer within {target.timeout_s:g} s"
    client, errors = await anyio.to_thread.run_sync(_client, abandon_on_cancel=True)
    with anyio.move_on_after(target.timeout_s):
        try:
            async with client, client.stream("GET", target.url, headers=dict(target.headers)) as response:
                # The body is left unread: it may be long, or never end.
                status = response.status_code
        except errors as error:
            fault = scrub(str(error) or type(error).__name__)
    subject = f"{choice.model} at {target.url}"
    if status is None:
        return Finding(Status.FAILED, f"{subject} cannot be reached: {fault}", target.remedy)
    return _judged(status, subject, target)


def _judged(status: int, subject: str, target: _Target) -> Finding:
    detail = f"{subject} answered with HTTP {status}"
    if status >= _SERVER_ERROR or status == _TOO_MANY:
        return Finding(Status.DEGRADED, f"{detail}: it cannot answer now", "wait, or name another model with --model")
    if target.provider:
        return ok(f"{detail}; its key was not sent, so it is not checked")
    if status in _REFUSED:
        key = "the key" if target.headers else "a call without a key"
        return Finding(Status.FAILED, f"{detail}: it refused {key}", f"set {API_KEY_VARIABLE} to the server's key")
    return ok(detail)


def _client() -> tuple["httpx2.AsyncClient", tuple[type[Exception], ...]]:
    """A client and the errors of the wire. Blocking: imports the library and reads certificates."""
    import httpx2

    client = httpx2.AsyncClient(timeout=None)
    return client, (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError)


def _local(choice: BackendChoice, data_dir: Path) -> Finding:
    if find_spec("xllamacpp") is None or find_spec("openai") is None:
        return Finding(Status.FAILED, f"{choice.model}: xllamacpp or the openai SDK is missing", LIBRARIES_REMEDY)
    model = find_model(data_dir, choice.model.removeprefix("local:"))
    if model is None:
        return Finding(Status.FAILED, f"{choice.model}: its file is gone or was changed in size", PULL_REMEDY)
    subject = f"{choice.model}: {model.path}, {model.size_bytes} bytes"
    if not is_intact(model):
        what = "its sha256 is not the one on record" if model.sha256 else "it is no gguf file any more"
        return Finding(Status.FAILED, f"{subject}: {what}", PULL_REMEDY)
    return ok(f"{subject}: {'its sha256 is right' if model.sha256 else 'a gguf file of the recorded size'}")

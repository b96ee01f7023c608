"""Whether a backend is there: closed ports, refusals, silence, and keys that go nowhere but to their own server."""

import socket
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from swarmtally.backends import gguf
from swarmtally.backends.own import OWN
from swarmtally.backends.reach import reach
from swarmtally.domain.errors import BackendFailure
from swarmtally.domain.health import Finding, Status
from swarmtally.domain.run import BackendChoice
from tests.backends.wire import Hold, OpenAIWire, failure, held

OWN_KEY = "sk-of-the-provider"
URL_KEY = "sk-of-the-server"


def at(base_url: str) -> BackendChoice:
    return BackendChoice("model", "openai:test", base_url, "chosen by the test", None)


def named(name: str, model: str) -> BackendChoice:
    return BackendChoice(name, model, None, "chosen by the test", None)


async def asked(wire: OpenAIWire, place: Path, **environ: str) -> Finding:
    return await reach(at(wire.base_url), environ=environ, data_dir=place)


async def test_a_server_that_answers_is_there_and_gets_no_work(tmp_path: Path) -> None:
    async with OpenAIWire() as wire:
        finding = await asked(wire, tmp_path)
        (request,) = wire.requests
    assert finding == Finding(Status.OK, f"openai:test at {wire.base_url}/models answered with HTTP 200")
    assert (request.path, request.body) == ("/v1/models", {})
    assert "authorization" not in request.headers


async def test_only_the_servers_own_key_is_sent_to_it(tmp_path: Path) -> None:
    async with OpenAIWire() as wire:
        await asked(wire, tmp_path, OPENAI_API_KEY=OWN_KEY, SWARMTALLY_API_KEY=URL_KEY)
        (request,) = wire.requests
        await asked(wire, tmp_path, OPENAI_API_KEY=OWN_KEY)
        assert "authorization" not in wire.requests[1].headers
    assert request.headers["authorization"] == f"Bearer {URL_KEY}"
    assert OWN_KEY not in str(request)


async def test_a_closed_port_fails(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    finding = await reach(at(f"http://127.0.0.1:{port}/v1"), environ={}, data_dir=tmp_path)
    assert finding.status is Status.FAILED
    assert f"openai:test at http://127.0.0.1:{port}/v1/models cannot be reached: " in finding.detail
    assert finding.remedy == "start the server there, or name another with --base-url"


async def test_a_server_that_never_answers_fails_in_time(tmp_path: Path) -> None:
    async with OpenAIWire() as wire:
        wire.script(held(Hold()))
        with anyio.fail_after(30):
            finding = await reach(at(wire.base_url), environ={}, data_dir=tmp_path, timeout_s=0.2)
    assert finding.status is Status.FAILED
    assert finding.detail.endswith("cannot be reached: no answer within 0.2 s")


@pytest.mark.parametrize(
    ("status", "expected", "words"),
    [
        (401, Status.FAILED, "it refused the key"),
        (403, Status.FAILED, "it refused the key"),
        (404, Status.OK, "answered with HTTP 404"),
        (429, Status.DEGRADED, "it cannot answer now"),
        (503, Status.DEGRADED, "it cannot answer now"),
    ],
)
async def test_what_a_server_answers_is_judged(tmp_path: Path, status: int, expected: Status, words: str) -> None:
    async with OpenAIWire() as wire:
        wire.script(failure(status))
        finding = await asked(wire, tmp_path, SWARMTALLY_API_KEY=URL_KEY)
    assert finding.status is expected
    assert words in finding.detail
    assert (finding.remedy is None) == (expected is Status.OK)
    assert URL_KEY not in str(finding)


async def test_a_redirection_is_not_followed_with_the_key(tmp_path: Path) -> None:
    async with OpenAIWire() as wire, OpenAIWire() as elsewhere:
        wire.script(failure(307, headers={"Location": f"{elsewhere.base_url}/models"}))
        await asked(wire, tmp_path, SWARMTALLY_API_KEY=URL_KEY)
        assert elsewhere.requests == []


async def test_a_providers_address_is_asked_without_any_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with OpenAIWire() as wire:
        monkeypatch.setenv("OPENAI_BASE_URL", wire.base_url)
        wire.script(failure(401))
        finding = await reach(
            named("model", "openai:gpt-5-mini"), environ={"OPENAI_API_KEY": OWN_KEY}, data_dir=tmp_path
        )
        (request,) = wire.requests
    assert finding.status is Status.OK
    assert "its key was not sent" in finding.detail
    assert OWN_KEY not in str(request)
    assert "authorization" not in request.headers


async def test_a_provider_that_nobody_knows_is_refused_as_a_run_would_be(tmp_path: Path) -> None:
    with pytest.raises(BackendFailure, match="cannot be used"):
        await reach(named("model", "nobody:x"), environ={}, data_dir=tmp_path)


@pytest.mark.parametrize("choice", [named("host", "host"), named(OWN, "mine")])
async def test_what_has_no_address_says_so(tmp_path: Path, choice: BackendChoice) -> None:
    finding = await reach(choice, environ={}, data_dir=tmp_path)
    assert finding.status is Status.OK
    assert finding.detail.startswith(f"{choice.model}: ")


async def _own_model(place: Path) -> Path:
    path = place / "own.gguf"
    path.write_bytes(b"GGUF and more")
    await anyio.to_thread.run_sync(gguf.pull, "own", place, path)
    return path


async def test_an_embedded_model_is_there_until_its_file_is_changed(tmp_path: Path) -> None:
    path, choice = await _own_model(tmp_path), named("local", "local:own")
    finding = await reach(choice, environ={}, data_dir=tmp_path)
    assert finding.status is Status.OK
    assert str(path) in finding.detail
    path.write_bytes(b"gone and more")
    finding = await reach(choice, environ={}, data_dir=tmp_path)
    assert finding.status is Status.FAILED
    assert finding.detail.endswith("it is no gguf file any more")
    path.unlink()
    finding = await reach(choice, environ={}, data_dir=tmp_path)
    assert (finding.status, finding.remedy) == (Status.FAILED, gguf.PULL_REMEDY)


async def test_a_pulled_model_with_one_byte_changed_is_not_intact(tmp_path: Path) -> None:
    path = tmp_path / "whole.gguf"
    path.write_bytes(b"GGUF and more")
    model = gguf.PulledModel("whole", path, 13, gguf._sha256(path))
    await anyio.to_thread.run_sync(gguf._record, tmp_path, model)
    assert (await reach(named("local", "local:whole"), environ={}, data_dir=tmp_path)).status is Status.OK
    path.write_bytes(b"GGUF and mora")
    finding = await reach(named("local", "local:whole"), environ={}, data_dir=tmp_path)
    assert finding.status is Status.FAILED
    assert "sha256 is not the one on record" in finding.detail

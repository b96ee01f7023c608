import asyncio
import ctypes
import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

import swarmtally
from swarmtally import RunKind, SparcRequest
from swarmtally.backends import local
from swarmtally.backends.choice import choose, open_backend
from swarmtally.backends.gguf import PulledModel
from swarmtally.backends.local import LocalBackend
from swarmtally.core.ports import Prompt
from swarmtally.domain.errors import BackendFailure, ContextExceeded, InvalidInput, ModelMissing, NoBackend

SHORT = Prompt("You are brief.", ("Say hello.",))
LONG = Prompt("", (" ".join(f"word{n}" for n in range(1500)),))


@pytest.fixture(autouse=True)
def metered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch the server's metrics on, so that a test can see when it works."""
    made = local._parameters

    def with_metrics(*arguments: Any) -> Any:
        parameters = made(*arguments)
        parameters.endpoint_metrics = True
        return parameters

    monkeypatch.setattr(local, "_parameters", with_metrics)


def processing(server: Any) -> bool:
    lines = server.handle_metrics().splitlines()
    return any(line.startswith("llamacpp:requests_processing") and not line.endswith(" 0") for line in lines)


@pytest_asyncio.fixture
async def backend(pulled: PulledModel) -> AsyncIterator[LocalBackend]:
    backend = await LocalBackend.open(pulled.path, max_output_tokens=16)
    yield backend
    await backend.aclose()


def address(backend: LocalBackend) -> str:
    return str(backend._server.listening_address).removeprefix("http://")


def asked(where: str, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection(where, timeout=5)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        response.read()
        return response.status, {name.lower(): value for name, value in response.getheaders()}
    finally:
        connection.close()


async def working(backend: LocalBackend) -> None:
    while not await asyncio.to_thread(processing, backend._server):  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0)


@pytest.mark.model
async def test_it_answers_the_same_twice_and_reports_its_tokens(backend: LocalBackend) -> None:
    first = await backend.execute(SHORT)
    second = await backend.execute(SHORT)
    assert first.text == second.text
    assert first.usage.known
    assert first.usage.cache_read_tokens == 0
    assert (second.usage.cache_read_tokens or 0) > 10
    assert (second.usage.output_tokens or 0) <= 16


@pytest.mark.model
async def test_it_says_what_it_is(pulled: PulledModel) -> None:
    backend = await LocalBackend.open(pulled.path)
    info = backend.info
    await backend.aclose()
    assert (info.name, info.model, info.base_url) == ("local", "local:smollm2", None)
    assert (info.max_parallel, info.bound, info.reports_tokens) == (1, "compute", True)
    assert (info.context_tokens, info.max_output_tokens) == (8192, 96)


@pytest.mark.model
async def test_a_prompt_that_does_not_fit_is_context_exceeded(backend: LocalBackend) -> None:
    with pytest.raises(ContextExceeded):
        await backend.execute(Prompt("", ("word " * 9000,)))


@pytest.mark.model
async def test_its_port_serves_nobody_else(backend: LocalBackend) -> None:
    where = address(backend)
    assert where.startswith("127.0.0.1:")
    for path in ("/props", "/metrics", "/v1/chat/completions"):
        status, headers = await asyncio.to_thread(asked, where, path, {"Origin": "http://evil.example"})
        assert status == 401
        assert headers.get("access-control-allow-origin", "") == ""


@pytest.mark.model
async def test_a_cancelled_call_frees_the_model(backend: LocalBackend) -> None:
    call = asyncio.create_task(backend.execute(LONG))
    await working(backend)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await backend.execute(SHORT)).text


@pytest.mark.model
async def test_closing_ends_the_server_and_its_threads(pulled: PulledModel) -> None:
    backend = await LocalBackend.open(pulled.path)
    where = address(backend)
    call = asyncio.create_task(backend.execute(LONG))
    await working(backend)
    running = psutil.Process().num_threads()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await backend.aclose()
    await backend.aclose()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.to_thread(asked, where, "/health", {})
    assert psutil.Process().num_threads() < running
    with pytest.raises(BackendFailure, match="closed"):
        await backend.execute(SHORT)


@pytest.mark.model
async def test_closing_after_a_finished_call_frees_the_port(pulled: PulledModel) -> None:
    backend = await LocalBackend.open(pulled.path, max_output_tokens=1)
    where = address(backend)
    await backend.execute(SHORT)
    await backend.aclose()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.to_thread(asked, where, "/health", {})


@pytest.mark.model
async def test_a_server_somebody_is_connected_to_is_left_rather_than_hung_upon(
    pulled: PulledModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_DISCONNECT_WAIT_S", 0.05)
    backend = await LocalBackend.open(pulled.path)
    server, key = backend._server, backend._calls._model.client.api_key  # type: ignore[attr-defined]
    outside = threading.Thread(target=_generate, args=(address(backend), key))
    outside.start()
    await working(backend)
    await backend.aclose()
    assert await asyncio.to_thread(processing, server)
    await asyncio.to_thread(outside.join, 60)
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(server))


def _generate(where: str, key: str) -> None:
    body = {"messages": [{"role": "user", "content": "Tell a story."}], "max_tokens": 60, "ignore_eos": True}
    connection = http.client.HTTPConnection(where, timeout=60)
    connection.request(
        "POST",
        "/v1/chat/completions",
        json.dumps(body),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    connection.getresponse().read()
    connection.close()


CHILD = """
import asyncio, sys, time
from pathlib import Path
import swarmtally
from swarmtally import RunKind, SparcRequest
from swarmtally.backends import local
from swarmtally.core.ports import Prompt

made = local._parameters

def with_metrics(*arguments):
    parameters = made(*arguments)
    parameters.endpoint_metrics = True
    return parameters

local._parameters = with_metrics

def processing(server):
    return "\\nllamacpp:requests_processing 1" in server.handle_metrics()

async def main():
    backend = await local.LocalBackend.open(Path(sys.argv[1]))
    call = asyncio.create_task(backend.execute(Prompt("", (" ".join(f"word{n}" for n in range(1500)),))))
    while not await asyncio.to_thread(processing, backend._server):
        await asyncio.sleep(0.01)
    if sys.argv[2] == "close":
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        started = time.monotonic()
        await backend.aclose()
        print("closed after", round(time.monotonic() - started, 2), file=sys.stderr)
    print("leaving", file=sys.stderr)

asyncio.run(main())
"""


def left(pulled: PulledModel, how: str) -> subprocess.CompletedProcess[bytes]:
    # What ends neither way is killed by the time limit, which fails the test.
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(pulled.path), how],
        capture_output=True,
        check=False,
        timeout=40,
        env={**os.environ, "HTTP_PROXY": "http://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9"},
    )


@pytest.mark.model
def test_a_process_that_closes_under_load_ends_well_and_prints_nothing(pulled: PulledModel) -> None:
    done = left(pulled, "close")
    assert done.returncode == 0
    assert done.stdout == b""
    assert [line.split()[0] for line in done.stderr.splitlines()] == [b"closed", b"leaving"]


@pytest.mark.model
def test_a_process_that_never_closes_still_ends(pulled: PulledModel) -> None:
    done = left(pulled, "leave")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"leaving\n")


@pytest.mark.model
async def test_it_is_opened_by_its_name(pulled: PulledModel) -> None:
    data_dir = pulled.path.parent.parent
    found = await asyncio.to_thread(
        choose, "mcp", model="local:smollm2", base_url=None, max_output_tokens=5, environ={}, data_dir=data_dir
    )
    backend = await open_backend(found, environ={}, data_dir=data_dir)
    assert (backend.info.model, backend.info.max_output_tokens) == ("local:smollm2", 5)
    await backend.aclose()


@pytest.mark.model
async def test_an_output_limit_that_leaves_no_room_for_a_prompt_is_refused(pulled: PulledModel) -> None:
    with pytest.raises(
        InvalidInput, match="--max-output-tokens 8192 leaves no room for a prompt: local:smollm2 has 8192"
    ):
        await LocalBackend.open(pulled.path, name="smollm2", max_output_tokens=8_192)


async def test_a_file_that_is_not_there_or_damaged_is_model_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="model pull smollm2"):
        await LocalBackend.open(tmp_path / "nothing.gguf")
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(ModelMissing, match="cannot be loaded"):
        await LocalBackend.open(damaged)


async def test_a_missing_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(NoBackend) as caught:
        await LocalBackend.open(tmp_path / "any.gguf")
    assert str(caught.value) == f"the embedded model needs: {local.LIBRARIES_REMEDY}"


def served(server: Any) -> dict[str, int]:
    """What the server itself has counted: tokens of prompts that it read, cached ones left out, and those it wrote."""
    pairs = (line.split() for line in server.handle_metrics().splitlines() if not line.startswith("#"))
    counted = {name.removeprefix("llamacpp:"): float(value) for name, value in pairs}
    return {name: int(counted[f"{name}_total"]) for name in ("prompt_tokens", "tokens_predicted")}


async def test_the_ledger_of_a_run_equals_what_the_server_counted(backend: LocalBackend, tmp_path: Path) -> None:
    before = served(backend._server)
    async with swarmtally.open(db=tmp_path / "swarm.db", backends={"mine": backend}) as app:
        tasks = ("Name a colour", "Name a tree", "Name a river")
        started = await app.start(SparcRequest(RunKind.CONCURRENT, ("coder",), tasks, context=("All is green. " * 40,)))
        runs = await app.runs()
        await runs.wait(started.run_id, timeout_s=None)
        used = (await runs.show(started.run_id)).usage
        after = served(backend._server)
    assert used.calls == used.reported == 3
    assert used.input_tokens is not None
    assert used.cache_read_tokens is not None
    assert used.cache_read_tokens > 100, "what the prompts share is read once"
    assert used.input_tokens - used.cache_read_tokens == after["prompt_tokens"] - before["prompt_tokens"]
    assert used.output_tokens == after["tokens_predicted"] - before["tokens_predicted"]

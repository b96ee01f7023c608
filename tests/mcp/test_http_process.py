"""The HTTP server as a process: its one line, its end, what it refuses to start with, and a thousand idle clients."""

import json
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread
import httpx2
import pytest
from mcp_types import CallToolResult

from mcp import MCPError
from swarmtally.mcp.bounds import Bounds
from tests.backends.wire import Hold, OpenAIWire, held
from tests.mcp.conftest import Mode, answered, connected, on_wire, serve_command
from tests.mcp.http_harness import WAIT_S, HttpServer, client_of, post

Start = Callable[..., HttpServer]
TOKEN = "correct-horse-battery"
CODE: dict[str, object] = {"mode": "coder", "task": "Login"}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    servers: list[HttpServer] = []

    def start(transport: str, *options: str, command: list[str] | None = None, **environ: str) -> HttpServer:
        servers.append(HttpServer(tmp_path, "--transport", transport, *options, command=command, **environ))
        return servers[-1]

    yield start
    for server in servers:
        server.clean_up()


@pytest.fixture(params=["http", "sse"])
def transport(request: pytest.FixtureRequest) -> str:
    transport: str = request.param
    return transport


@contextmanager
def descriptors(wanted: int) -> Iterator[None]:
    """File descriptors for that many sockets, beside what the tests hold open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = wanted + 256
    if 0 <= before[1] < enough:
        pytest.skip(f"the system gives {before[1]} file descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], enough), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


Ask = Callable[[], Awaitable[None]]


async def once_asked(wire: OpenAIWire, hold: Hold, ask: Ask, then: Ask) -> None:
    """`ask`, which waits for a model that answers once `hold` is released; `then`, when the model was asked."""
    wire.script(held(hold))
    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.to_thread.run_sync(wire.wait_for_requests, 1)
        await then()


async def status_of_the_run(place: Path) -> str:
    async with connected(place, "auto") as client:
        (run,) = answered(await client.call_tool("run_status", {}))["runs"]
    return str(run["status"])


def refused(*options: str, **environ: str) -> str:
    """The one line of a server that did not start."""
    command = [sys.executable, "-m", "swarmtally", "serve", *options]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


async def test_stdout_stays_empty_and_one_line_says_where_it_listens(transport: str, mode: Mode, start: Start) -> None:
    server = start(transport)
    async with client_of(server.url, mode) as client:
        answered(await client.call_tool("swarm_init", {}))
    server.process.terminate()
    assert server.ends() == 0
    out, log = server.rest()
    assert out == ""
    assert log.count("http://") == 1
    assert log.count("tool.call") == 1
    assert "Traceback" not in log


async def test_whatever_prints_in_the_server_does_not_reach_stdout(tmp_path: Path, start: Start) -> None:
    script = str(Path(__file__).with_name("noisy_server.py"))
    options = [*serve_command(tmp_path)[3:], "--transport", "http", "--port", "0"]
    server = start("http", command=[sys.executable, script, *options])
    async with client_of(server.url, "auto") as client:
        answered(await client.call_tool("swarm_init", {}))
    server.process.terminate()
    assert server.ends() == 0
    out, log = server.rest()
    assert out == ""
    assert "noise from C" in log


async def test_the_environment_says_it_too(start: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    environ = {"TRANSPORT": "http", "HOST": "localhost", "PORT": str(port), "ALLOWED_HOSTS": "a.example b.example"}
    server = start(
        "", command=serve_command(tmp_path), **{f"SWARMTALLY_{name}": value for name, value in environ.items()}
    )
    assert server.url == f"http://localhost:{port}/mcp"
    for name in ("a.example", "b.example:1"):
        assert (await post(f"http://127.0.0.1:{port}/mcp", {"Host": name})).status_code == 200
    assert (await post(f"http://127.0.0.1:{port}/mcp", {"Host": "c.example"})).status_code == 421


def test_what_cannot_be_is_told_before_anything_is_served(tmp_path: Path) -> None:
    place = {"SWARMTALLY_DB": str(tmp_path / "swarm.db")}
    over_http = ("--transport", "http")
    open_to_all = (*over_http, "--host", "0.0.0.0", "--port", "0")
    assert "set SWARMTALLY_TOKEN to a secret of 16 or more" in refused(*open_to_all, **place)
    weak = refused(*open_to_all, **place, SWARMTALLY_TOKEN="hunter2")
    assert "SWARMTALLY_TOKEN takes 16 or more" in weak
    assert "hunter2" not in weak
    assert "--host is 'no.such.name.invalid'" in refused(*over_http, "--host", "no.such.name.invalid", **place)
    assert "--allowed-host is 'http://x'" in refused(*over_http, "--allowed-host", "http://x", **place)
    assert "--port is for HTTP; give --transport http" in refused("--port", "1", **place)
    assert "--allowed-host is for HTTP" in refused("--allowed-host", "x", **place)
    assert "--drain is for HTTP" in refused("--drain", "1", **place)
    assert "65536 is not in the range" in refused(*over_http, "--port", "65536", **place)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"cannot listen on 127.0.0.1 port {port}" in refused(*over_http, "--port", port, **place)


async def test_off_loopback_the_token_opens_the_door_and_is_never_logged(transport: str, start: Start) -> None:
    server = start(transport, "--host", "0.0.0.0", "--log-level", "debug", SWARMTALLY_TOKEN=TOKEN)
    url = server.url.replace("0.0.0.0", "127.0.0.1")
    async with client_of(url, "legacy", TOKEN) as client:
        answered(await client.call_tool("swarm_init", {}))
    assert (await post(url)).status_code == 401
    assert (await post(url, {"Authorization": f"Bearer {TOKEN[:-1]}!"})).status_code == 401
    server.process.terminate()
    assert server.ends() == 0
    assert TOKEN[:-1] not in server.rest()[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_ends_it_with_clients_connected(
    transport: str, number: signal.Signals, start: Start, tmp_path: Path
) -> None:
    server = start(transport)
    url = server.url

    async def stay() -> None:
        async with client_of(url, "legacy") as client:
            answered(await client.call_tool("swarm_init", {}))
            server.process.send_signal(number)
            await anyio.to_thread.run_sync(server.process.wait)

    with anyio.fail_after(WAIT_S):
        await stay()
    assert server.ends() == 0
    assert "Traceback" not in server.rest()[1]


async def test_a_run_under_way_is_let_go(
    tmp_path: Path, transport: str, mode: Mode, start: Start, wire: OpenAIWire
) -> None:
    server = start(transport, *on_wire(wire))
    async with client_of(server.url, mode) as client:
        await client.list_tools()  # which it would do after the answer, to check it, and a server that ends refuses

        async def ask() -> None:
            # The model may be asked before this is answered.
            assert answered(await client.call_tool("sparc_run", CODE | {"wait_s": 0}))["run_id"]

        async def end() -> None:
            server.process.terminate()
            assert await anyio.to_thread.run_sync(server.ends) == 0

        await once_asked(wire, Hold(), ask, end)
    assert await status_of_the_run(tmp_path) == "interrupted"


async def test_a_call_under_way_is_answered_before_the_end(
    transport: str, mode: Mode, start: Start, wire: OpenAIWire
) -> None:
    server = start(transport, *on_wire(wire))
    hold = Hold()
    results: list[CallToolResult] = []
    async with client_of(server.url, mode) as client:
        await client.list_tools()  # which it would do after the answer, to check it

        async def ask() -> None:
            results.append(await client.call_tool("sparc_run", CODE))

        async def end() -> None:
            server.process.terminate()
            await anyio.to_thread.run_sync(server.hear, "serve.signal")
            hold.release()

        await once_asked(wire, hold, ask, end)
    assert answered(results[0])["status"] == "succeeded"
    assert server.ends() == 0


async def test_a_call_that_does_not_end_is_told_and_does_not_hold_up_the_end(
    tmp_path: Path, transport: str, mode: Mode, start: Start, wire: OpenAIWire
) -> None:
    server = start(transport, *on_wire(wire))
    async with client_of(server.url, mode) as client:

        async def ask() -> None:
            with pytest.raises(MCPError, match="the server is ending"):
                await client.call_tool("sparc_run", CODE)

        async def end() -> None:
            server.process.terminate()
            assert await anyio.to_thread.run_sync(server.ends) == 0

        await once_asked(wire, Hold(), ask, end)
    assert "Traceback" not in server.rest()[1]
    assert await status_of_the_run(tmp_path) == "interrupted"


async def test_a_call_may_be_given_longer_and_a_client_less(start: Start, wire: OpenAIWire) -> None:
    server = start("http", *on_wire(wire), "--drain", "20", SWARMTALLY_RATE="1")
    url = server.url
    hold = Hold()
    results: list[CallToolResult] = []
    async with client_of(url, "auto") as client:
        await client.list_tools()

        async def ask() -> None:
            results.append(await client.call_tool("sparc_run", CODE))

        async def end() -> None:
            assert {(await post(url)).status_code for _ in range(31)} == {200, 429}
            server.process.terminate()
            # The watchdog too gives it that time.
            assert "at_most_s=20.75" in await anyio.to_thread.run_sync(server.hear, "serve.signal")
            async with httpx2.AsyncClient() as http:
                told = await http.get(url.replace("/mcp", "/healthz"))
            assert told.json()["status"] == "draining"
            hold.release()

        await once_asked(wire, hold, ask, end)
    assert answered(results[0])["status"] == "succeeded"
    assert server.ends() == 0


@pytest.mark.parametrize(("tool", "statuses"), [("swarm_init", {1}), ("agent_spawn", {0, 1})])
async def test_a_tool_that_does_not_end_does_not_hold_up_the_end(
    tmp_path: Path, tool: str, statuses: set[int], start: Start
) -> None:
    script = str(Path(__file__).with_name("stuck_server.py"))
    options = [*serve_command(tmp_path)[3:], "--transport", "http", "--port", "0"]
    server = start("http", command=[sys.executable, script, *options])
    url = server.url
    session = {"Mcp-Session-Id": (await post(url)).headers["mcp-session-id"]}
    params = {"name": tool, "arguments": {"type": "coder"} if tool == "agent_spawn" else {}}
    call = json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params})

    async def ask() -> None:
        # The server goes away in the middle.
        with suppress(httpx2.TransportError):
            await post(url, session, call)

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.to_thread.run_sync(server.hear, "stuck\n")
        server.process.terminate()
        assert await anyio.to_thread.run_sync(server.ends) in statuses


async def test_more_idle_connections_than_may_be_open_keep_nobody_out(transport: str, start: Start) -> None:
    beyond = Bounds().connections + 100
    server = start(transport)
    url = server.url
    port = int(url.rpartition(":")[2].partition("/")[0])
    async with client_of(url, "legacy") as client:
        with descriptors(beyond), ExitStack() as idle:
            sockets = [
                idle.enter_context(await anyio.to_thread.run_sync(socket.create_connection, ("127.0.0.1", port), 60))
                for _ in range(beyond)
            ]
            # By then the client's own idle connection, which is older, has been closed: it could not know of an end
            # that crosses its next request.
            assert await anyio.to_thread.run_sync(sockets[50].recv, 1) == b""
            answered(await client.call_tool("swarm_init", {}))
            async with client_of(url, "legacy") as newcomer:
                answered(await newcomer.call_tool("agent_spawn", {"type": "coder"}))
            answered(await client.call_tool("run_status", {}))


async def test_where_the_system_gives_few_descriptors_fewer_connections_are_kept(start: Start, tmp_path: Path) -> None:
    serve = serve_command(tmp_path, "--transport", "http", "--port", "0")
    server = start("http", command=["/bin/sh", "-c", 'ulimit -n 320; exec "$@"', "sh", *serve])
    url = server.url
    port = int(url.rpartition(":")[2].partition("/")[0])
    with ExitStack() as idle:
        for _ in range(320):
            idle.enter_context(await anyio.to_thread.run_sync(socket.create_connection, ("127.0.0.1", port)))
        async with client_of(url, "auto") as client:
            answered(await client.call_tool("swarm_init", {}))
    server.process.terminate()
    assert server.ends() == 0
    assert "out of system resource" not in server.rest()[1]


def test_the_shell_does_not_import_the_web_server() -> None:
    program = (
        "import sys; import swarmtally.cli.main, swarmtally.cli.serve, swarmtally.mcp.listening; "
        "sys.exit(bool({'mcp', 'starlette', 'uvicorn'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

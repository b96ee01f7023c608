"""The server as a process: its stdout, and its end."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.backends.wire import Hold, OpenAIWire, held
from tests.mcp.conftest import EXIT_S, RawServer, answered, connected, on_wire, serve_command

Start = Callable[..., RawServer]


@pytest.fixture
def started() -> Iterator[list[RawServer]]:
    """Servers a test has started, ended for certain when it is over."""
    servers: list[RawServer] = []
    yield servers
    for server in servers:
        server.clean_up()


@pytest.fixture
def start(tmp_path: Path, started: list[RawServer]) -> Start:
    def start(*options: str, stderr: int | None = None) -> RawServer:
        started.append(RawServer(serve_command(tmp_path, *options), tmp_path, stderr=stderr))
        return started[-1]

    return start


@pytest.fixture
def start_script(tmp_path: Path, started: list[RawServer]) -> Start:
    """Starts a server whose tools one of the scripts beside this file has changed."""

    def start(name: str, *, stderr: int | None = None) -> RawServer:
        script = Path(__file__).with_name(name)
        started.append(RawServer([sys.executable, str(script), *serve_command(tmp_path)[3:]], tmp_path, stderr=stderr))
        return started[-1]

    return start


def running(server: RawServer, wire: OpenAIWire) -> str:
    """A run whose only call is under way and will not be answered."""
    wire.script(held(Hold()))
    run = server.call("sparc_run", mode="coder", task="Login", wait_s=0)["structuredContent"]
    wire.wait_for_requests(1)
    return str(run["run_id"])


async def status_of(place: Path, run_id: str, wait_s: int = 0) -> str:
    async with connected(place, "auto") as client:
        view = answered(await client.call_tool("run_status", {"run_id": run_id, "wait_s": wait_s}))
    return str(view["run"]["status"])


def test_stdout_carries_the_protocol_and_nothing_else(tmp_path: Path, start_script: Start) -> None:
    server = start_script("noisy_server.py")
    server.shake_hands()
    assert not server.call("swarm_init")["isError"]
    server.hang_up()
    assert server.ends() == 0
    lines = [*server.lines, *server.rest().splitlines()]
    assert len(lines) == 2
    assert {json.loads(line)["jsonrpc"] for line in lines} == {"2.0"}
    noise = (tmp_path / "stderr.log").read_text()
    for source in ("print", "a descriptor", "the first stdout", "C", "a child", "the beginning", "the end"):
        assert f"noise from {source}\n" in noise


def test_the_server_ends_when_stdin_closes(start: Start) -> None:
    server = start()
    server.shake_hands()
    server.hang_up()
    assert server.ends() == 0
    assert server.left_alone()


def test_the_server_ends_when_nobody_ever_spoke(start: Start) -> None:
    server = start()
    server.shake_hands()
    silent = start()
    silent.hang_up()
    silent.process.wait(timeout=20)  # its libraries are still being imported
    assert silent.process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_server_ends_on_a_signal_while_stdin_is_open(start: Start, number: signal.Signals) -> None:
    server = start()
    server.shake_hands()
    server.process.send_signal(number)
    assert server.ends() == 0
    assert server.left_alone()


async def test_a_run_under_way_is_let_go_when_stdin_closes(tmp_path: Path, start: Start, wire: OpenAIWire) -> None:
    server = start(*on_wire(wire))
    server.shake_hands()
    run_id = running(server, wire)
    server.hang_up()
    assert server.ends() == 0
    assert await status_of(tmp_path, run_id) == "interrupted"


async def test_a_run_under_way_is_let_go_on_sigterm(tmp_path: Path, start: Start, wire: OpenAIWire) -> None:
    server = start(*on_wire(wire))
    server.shake_hands()
    run_id = running(server, wire)
    server.process.terminate()
    assert server.ends() == 0
    assert await status_of(tmp_path, run_id) == "interrupted"


async def test_a_call_under_way_does_not_hold_up_the_end(tmp_path: Path, start: Start, wire: OpenAIWire) -> None:
    server = start(*on_wire(wire))
    server.shake_hands()
    run_id = running(server, wire)
    server.call_soon("run_status", run_id=run_id, wait_s=45)
    server.hang_up()
    assert server.ends() == 0
    assert await status_of(tmp_path, run_id) == "interrupted"


async def test_a_run_whose_server_was_killed_shows_as_interrupted(
    tmp_path: Path, start: Start, wire: OpenAIWire
) -> None:
    server = start(*on_wire(wire))
    server.shake_hands()
    run_id = running(server, wire)
    server.call_soon("run_status", run_id=run_id, wait_s=45)
    server.process.kill()
    assert server.ends() == -signal.SIGKILL
    # Nobody could give up its hold, which ends by itself after 15 s.
    assert await status_of(tmp_path, run_id, wait_s=30) == "interrupted"


@pytest.mark.model
async def test_the_embedded_model_does_not_hold_up_the_end(tmp_path: Path, start: Start) -> None:
    server = start("--model", "local")
    server.shake_hands()
    task = "Describe every part of an operating system, in great detail. " * 60
    run = server.call("sparc_run", mode="coder", task=task, wait_s=0)["structuredContent"]
    while server.call("run_status", run_id=run["run_id"], wait_s=1)["structuredContent"]["run"]["status"] == "queued":
        pass
    server.hang_up()
    assert server.ends() in (0, 1)  # 1: it was still reading its prompt
    assert server.left_alone()
    assert await status_of(tmp_path, run["run_id"]) == "interrupted"


def stuck(start_script: Start, tool: str, **arguments: str) -> RawServer:
    """A server in the middle of a call that does not end."""
    server = start_script("stuck_server.py", stderr=subprocess.PIPE)
    server.shake_hands()
    server.call_soon(tool, **arguments)
    assert server.process.stderr is not None
    while server.process.stderr.readline() != b"stuck\n":
        pass
    return server


@pytest.mark.parametrize(("tool", "arguments"), [("swarm_init", {}), ("agent_spawn", {"type": "coder"})])
def test_a_tool_that_does_not_end_does_not_hold_up_the_end(
    start_script: Start, tool: str, arguments: dict[str, str]
) -> None:
    server = stuck(start_script, tool, **arguments)
    server.hang_up()
    assert server.ends() == 1
    assert server.left_alone()


def test_a_signal_after_the_hang_up_gives_no_further_time(start_script: Start) -> None:
    server = stuck(start_script, "agent_spawn", type="coder")
    server.hang_up()
    with pytest.raises(subprocess.TimeoutExpired):
        server.process.wait(timeout=EXIT_S / 2)
    server.process.terminate()
    assert server.process.wait(timeout=EXIT_S / 2) == 1


def test_a_client_that_no_longer_reads_does_not_hold_up_the_end(start: Start) -> None:
    server = start()
    server.shake_hands()
    assert not server.call("memory_usage", action="store", key="large", value="x" * 1_000_000)["isError"]
    for _ in range(20):
        server.call_soon("memory_usage", action="retrieve", key="large")
    server.hang_up()
    assert server.ends() == 0


def test_a_client_that_closed_only_its_reading_end_is_gone_too(start: Start) -> None:
    server = start()
    server.shake_hands()
    assert server.process.stdout is not None
    server.process.stdout.close()
    server.call_soon("run_status")
    assert server.process.wait(timeout=10) == 0


def test_logs_that_nobody_reads_do_not_stop_the_server(start: Start) -> None:
    server = start(stderr=subprocess.PIPE)
    server.shake_hands()
    asked = [server.call_soon("no_such_tool") for _ in range(100)]
    for _ in range(20):  # far more than a pipe holds
        for request in asked:
            assert "no tool" in server.receive(request)["error"]["message"]
        asked = [server.call_soon("no_such_tool") for _ in range(100)]
    server.hang_up()
    assert server.ends() == 0


def test_a_closed_stderr_does_not_stop_the_server(tmp_path: Path, started: list[RawServer]) -> None:
    started.append(RawServer(["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *serve_command(tmp_path)], tmp_path))
    server = started[-1]
    server.shake_hands()
    assert not server.call("swarm_init")["isError"]
    assert "error" in server.receive(server.call_soon("no_such_tool"))
    server.hang_up()
    assert server.ends() == 0

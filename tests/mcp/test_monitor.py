"""swarm_monitor as a client calls it: samples as they come, and an end before clients give up."""

from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from mcp import Client
from swarmtally.app import App, open_app
from swarmtally.mcp.server import make_server
from swarmtally.settings import Settings
from tests.backends.wire import OpenAIWire
from tests.mcp.conftest import Mode, answered, connected, in_memory, on_wire, told
from tests.store.conftest import HandClock


async def test_a_client_hears_of_each_sample(tmp_path: Path, mode: Mode, wire: OpenAIWire) -> None:
    heard: list[tuple[float, float | None, str]] = []

    async def hear(done: float, total: float | None, message: str | None) -> None:
        heard.append((done, total, message or ""))

    async with connected(tmp_path, mode, *on_wire(wire)) as client:
        swarm = answered(await client.call_tool("swarm_init", {}))["swarm_id"]
        answered(await client.call_tool("sparc_concurrent", {"mode": "coder", "tasks": ["A", "B"]}))
        arguments = {"interval": 0.5, "duration": 0.5}
        view = answered(await client.call_tool("swarm_monitor", arguments, progress_callback=hear))
    assert [message.partition(":")[0] for _, _, message in heard] == [swarm, swarm]
    assert (heard[0][0], heard[0][1]) == (0, 0.5)
    assert (view["swarm_id"], view["samples_taken"], view["remaining_s"]) == (swarm, 2, 0)
    assert view["samples"][1]["agents"] == {"idle": 2, "busy": 0, "leaving": 0}
    assert view["samples"][1]["throughput_per_s"] == 0


class Hurrying(HandClock):
    """A second passes whenever one looks."""

    def monotonic_ns(self) -> int:
        self.advance(1)
        return self.ns


async def test_a_call_ends_after_45_seconds_and_says_what_remains(tmp_path: Path) -> None:
    gather = partial(Settings.gather, "mcp", db=str(tmp_path / "swarm.db"), project="test", cwd=tmp_path)
    async with open_app(await anyio.to_thread.run_sync(gather), Hurrying()) as app:

        async def opened() -> App:
            return app

        server = await anyio.to_thread.run_sync(make_server, opened)
        async with Client(server) as client:
            await client.call_tool("swarm_init", {})
            with anyio.fail_after(20):
                view = answered(await client.call_tool("swarm_monitor", {"interval": 1, "duration": 600}))
    assert 45 <= view["watched_s"] < 600
    assert view["remaining_s"] == 600 - view["watched_s"]
    assert view["next_step"] == f"call swarm_monitor again with duration {view['remaining_s']:g}"


async def test_a_client_that_gives_up_ends_the_watching(tmp_path: Path) -> None:
    first = anyio.Event()

    async def hear(done: float, total: float | None, message: str | None) -> None:
        first.set()

    async with in_memory(tmp_path) as client:
        await client.call_tool("swarm_init", {})
        async with anyio.create_task_group() as group:
            call = partial(client.call_tool, "swarm_monitor", {"interval": 60, "duration": 600}, progress_callback=hear)
            group.start_soon(call)
            with anyio.fail_after(20):
                await first.wait()
            group.cancel_scope.cancel()
        assert answered(await client.call_tool("run_status", {}))["runs"] == []


async def test_without_a_swarm_the_remedy_is_told(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        assert "make one with swarm_init" in told(await client.call_tool("swarm_monitor", {}))

"""Change notices, in both protocol eras: who is told of what, and when nobody asks for anything."""

import gc
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp.client.subscriptions import Subscription
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated, ServerEvent
from mcp_types import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    EmptyResult,
    ResourceListChangedNotification,
    ResourceUpdatedNotification,
    SubscribeRequest,
    SubscribeRequestParams,
    UnsubscribeRequest,
    UnsubscribeRequestParams,
)

from mcp import Client, MCPError
from swarmtally.app import App, open_app
from swarmtally.mcp import subscriptions
from swarmtally.mcp.listening import Transport
from swarmtally.mcp.opening import Opening
from swarmtally.mcp.resources import RESOURCE_NOT_FOUND
from swarmtally.mcp.server import McpServer, make_server
from swarmtally.mcp.subscriptions import URIS_LIMIT, Subscriptions
from swarmtally.settings import Settings
from tests.mcp.conftest import Mode, answered, connected, in_memory
from tests.mcp.http_harness import client_of, served

WAIT_S = 20
"""How long a test waits for what must come."""

KEY = "memory://default/k"
END = "memory://default/end"


class Heard:
    """What a client was told, in order."""

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self.events: list[ServerEvent] = []
        self._changed = anyio.Event()

    async def __call__(self, message: object) -> None:
        """Take what a client of the older protocol is sent; one of the newer gets the same from its stream."""
        if self._mode != "legacy":
            return
        if isinstance(message, ResourceUpdatedNotification):
            self.add(ResourceUpdated(str(message.params.uri)))
        elif isinstance(message, ResourceListChangedNotification):
            self.add(ResourcesListChanged())

    def add(self, event: ServerEvent) -> None:
        self.events.append(event)
        self._changed.set()

    async def until(self, event: ServerEvent) -> list[ServerEvent]:
        """All there was up to the first such event."""
        with anyio.fail_after(WAIT_S):
            while event not in self.events:
                self._changed = anyio.Event()
                await self._changed.wait()
        at = self.events.index(event)
        found, self.events = self.events[: at + 1], self.events[at + 1 :]
        return found


@asynccontextmanager
async def subscribed(
    client: Client, mode: Mode, heard: Heard, *uris: str, to_list: bool = False
) -> AsyncIterator[None]:
    """The client is told of these while this is open, in its era's way."""
    if mode == "legacy":
        if to_list:
            await client.list_resources()
        for uri in uris:
            await subscribe(client, uri)
        yield
        for uri in uris:
            await unsubscribe(client, uri)
        return
    listening = client.listen(resource_subscriptions=uris, resources_list_changed=to_list)
    async with listening as stream, anyio.create_task_group() as group:
        group.start_soon(take, stream, heard)
        yield
        group.cancel_scope.cancel()


async def take(stream: Subscription, heard: Heard) -> None:
    async for event in stream:
        heard.add(event)


async def subscribe(client: Client, uri: str) -> None:
    await client.session.send_request(SubscribeRequest(params=SubscribeRequestParams(uri=uri)), EmptyResult)


async def unsubscribe(client: Client, uri: str) -> None:
    await client.session.send_request(UnsubscribeRequest(params=UnsubscribeRequestParams(uri=uri)), EmptyResult)


@asynccontextmanager
async def another(place: Path, project: str = "test") -> AsyncIterator[App]:
    """Somebody else on the same database: other connections, as another process has."""
    gather = partial(Settings.gather, "mcp", db=str(place / "swarm.db"), project=project, cwd=place)
    async with open_app(await anyio.to_thread.run_sync(gather)) as app:
        yield app


async def store(app: App, key: str, value: object = 1) -> None:
    await app.memory.store(app.settings.project, "default", key, value)


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    return answered(await client.call_tool(tool, arguments))


async def test_what_another_process_changes_is_told_and_nothing_else(tmp_path: Path, mode: Mode) -> None:
    heard = Heard(mode)
    async with (
        in_memory(tmp_path, mode, hear=heard) as client,
        another(tmp_path) as other,
        subscribed(client, mode, heard, KEY, END),
    ):
        await store(other, "something else")
        await store(other, "k")
        assert await heard.until(ResourceUpdated(KEY)) == [ResourceUpdated(KEY)]
        async with another(tmp_path, "another project") as stranger:
            await store(stranger, "k")
        await store(other, "end")
        assert await heard.until(ResourceUpdated(END)) == [ResourceUpdated(END)]


async def test_what_the_server_itself_changes_is_told(tmp_path: Path, mode: Mode) -> None:
    heard = Heard(mode)
    async with in_memory(tmp_path, mode, hear=heard) as client:
        run = await call(client, "sparc_run", mode="coder", task="Log in")
        uri = f"swarm://runs/{run['run_id']}"
        made = f"{uri}/artifacts/coder_1"
        async with subscribed(client, mode, heard, uri, made):
            given = {name: run["packets"][0][name] for name in ("task_id", "lease")}
            await call(client, "work_report", **given, output="done")
            await heard.until(ResourceUpdated(made))
            assert (await client.read_resource(made)).contents


async def test_runs_that_come_and_end_change_the_list(tmp_path: Path, mode: Mode) -> None:
    heard = Heard(mode)
    async with in_memory(tmp_path, mode, hear=heard) as client, subscribed(client, mode, heard, to_list=True):
        run = await call(client, "sparc_run", mode="coder", task="Log in")
        assert await heard.until(ResourcesListChanged()) == [ResourcesListChanged()]
        await call(client, "run_control", run_id=run["run_id"], action="cancel")
        assert await heard.until(ResourcesListChanged()) == [ResourcesListChanged()]


async def test_a_burst_of_changes_becomes_few_notices(tmp_path: Path, mode: Mode) -> None:
    heard = Heard(mode)
    async with (
        in_memory(tmp_path, mode, hear=heard) as client,
        another(tmp_path) as other,
        subscribed(client, mode, heard, KEY, END),
    ):
        started = anyio.current_time()
        for number in range(100):
            await store(other, "k", number)
        await store(other, "end")
        before = await heard.until(ResourceUpdated(END))
        took_s = anyio.current_time() - started
        assert 1 <= before.count(ResourceUpdated(KEY)) <= 2 + took_s / subscriptions.APART_S


async def test_who_is_no_longer_subscribed_is_not_told(tmp_path: Path) -> None:
    heard = Heard("legacy")
    async with in_memory(tmp_path, "legacy", hear=heard) as client, another(tmp_path) as other:
        for uri in (KEY, KEY, END):
            await subscribe(client, uri)
        await unsubscribe(client, KEY)
        await unsubscribe(client, KEY)
        await store(other, "k")
        await store(other, "end")
        assert await heard.until(ResourceUpdated(END)) == [ResourceUpdated(END)]


@asynccontextmanager
async def server_here(place: Path) -> AsyncIterator[McpServer]:
    gather = partial(Settings.gather, "mcp", db=str(place / "swarm.db"), project="test", cwd=place)
    opening = Opening(await anyio.to_thread.run_sync(gather))
    server = await anyio.to_thread.run_sync(make_server, opening.app)
    async with anyio.create_task_group() as group:
        group.start_soon(opening.run)
        yield server
        opening.close()


def subscriptions_of(server: McpServer) -> Subscriptions:
    (found,) = server._subscribing._open
    return found


async def becomes(true: Callable[[], bool]) -> None:
    with anyio.fail_after(WAIT_S):
        while not true():
            await anyio.wait_all_tasks_blocked()
            await anyio.sleep(0.01)


async def test_nothing_is_watched_unless_somebody_is_subscribed(tmp_path: Path, mode: Mode) -> None:
    heard = Heard(mode)
    async with server_here(tmp_path) as server, Client(server, mode=mode, message_handler=heard) as client:
        found = subscriptions_of(server)
        assert not found._someone.is_set()
        async with subscribed(client, mode, heard, KEY):
            assert found._someone.is_set()
        await becomes(lambda: not found._someone.is_set())
        assert (dict(found._wanted), found._seen) == ({}, {})


async def test_a_client_that_goes_away_leaves_no_subscription(tmp_path: Path, mode: Mode) -> None:
    async with (
        served(tmp_path) as listening,
        client_of(listening.url, mode) as stays,
        subscribed(stays, mode, Heard(mode), END),
    ):
        (found,) = [each for each in gc.get_objects() if isinstance(each, Subscriptions) and each._wanted]
        async with client_of(listening.url, mode) as client:
            if mode == "legacy":
                await client.list_resources()
                await subscribe(client, KEY)
                assert set(found._wanted) == {END, KEY, ""}
            else:
                async with client.listen(resource_subscriptions=[KEY]):
                    assert set(found._wanted) == {END, KEY}
        await becomes(lambda: set(found._wanted) == {END})


async def test_subscriptions_have_a_limit_for_each_client(tmp_path: Path, mode: Mode) -> None:
    uris = [f"memory://default/{number}" for number in range(URIS_LIMIT + 1)]
    async with in_memory(tmp_path, mode) as client:
        if mode == "legacy":
            async with subscribed(client, mode, Heard(mode), *uris[:-1]):
                with pytest.raises(MCPError, match="at most 100") as caught:
                    await subscribe(client, uris[-1])
        else:
            with pytest.raises(MCPError, match="at most 100") as caught:
                async with subscribed(client, mode, Heard(mode), *uris):
                    pass
        assert caught.value.error.code == INVALID_PARAMS


async def test_subscriptions_have_a_limit_for_all_clients(
    tmp_path: Path, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "WATCHED_LIMIT", 2)
    async with in_memory(tmp_path, mode) as client:
        async with subscribed(client, mode, Heard(mode), KEY, "memory://default/2"):
            with pytest.raises(MCPError, match="ask again later") as caught:
                async with subscribed(client, mode, Heard(mode), "memory://default/3"):
                    pass
            assert caught.value.error.code == INVALID_REQUEST
        async with subscribed(client, mode, Heard(mode), "memory://default/3"):
            pass


async def test_what_is_no_address_is_refused_or_left_out(tmp_path: Path, mode: Mode) -> None:
    async with in_memory(tmp_path, mode) as client:
        if mode == "legacy":
            with pytest.raises(MCPError, match="no resource has that address") as caught:
                await subscribe(client, "file:///etc/passwd")
            assert caught.value.error.code == RESOURCE_NOT_FOUND
            await unsubscribe(client, "file:///etc/passwd")
            return
        asked = ["file:///etc/passwd", KEY]
        async with client.listen(resource_subscriptions=asked, tools_list_changed=True) as stream:
            assert stream.honored.resource_subscriptions == [KEY]
            assert not stream.honored.tools_list_changed


async def test_capabilities_say_what_is_told(tmp_path: Path, mode: Mode) -> None:
    async with in_memory(tmp_path, mode) as client:
        found = client.server_capabilities
        assert found.resources is not None
        assert (found.resources.subscribe, found.resources.list_changed) == (True, True)
        assert found.tools is not None
        assert not found.tools.list_changed


@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_notices_reach_clients_over_http(tmp_path: Path, transport: Transport, mode: Mode) -> None:
    heard = Heard(mode)
    async with (
        served(tmp_path, transport) as listening,
        another(tmp_path) as other,
        client_of(listening.url, mode, hear=heard) as client,
        subscribed(client, mode, heard, KEY),
    ):
        with anyio.fail_after(WAIT_S):
            while not heard.events:
                # A client of the older protocol opens its stream beside its first request, and what comes before that
                # is lost.
                await store(other, "k", anyio.current_time())
                await anyio.sleep(0.1)
        assert heard.events[0] == ResourceUpdated(KEY)


async def test_streams_end_in_order_with_the_server(tmp_path: Path) -> None:
    ended = anyio.Event()
    async with anyio.create_task_group() as group:
        async with served(tmp_path) as listening:
            listens = anyio.Event()

            async def listen() -> None:
                async with (
                    client_of(listening.url, "auto") as client,
                    client.listen(resource_subscriptions=[KEY]) as stream,
                ):
                    listens.set()
                    # A stream that is cut off raises SubscriptionLost here.
                    await take(stream, Heard("auto"))
                    ended.set()

            group.start_soon(listen)
            with anyio.fail_after(WAIT_S):
                await listens.wait()
            began = anyio.current_time()
        assert anyio.current_time() - began < 0.5, "it is no call under way that is waited for"
        with anyio.fail_after(WAIT_S):
            await ended.wait()
        group.cancel_scope.cancel()


async def test_a_process_tells_of_what_a_command_in_a_shell_stores(tmp_path: Path) -> None:
    mode: Mode = "legacy"
    heard = Heard(mode)
    command = [sys.executable, "-m", "swarmtally", "mcp", "memory_usage", "--action", "store", "--key", "k"]
    there = [*command, "--value", "1", "--db", str(tmp_path / "swarm.db"), "--project", "test"]
    async with connected(tmp_path, mode, hear=heard) as client, subscribed(client, mode, heard, KEY):
        done = await anyio.run_process(there, check=False, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout
        assert await heard.until(ResourceUpdated(KEY)) == [ResourceUpdated(KEY)]

"""What keeps strangers and floods out: names, origins, the token, and the bounds on bodies and connections."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import anyio
import httpx2
import pytest
from structlog.typing import EventDict

from swarmtally.domain.errors import InvalidInput
from swarmtally.mcp.access import Access, allowed_names, checked_token
from swarmtally.mcp.bounds import Bounds
from swarmtally.mcp.listening import Transport
from tests.backends.wire import Hold, OpenAIWire, held
from tests.mcp.conftest import answered
from tests.mcp.http_harness import (
    HELLO,
    WAIT_S,
    client_of,
    head,
    heard_until_closed,
    post,
    sent_until_closed,
    served,
    socket_to,
)

TOKEN = "correct-horse-battery"
ACCESS = Access("swarm.lan", 8765, frozenset({"proxy.example", "other.example:9000"}), TOKEN)
SHORT = Bounds(request_s=0.2)


@pytest.mark.parametrize(
    "host",
    [
        "localhost:8765",
        "LocalHost:8765",
        "127.0.0.1:8765",
        "[::1]:8765",
        "swarm.lan:8765",
        "192.0.2.7:8765",
        "proxy.example",
        "Proxy.Example:444",
        "other.example:9000",
    ],
)
def test_a_host_of_ours_is_answered(host: str) -> None:
    assert ACCESS.names_us(host, "192.0.2.7")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "localhost:8766",
        "evil.example:8765",
        "localhost.evil.example:8765",
        "evil.example#localhost:8765",
        "user@localhost:8765",
        "localhost:8765:8765",
        "192.0.2.8:8765",
        "other.example",
        "other.example:9001",
        "[::2]:8765",
        "::1:8765",
    ],
)
def test_any_other_host_is_not(host: str) -> None:
    assert not ACCESS.names_us(host, "192.0.2.7")


def test_the_default_port_may_be_left_out() -> None:
    assert replace(ACCESS, port=80).names_us("localhost", None)
    assert replace(ACCESS, port=443).trusts("https://localhost", None)
    assert not replace(ACCESS, port=80).trusts("https://localhost", None)


@pytest.mark.parametrize("origin", ["http://localhost:8765", "https://proxy.example", "http://[::1]:8765"])
def test_an_origin_of_ours_is_trusted(origin: str) -> None:
    assert ACCESS.trusts(origin, None)


@pytest.mark.parametrize(
    "origin",
    ["null", "", "http://localhost:3000", "https://evil.example", "file://", "localhost:8765", "ws://localhost:8765"],
)
def test_any_other_origin_is_not(origin: str) -> None:
    assert not ACCESS.trusts(origin, None)


@pytest.mark.parametrize(
    "given",
    [None, b"", TOKEN.encode(), b"Bearer", b"Bearer ", f"Bearer {TOKEN}x".encode(), f"Bearer {TOKEN[:-1]}".encode()],
)
def test_only_the_token_admits(given: bytes | None) -> None:
    assert not ACCESS.admits(given)
    assert not ACCESS.admits(f"Basic {TOKEN}".encode())
    assert ACCESS.admits(f"bearer {TOKEN}".encode())
    assert replace(ACCESS, token=None).admits(given)


def test_access_does_not_show_its_token() -> None:
    assert TOKEN not in repr(ACCESS)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.53", "::1"])
def test_on_loopback_the_token_is_left_to_the_user(address: str) -> None:
    assert checked_token(None, address) is None
    assert checked_token(TOKEN, address) == TOKEN


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.7"])
def test_off_loopback_a_token_is_needed(address: str) -> None:
    for missing in (None, ""):
        with pytest.raises(InvalidInput, match=r"reached from other machines; set SWARMTALLY_TOKEN"):
            checked_token(missing, address)
    assert checked_token(TOKEN, address) == TOKEN


@pytest.mark.parametrize("token", ["fifteen-letters", "sixteen letters x", "sechzehn-zeichän"])
def test_a_token_that_is_weak_or_cannot_be_sent_is_refused_unshown(token: str) -> None:
    with pytest.raises(InvalidInput, match=r"SWARMTALLY_TOKEN takes 16 or more") as caught:
        checked_token(token, "127.0.0.1")
    assert token not in str(caught.value)


@pytest.mark.parametrize("name", ["https://proxy.example", "*", "a b", "proxy.example:http", ""])
def test_an_allowed_host_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="--allowed-host is"):
        allowed_names((name,))


async def test_the_checks_come_in_their_order_and_before_the_body(tmp_path: Path, logged: list[EventDict]) -> None:
    foreign_host, foreign_origin = "Host: evil.example", "Origin: https://evil.example"
    async with served(tmp_path, token=TOKEN) as listening:

        async def answer(host: str, *lines: str) -> bytes:
            request = f"POST /mcp HTTP/1.1\r\n{host}\r\n" + "".join(f"{line}\r\n" for line in lines)
            async with socket_to(listening) as stream:
                # The body never comes. Whoever waits for it gives another answer, much later.
                await stream.send(f"{request}Content-Length: 10\r\nConnection: close\r\n\r\n".encode())
                return await heard_until_closed(stream)

        ours = f"Host: localhost:{listening.access.port}"
        wrong = "Authorization: Bearer correct-horse-battery-staple"
        assert b" 421 " in (await answer(foreign_host, foreign_origin, wrong)).splitlines()[0]
        assert b" 403 " in (await answer(ours, foreign_origin, wrong)).splitlines()[0]
        refused = await answer(ours, wrong)
        assert b" 401 " in refused.splitlines()[0]
        assert b"\r\nwww-authenticate: Bearer\r\n" in refused
        for response in (refused, await answer(foreign_host)):
            assert response.partition(b"\r\n\r\n")[2].count(b"\n") == 1
    refusals = [entry for entry in logged if entry["event"] == "http.refused"]
    assert [entry["status"] for entry in refusals] == [421, 403, 401, 421]
    assert "correct-horse" not in str(logged)
    assert "evil" not in str(refusals)


async def test_a_request_with_the_token_is_served(tmp_path: Path) -> None:
    async with served(tmp_path, token=TOKEN) as listening:
        assert (await post(listening.url)).status_code == 401
        assert (await post(listening.url, {"Authorization": f"Bearer {TOKEN}"})).status_code == 200


async def test_two_tokens_are_none(tmp_path: Path) -> None:
    async with served(tmp_path, token=TOKEN) as listening, socket_to(listening) as stream:
        both = [f"Authorization: Bearer {TOKEN}"] * 2
        await stream.send(head(listening, *both, "Content-Length: 0", "Connection: close"))
        assert b" 401 " in await heard_until_closed(stream)


async def test_a_request_from_another_origin_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as listening:
        assert (await post(listening.url, {"Origin": "https://evil.example"})).status_code == 403
        assert (await post(listening.url, {"Origin": listening.url.removesuffix("/mcp")})).status_code == 200


async def test_a_request_for_a_proxys_name_is_served_when_allowed(tmp_path: Path) -> None:
    named = {"Host": "swarm.example", "Origin": "https://swarm.example"}
    async with served(tmp_path) as listening:
        assert (await post(listening.url, named)).status_code == 421
    async with served(tmp_path, allowed=frozenset({"swarm.example"})) as listening:
        assert (await post(listening.url, named)).status_code == 200


async def pieces(total: int) -> AsyncIterator[bytes]:
    for _ in range(total // 100):
        yield b" " * 100


async def test_a_body_that_is_too_large_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=Bounds(body_bytes=1_000)) as listening:
        assert (await post(listening.url, content=HELLO.ljust(1_000))).status_code == 200
        assert (await post(listening.url, content=HELLO.ljust(1_001))).status_code == 413


@pytest.mark.parametrize("protocol", ["2025-11-25", "2026-07-28"])
async def test_what_the_sdk_refuses_without_words_is_told_with_its_remedy(tmp_path: Path, protocol: str) -> None:
    async with served(tmp_path, bounds=Bounds(body_bytes=1_000)) as listening:

        async def refused(status: int, method: str = "POST", path: str = "/mcp", **headers: str) -> str:
            given = {"MCP-Protocol-Version": protocol, "Accept": "text/html", "Content-Type": "application/json"}
            url = listening.url.replace("/mcp", path)
            async with httpx2.AsyncClient(timeout=WAIT_S) as http:
                body = "x" * int(headers.pop("size", "10"))
                found = await http.request(method, url, headers=given | headers, content=body)
            assert found.status_code == status
            (line,) = found.text.splitlines()
            return line

        assert "ends in /mcp" in await refused(404, path="/mpc")
        assert await refused(413, size="1001") == "The request's body is longer than 1,000 bytes; send less at once."
        assert "text/event-stream" in await refused(406)
        assert "Content-Type: application/json" in await refused(400, **{"Content-Type": "text/plain"})
        assert ("Use " if protocol == "2026-07-28" else "Method Not Allowed") in await refused(405, "PUT")


async def test_a_body_of_unknown_length_that_gets_too_large_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=Bounds(body_bytes=1_000)) as listening:
        assert (await post(listening.url, content=pieces(1_000))).status_code == 400  # it is no JSON
        assert (await post(listening.url, content=pieces(1_100))).status_code == 413


async def test_over_sse_a_body_that_is_too_large_is_refused_too(tmp_path: Path) -> None:
    async with served(tmp_path, "sse", Bounds(body_bytes=1_000)) as listening:
        messages = listening.url.replace("/sse", "/messages/?session_id=x")
        assert (await post(messages, content="x" * 1_000)).status_code == 400
        assert (await post(messages, content="x" * 1_001)).status_code == 413


async def test_a_body_that_does_not_arrive_times_out_and_frees_its_place(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=replace(SHORT, connections=1)) as listening:
        async with socket_to(listening) as stream:
            await stream.send(head(listening, "Content-Length: 100") + b"{")
            assert b" 408 " in await heard_until_closed(stream)
        assert (await post(listening.url)).status_code == 200


async def test_a_connection_on_which_nothing_arrives_is_closed(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=SHORT) as listening, socket_to(listening) as stream:
        assert await heard_until_closed(stream) == b""


async def test_half_a_head_is_closed_after_its_time(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=SHORT) as listening, socket_to(listening) as stream:
        await stream.send(head(listening)[:-10])
        assert await heard_until_closed(stream) == b""


async def test_half_a_second_request_is_closed_too(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=SHORT) as listening, socket_to(listening) as stream:
        await stream.send(head(listening, "Content-Length: 2") + b"{}")
        assert b" 400 " in await stream.receive()
        await stream.send(head(listening)[:-10])
        assert b"HTTP/1.1" not in await heard_until_closed(stream)


async def test_a_connection_nobody_uses_after_its_request_is_closed(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=Bounds(idle_s=0)) as listening, socket_to(listening) as stream:
        await stream.send(head(listening, "Content-Length: 2") + b"{}")
        assert b" 400 " in await heard_until_closed(stream)


@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_a_stream_and_a_call_may_stay_longer_than_a_request_takes_to_arrive(
    tmp_path: Path, transport: Transport, wire: OpenAIWire
) -> None:
    hold = Hold()
    wire.script(held(hold))
    named = {"model": "openai:test", "base_url": wire.base_url}
    async with served(tmp_path, transport, SHORT, named) as listening, client_of(listening.url, "legacy") as client:

        async def release() -> None:
            async with socket_to(listening) as stream:
                assert await heard_until_closed(stream) == b""  # now the time is over
            hold.release()

        async with anyio.create_task_group() as group:
            group.start_soon(release)
            run = answered(await client.call_tool("sparc_run", {"mode": "coder", "task": "Login"}))
    assert run["status"] == "succeeded"


async def test_a_body_nobody_waits_for_is_not_read_for_ever(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=SHORT, token=TOKEN) as listening, socket_to(listening) as stream:
        await stream.send(head(listening, "Content-Length: 1000000000"))
        assert b" 401 " in await stream.receive()
        await sent_until_closed(stream, b"x" * 100)


async def test_a_head_that_is_too_large_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as listening, socket_to(listening) as stream:
        await stream.send(head(listening, "X: " + "x" * 100_000)[:-10])
        assert b" 400 " in await heard_until_closed(stream)


async def test_one_connection_too_many_closes_the_one_that_waited_longest(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=Bounds(connections=2)) as listening, AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(socket_to(listening)) for _ in range(2)]
        await first.send(head(listening, "Content-Length: 2") + b"{}")
        assert b" 400 " in await first.receive()
        assert (await post(listening.url)).status_code == 200
        assert await heard_until_closed(second) == b""
        await first.send(head(listening, "Content-Length: 2") + b"{}")
        assert b" 400 " in await first.receive()


async def test_a_connection_with_a_call_under_way_makes_room_for_nobody(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=Bounds(connections=1)) as listening, socket_to(listening) as busy:
        await busy.send(head(listening, "Content-Length: 2", "Expect: 100-continue"))
        assert b" 100 " in await busy.receive()
        async with socket_to(listening) as refused:
            assert await heard_until_closed(refused) == b""
        await busy.send(b"{}")
        assert b" 400 " in await busy.receive()


async def test_a_client_that_does_not_read_is_closed(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=Bounds(stalled_s=0.2)) as listening:
        session = (await post(listening.url)).headers["mcp-session-id"]

        def call(**arguments: str) -> str:
            params = {"name": "memory_usage", "arguments": arguments}
            return json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params})

        stored = await post(
            listening.url, {"Mcp-Session-Id": session}, call(action="store", key="k", value="x" * 1_000_000)
        )
        assert stored.status_code == 200
        retrieve = call(action="retrieve", key="k")
        async with socket_to(listening) as stream:
            request = head(listening, f"Mcp-Session-Id: {session}", f"Content-Length: {len(retrieve)}")
            await sent_until_closed(stream, request + retrieve.encode())

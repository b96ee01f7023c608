"""How many requests a second a client may send."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.typing import EventDict

from mcp import MCPError
from swarmtally.domain.clock import NS_PER_S
from swarmtally.mcp.bounds import Bounds
from swarmtally.mcp.rates import Rates, name_of
from tests.mcp.conftest import Mode
from tests.mcp.http_harness import client_of, post, served

TOKEN = "correct-horse-battery"


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


@given(
    per_s=st.integers(1, 1_000),
    burst=st.integers(1, 20),
    pauses_ns=st.lists(st.integers(0, 2 * NS_PER_S), max_size=60),
)
def test_never_more_than_the_burst_and_the_rate_are_admitted(per_s: int, burst: int, pauses_ns: list[int]) -> None:
    clock = Hand()
    rates = Rates(per_s, burst, 10, clock)
    admitted: list[int] = []
    for pause_ns in pauses_ns:
        clock.now_ns += pause_ns
        if rates.wait_ns("a") == 0:
            admitted.append(clock.now_ns)
    interval_ns = round(NS_PER_S / per_s)
    for first, since_ns in enumerate(admitted):
        for count, until_ns in enumerate(admitted[first:], 1):
            assert count <= burst + (until_ns - since_ns) // interval_ns


@given(per_s=st.integers(1, 1_000), burst=st.integers(1, 20), asked=st.integers(0, 50))
def test_who_waits_as_long_as_told_is_admitted_and_not_before(per_s: int, burst: int, asked: int) -> None:
    clock = Hand()
    rates = Rates(per_s, burst, 10, clock)
    assert [rates.wait_ns("a") for _ in range(burst)] == [0] * burst
    wait_ns = rates.wait_ns("a")
    assert wait_ns > 0
    for _ in range(asked):  # asking in vain costs nothing
        assert rates.wait_ns("a") == wait_ns
    clock.now_ns += wait_ns - 1
    assert rates.wait_ns("a") == 1
    clock.now_ns += 1
    assert rates.wait_ns("a") == 0


def test_a_client_that_rests_may_send_a_whole_burst_again_and_no_more() -> None:
    clock = Hand()
    rates = Rates(10, 5, 10, clock)
    for _ in range(3):
        clock.now_ns += 3_600 * NS_PER_S
        assert [rates.wait_ns("a") == 0 for _ in range(6)] == [True] * 5 + [False]


@given(st.lists(st.sampled_from("abcdefgh"), max_size=100))
def test_a_client_pays_only_for_itself_and_few_are_remembered(clients: list[str]) -> None:
    rates, alone = Rates(1, 2, 8, Hand()), {name: Rates(1, 2, 8, Hand()) for name in "abcdefgh"}
    few = Rates(1, 2, 3, Hand())
    for client in clients:
        assert rates.wait_ns(client) == alone[client].wait_ns(client)
        few.wait_ns(client)
    assert len(few) == min(3, len(set(clients)))


def test_who_has_been_silent_longest_is_forgotten_first() -> None:
    rates = Rates(1, 1, 2, Hand())
    for client in "abac":
        rates.wait_ns(client)
    assert rates.wait_ns("a") > 0
    assert rates.wait_ns("b") == 0


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("127.0.0.1", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
    ],
)
def test_a_client_is_its_address_or_its_network(address: str, name: str | None) -> None:
    assert name_of(address, loopback=False) == name
    assert name_of(address, loopback=True) is not None


async def test_a_client_that_asks_too_often_is_told_when_to_come_again(tmp_path: Path, logged: list[EventDict]) -> None:
    bounds = Bounds(requests_per_s=0.01, burst_s=200, counts_loopback=True)
    async with served(tmp_path, bounds=bounds, token=TOKEN) as listening:
        for _ in range(3):  # who has no token takes nothing from those who have
            assert (await post(listening.url)).status_code == 401
        named = {"Authorization": f"Bearer {TOKEN}"}
        assert [(await post(listening.url, named)).status_code for _ in range(2)] == [200, 200]
        refused = await post(listening.url, named)
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 100
    body = json.loads(refused.text)
    assert (body["id"], body["error"]["code"]) == (None, -32_005)
    assert body["error"]["message"].startswith("More than 0.01 requests a second came from your address; try again in ")
    assert [entry["reason"] for entry in logged if entry["event"] == "http.refused"][-1] == "rate"


async def test_a_client_shows_the_line_of_the_refusal(tmp_path: Path, mode: Mode) -> None:
    bounds = Bounds(requests_per_s=0.01, burst_s=1_000, counts_loopback=True)
    async with served(tmp_path, bounds=bounds) as listening, client_of(listening.url, mode) as client:
        while (await post(listening.url)).status_code == 200:
            pass
        with pytest.raises(MCPError, match="requests a second came from your address"):
            await client.list_tools()


async def test_this_machines_own_clients_are_not_counted_unless_asked_for(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=Bounds(requests_per_s=0.01, burst_s=100)) as listening:
        assert [(await post(listening.url)).status_code for _ in range(3)] == [200] * 3
    async with served(tmp_path, bounds=Bounds(requests_per_s=0, counts_loopback=True)) as listening:
        assert [(await post(listening.url)).status_code for _ in range(3)] == [200] * 3

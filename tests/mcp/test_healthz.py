"""GET /healthz: whether the server can do its work."""

from pathlib import Path

import anyio
import httpx2
import pytest
from structlog.typing import EventDict

from swarmtally.domain.errors import DatabaseCorrupt
from swarmtally.mcp import healthz
from swarmtally.mcp.bounds import Bounds
from swarmtally.mcp.healthz import FRESH_S, Healthz
from swarmtally.mcp.listening import Listening, Transport
from tests.mcp.http_harness import WAIT_S, served

TOKEN = "correct-horse-battery"


async def asked(listening: Listening, method: str = "GET", **headers: str) -> httpx2.Response:
    url = f"http://127.0.0.1:{listening.access.port}{healthz.PATH}"
    async with httpx2.AsyncClient(timeout=WAIT_S) as http:
        return await http.request(method, url, headers=headers)


@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_a_server_that_works_says_so_without_a_token(tmp_path: Path, transport: Transport) -> None:
    bounds = Bounds(requests_per_s=0.001, burst_s=1, counts_loopback=True)
    async with served(tmp_path, transport, bounds, token=TOKEN) as listening:
        for _ in range(3):  # asking is not counted
            found = await asked(listening)
            assert (found.status_code, found.json()) == (200, {"status": "ok"})
        assert found.headers["cache-control"] == "no-store"
        looked = await asked(listening, "HEAD")
        assert (looked.status_code, looked.content) == (200, b"")
        assert (await asked(listening, "POST")).status_code == 405
        assert (await asked(listening, Host="evil.example")).status_code == 421
        assert (await asked(listening, Origin="https://evil.example")).status_code == 403


async def test_a_database_that_cannot_be_opened_is_told_without_its_path_until_it_can(
    tmp_path: Path, logged: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(healthz, "FRESH_S", 0.0)
    database = anyio.Path(tmp_path / "swarm.db")
    await database.write_bytes(b"no database at all " * 100)
    async with served(tmp_path) as listening:
        found = await asked(listening)
        assert found.status_code == 503
        reason = "the database cannot be used (DatabaseCorrupt); the server's log says more"
        assert found.json() == {"status": "failed", "reason": reason}
        assert str(tmp_path) in str([entry for entry in logged if entry["event"] == "app.unavailable"])
        await database.unlink()
        assert (await asked(listening)).json() == {"status": "ok"}


@pytest.mark.parametrize("another", [False, True], ids=["gone", "another"])
async def test_a_database_whose_file_is_gone_or_another_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, another: bool
) -> None:
    monkeypatch.setattr(healthz, "FRESH_S", 0.0)
    database = anyio.Path(tmp_path / "swarm.db")
    async with served(tmp_path) as listening:
        assert (await asked(listening)).status_code == 200
        # Kept under another name, else the new file may get its number.
        await database.rename(tmp_path / "away.db")
        if another:
            await database.touch()
        found = await asked(listening)
        assert found.status_code == 503
        assert found.json()["reason"] == "the database's file is gone or another; restart the server"


async def test_who_asks_often_or_at_once_shares_one_look() -> None:
    looks, now_s = 0, 100.0

    async def open_app() -> None:
        nonlocal looks
        looks += 1
        await anyio.lowlevel.checkpoint()
        raise DatabaseCorrupt("/secret/swarm.db", "damaged")

    health = Healthz(open_app, lambda: now_s)  # type: ignore[arg-type] # it gives none

    async def ask() -> None:
        assert "secret" not in str(await health.trouble())

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(ask)
    assert looks == 1
    now_s += FRESH_S / 2
    await ask()
    assert looks == 1
    now_s += FRESH_S
    await ask()
    assert looks == 2


async def test_a_database_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healthz, "ANSWER_S", 0.0)

    async def open_app() -> None:
        await anyio.sleep_forever()

    assert await Healthz(open_app).trouble() == "the database did not answer within 0 s"  # type: ignore[arg-type]


async def test_what_nobody_expected_is_logged_and_not_shown(logged: list[EventDict]) -> None:
    async def open_app() -> None:
        raise ZeroDivisionError("/secret")

    assert await Healthz(open_app).trouble() == "internal error; the server's log says more"  # type: ignore[arg-type]
    assert [entry["event"] for entry in logged] == ["healthz.failed"]

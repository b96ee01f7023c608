"""Reports, the monitor and token figures while many HTTP clients work: they agree with each other and with the rows."""

import sqlite3
from contextlib import AsyncExitStack, closing
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio

from mcp import Client
from tests.mcp.conftest import answered, connected
from tests.mcp.http_harness import HttpServer, client_of

CLIENTS = 50

TASKS = 30

ENDED = "SELECT COUNT(*), SUM(status = 'succeeded') FROM attempt WHERE status IN ('succeeded', 'failed')"

Told = tuple[dict[str, Any], dict[str, Any]]


def row(place: Path, sql: str) -> tuple[Any, ...]:
    with closing(sqlite3.connect(f"file:{place / 'swarm.db'}?mode=ro", uri=True)) as database:
        (found,) = database.execute(sql).fetchall()
    return tuple(found)


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    return answered(await client.call_tool(tool, arguments))


async def work(client: Client, number: int, packets: list[dict[str, Any]]) -> None:
    """Do packets until there are none: some clients fail, some give no figures."""
    packets += (await call(client, "work_claim"))["packets"]
    while packets:
        packet = packets.pop()
        what: dict[str, Any] = {"error": "no"} if number % 10 == 0 else {"output": f"by {number}"}
        if number % 2:
            what["usage"] = {"input_tokens": 100 + number, "output_tokens": number}
        named = {"task_id": packet["task_id"], "lease": packet["lease"]}
        packets += (await call(client, "work_report", **named, **what, claim=1))["packets"]


async def told(client: Client, reported: str | None = None, counted: str | None = None) -> Told:
    report = await call(client, "performance_report", timeframe="1h", format="detailed", as_of=reported)
    return report, await call(client, "token_usage", timeframe="1h", as_of=counted)


def ns(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1_000) * 1_000_000


async def test_figures_agree_with_each_other_and_the_rows_while_and_after_clients_work(tmp_path: Path) -> None:
    server = HttpServer(tmp_path, "--transport", "http")
    early: list[Told] = []
    done = anyio.Event()
    try:
        async with AsyncExitStack() as stack:
            url = server.url
            clients = [await stack.enter_async_context(client_of(url, "auto")) for _ in range(CLIENTS)]
            await call(clients[0], "swarm_init", max_agents=60)
            tasks = [f"Task {number}" for number in range(TASKS)]
            packets: list[dict[str, Any]] = []
            for _ in range(2):
                packets += (await call(clients[0], "sparc_concurrent", mode="coder", tasks=tasks, wait_s=0))["packets"]

            async def watch() -> None:
                while not done.is_set():
                    early.append(await told(clients[-1]))
                    await call(clients[-1], "swarm_monitor")

            async with anyio.create_task_group() as watching:
                watching.start_soon(watch)
                async with anyio.create_task_group() as group:
                    for number, client in enumerate(clients[:-1]):
                        group.start_soon(work, client, number, packets if number == 1 else [])
                done.set()
            report, tokens = await told(clients[0])
            monitor = await call(clients[0], "swarm_monitor")
            for one, other in early[:: len(early) // 4 or 1]:
                assert await told(clients[0], one["as_of"], other["as_of"]) == (one, other)
    finally:
        server.clean_up()
    async with connected(tmp_path, "auto") as client:
        assert await told(client, report["as_of"], tokens["as_of"]) == (report, tokens), "over stdio the same"
    for one, other in early:
        assert row(tmp_path, f"{ENDED} AND committed_ns <= {ns(one['as_of'])}")[0] == (one["tasks_ended"] or 0)
        assert row(tmp_path, f"SELECT COUNT(*) FROM usage WHERE opened_ns <= {ns(other['as_of'])}")[0] == other["calls"]
    ended, succeeded = row(tmp_path, ENDED)
    assert (ended, report["tasks_ended"], report["success_rate"]) == (2 * TASKS, ended, round(succeeded / ended, 6))
    assert row(tmp_path, "SELECT SUM(tasks_succeeded), SUM(tasks_succeeded + tasks_failed) FROM agent") == (
        succeeded,
        ended,
    )
    calls, raw, known = row(
        tmp_path, "SELECT COUNT(*), SUM(input_tokens + output_tokens), COUNT(input_tokens) FROM usage"
    )
    assert (tokens["calls"], tokens["raw_tokens"], tokens["n"]["raw_tokens"]) == (calls, raw, known)
    (sample,) = monitor["samples"]
    assert (monitor["runs"], sample["agents"]["busy"], sample["queue"]["running"]) == ([], 0, 0)
    assert sample["agents"]["idle"] == row(tmp_path, "SELECT COUNT(*) FROM agent")[0]

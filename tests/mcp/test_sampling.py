"""Clients that lend their model, in both eras: whole runs, refusals, and clients that go away."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import pytest
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    CreateMessageRequestParams,
    CreateMessageResult,
    ErrorData,
    ImageContent,
    TextContent,
)

from mcp import Client, StdioServerParameters
from swarmtally.mcp import live
from tests.mcp.conftest import Mode, in_memory, serve_command, told
from tests.mcp.http_harness import JSON, served
from tests.mcp.lending import (
    Answer,
    Person,
    by_task,
    call,
    first_round,
    lending,
    rows,
    said,
    serving,
    unchecked,
)
from tests.mcp.tasks_client import TakesTasks

__all__ = ["unchecked"]


async def test_a_client_that_lends_its_model_completes_a_whole_pipeline(tmp_path: Path, mode: Mode) -> None:
    person = Person()
    async with serving(tmp_path) as server, lending(server, mode, person) as client:
        run = await call(client, "sparc_pipeline", task="Build a shop", wait_s=45)
        for _ in range(5):
            if run["status"] == "waiting_for_host":
                assert "Your client's model does its work" in run["next_step"]
                run = (await call(client, "run_status", run_id=run["run_id"], wait_s=45))["run"]
        assert (run["status"], run["backend"]["name"], run["backend"]["model"]) == ("succeeded", "host", "sampling")
        assert run["packets"] == []
    assert len(person.asked) == run["tasks"]["total"] == len(rows(tmp_path, "SELECT * FROM attempt"))
    assert {(params.include_context, params.max_tokens) for params in person.asked} == {("none", 4096)}
    used = run["usage"]
    assert (used["calls"], used["unknown_calls"], used["raw_tokens"]) == (len(person.asked), len(person.asked), None)
    assert rows(tmp_path, "SELECT DISTINCT backend, model, status, input_tokens, reason FROM usage") == [
        ("host", "acme-7", "unknown", None, "the client's model did the work, and sampling reports no tokens")
    ]
    assert rows(tmp_path, "SELECT COUNT(*) FROM attempt WHERE exec_ns IS NULL") == [(0,)]


async def test_a_client_that_also_takes_handles_is_asked_and_gets_the_result(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        person = Person()
        async with Client(server, sampling_callback=person, extensions=[TakesTasks()]) as client:
            done = await call(client, "sparc_batch", modes=["coder", "tester"], tasks=["Login"])
    assert (done["status"], done["tasks"]["succeeded"]) == ("succeeded", 2)


async def test_what_a_client_s_model_gets_is_a_prompt_it_can_follow_alone(tmp_path: Path, mode: Mode) -> None:
    person = Person()
    async with serving(tmp_path, max_output_tokens=777) as server, lending(server, mode, person) as client:
        await call(client, "sparc_run", mode="coder", task="Count sheep", context=["c" * 60_000])
    (params,) = person.asked
    (message,) = params.messages
    assert isinstance(message.content, TextContent)
    assert "Count sheep" in message.content.text
    assert "memory_usage" not in message.content.text
    assert params.system_prompt
    assert params.max_tokens == 777


async def test_a_refused_request_fails_its_task_with_the_client_s_words(tmp_path: Path) -> None:
    def choosy(params: CreateMessageRequestParams) -> Answer:
        refused = "task B" in str(params.messages)
        return ErrorData(code=-32000, message="the user said no") if refused else by_task(params)

    person = Person(choosy)
    async with serving(tmp_path) as server, lending(server, "legacy", person) as client:
        run = await call(client, "sparc_concurrent", mode="coder", tasks=["task A", "task B"])
        assert (run["status"], run["tasks"]["succeeded"], run["tasks"]["failed"]) == ("failed", 1, 1)
        assert [task["error"] for task in run["timeline"] if task["error"]] == ["the client refused: the user said no"]
        person.answer = by_task
        await call(client, "run_control", run_id=run["run_id"], action="retry")
        run = (await call(client, "run_status", run_id=run["run_id"], wait_s=45))["run"]
        assert (run["status"], len(person.asked)) == ("succeeded", 3)


async def test_an_answer_that_is_no_deliverable_fails_its_task_and_one_cut_off_is_marked(
    tmp_path: Path, mode: Mode
) -> None:
    image = ImageContent(data="aGk=", mime_type="image/png")
    answers: dict[str, Answer] = {
        "task A": said("  "),
        "task B": CreateMessageResult(role="assistant", model="m", content=image),
        "task C": said("é" * 1_000_001),
        "task D": said("half", stop_reason="maxTokens"),
    }

    def odd(params: CreateMessageRequestParams) -> Answer:
        return next(answer for task, answer in answers.items() if task in str(params.messages))

    async with serving(tmp_path) as server, lending(server, mode, Person(odd)) as client:
        run = await call(client, "sparc_concurrent", mode="coder", tasks=list(answers))
    assert [task["error"] for task in run["timeline"]] == [
        "the client's model answered no text, but an empty one",
        "the client's model answered no text, but image",
        "the client's model answered 1000001 characters; at most 1000000 are taken",
        None,
    ]
    assert [artefact["truncated"] for artefact in run["artefacts"]] == [True]


async def test_a_client_without_sampling_gets_packets_and_is_told_why(tmp_path: Path) -> None:
    async with in_memory(tmp_path, model="sampling") as client:
        run = await call(client, "sparc_run", mode="coder", task="A")
        assert (run["status"], len(run["packets"])) == ("waiting_for_host", 1)
        assert "This client takes no sampling requests, so the work comes as packets. Do each" in run["next_step"]
        packet = run["packets"][0]
        await call(client, "work_report", task_id=packet["task_id"], lease=packet["lease"], output="# A")
    assert rows(tmp_path, "SELECT backend, model FROM usage") == [("host", "host")]


async def test_a_client_that_could_lend_its_model_is_not_asked_unless_told_to(tmp_path: Path, mode: Mode) -> None:
    person = Person()
    async with serving(tmp_path, model=None) as server, lending(server, mode, person) as client:
        run = await call(client, "sparc_run", mode="coder", task="A")
        assert (run["backend"]["model"], len(run["packets"])) == ("host", 1)
        await call(client, "run_status", run_id=run["run_id"], wait_s=0.1)
        assert person.asked == []
        run = await call(client, "sparc_run", mode="coder", task="A", model="sampling")
        assert (run["status"], len(person.asked)) == ("succeeded", 1)


async def test_no_more_requests_are_under_way_than_asked_for(tmp_path: Path, mode: Mode) -> None:
    person = Person()
    person.gate = anyio.Event()
    tasks = [f"task {number}" for number in range(6)]
    async with (
        serving(tmp_path, max_parallel=2) as server,
        lending(server, mode, person) as client,
        anyio.create_task_group() as group,
    ):
        group.start_soon(partial(call, client, "sparc_concurrent", mode="coder", tasks=tasks))
        await person.asked_at_once(2)
        person.gate.set()
    assert (person.most, len(person.asked)) == (2, 6)


async def test_all_runs_of_a_connection_together_ask_no_more_at_once(tmp_path: Path) -> None:
    person = Person()
    person.gate = anyio.Event()
    async with serving(tmp_path, max_parallel=2) as server, lending(server, "legacy", person) as client:
        await call(client, "swarm_init")
        begun = [await call(client, "sparc_concurrent", mode="coder", tasks=["A", "B"], wait_s=0) for _ in range(2)]
        await person.asked_at_once(2)
        # Time in which it could be asked for more.
        await call(client, "run_status", run_id=begun[1]["run_id"], wait_s=0.2)
        person.gate.set()
        for run in begun:
            assert (await call(client, "run_status", run_id=run["run_id"], wait_s=45))["run"]["status"] == "succeeded"
    assert (person.most, len(person.asked)) == (2, 4)


@pytest.mark.parametrize(("transport", "answers"), [("http", True), (None, True), (None, False)])
async def test_a_database_that_cannot_be_written_any_more_is_told_in_one_line(
    tmp_path: Path, transport: Any, answers: bool
) -> None:
    person = Person()
    person.gate = anyio.Event()
    results: list[Any] = []

    async def ask(client: Client) -> None:
        results.append(await client.call_tool("sparc_run", {"mode": "coder", "task": "A", "wait_s": 45}))

    async def spoil(client: Client) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(ask, client)
            await person.asked_at_once(1)
            # What a newer version does when it migrates the file.
            rows(tmp_path, "PRAGMA user_version = 999")
            if answers:
                assert person.gate is not None
                person.gate.set()

    if transport is None:
        async with serving(tmp_path) as server, lending(server, "legacy", person) as client:
            await spoil(client)
    else:
        async with served(tmp_path, transport, settings={"model": "sampling"}) as listening:
            connect = streamable_http_client(listening.url)
            async with Client(connect, mode="legacy", sampling_callback=person) as client:
                await spoil(client)
    assert "newer" in told(results[0])
    assert "Exception" not in told(results[0])


async def test_requests_go_on_after_the_call_where_the_connection_is_the_client_s_own(tmp_path: Path) -> None:
    person = Person()
    person.gate = anyio.Event()
    async with serving(tmp_path) as server, lending(server, "legacy", person) as client:
        run = await call(client, "sparc_concurrent", mode="coder", tasks=["A", "B"], wait_s=0)
        assert run["status"] == "waiting_for_host"
        await person.asked_at_once(2)
        person.gate.set()
        run = (await call(client, "run_status", run_id=run["run_id"], wait_s=45))["run"]
        assert (run["status"], len(person.asked)) == ("succeeded", 2)


async def test_a_client_that_goes_away_leaves_its_tasks_to_another(tmp_path: Path) -> None:
    absent, present = Person(), Person()
    absent.gate = anyio.Event()
    async with serving(tmp_path) as server:
        async with lending(server, "legacy", absent) as client:
            run = await call(client, "sparc_concurrent", mode="coder", tasks=["A", "B"], wait_s=0)
            await absent.asked_at_once(2)
        async with lending(server, "legacy", present) as client:
            run = (await call(client, "run_status", run_id=run["run_id"], wait_s=45))["run"]
            assert (run["status"], len(present.asked)) == ("succeeded", 2)
    # What nobody answered is not counted as an attempt.
    assert rows(tmp_path, "SELECT DISTINCT attempts FROM task") == [(1,)]


async def test_who_cancels_the_call_is_asked_nothing_more(tmp_path: Path) -> None:
    person = Person()
    person.gate = anyio.Event()
    async with serving(tmp_path) as server, lending(server, "legacy", person) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(partial(call, client, "sparc_concurrent", mode="coder", tasks=["A", "B"], wait_s=45))
            await person.asked_at_once(2)
            group.cancel_scope.cancel()
        await person.asked_at_once(0)
        person.gate.set()
        (line,) = (await call(client, "run_status"))["runs"]
        assert line["status"] == "waiting_for_host"
        run = (await call(client, "run_status", run_id=line["run_id"], wait_s=45))["run"]
        assert (run["status"], len(person.asked)) == ("succeeded", 4)


async def test_cancelling_a_run_takes_its_requests_back(tmp_path: Path) -> None:
    person = Person()
    person.gate = anyio.Event()
    async with serving(tmp_path) as server, lending(server, "legacy", person) as client:
        run = await call(client, "sparc_concurrent", mode="coder", tasks=["A", "B"], wait_s=0)
        await person.asked_at_once(2)
        await call(client, "run_control", run_id=run["run_id"], action="cancel")
        await person.asked_at_once(0)
        run = (await call(client, "run_status", run_id=run["run_id"], wait_s=45))["run"]
        assert (run["status"], run["artefacts"]) == ("cancelled", [])


async def test_two_clients_share_a_run(tmp_path: Path) -> None:
    one, other = Person(), Person()
    one.gate = anyio.Event()
    tasks = [f"task {number}" for number in range(6)]
    async with serving(tmp_path, max_parallel=3) as server:
        async with lending(server, "legacy", one) as first, lending(server, "auto", other) as second:
            run = await call(first, "sparc_concurrent", mode="coder", tasks=tasks, wait_s=0)
            await one.asked_at_once(3)
            await call(second, "run_status", run_id=run["run_id"], wait_s=0.1)
            one.gate.set()
            run = (await call(first, "run_status", run_id=run["run_id"], wait_s=45))["run"]
        assert (run["status"], len(one.asked), len(other.asked)) == ("succeeded", 3, 3)


@pytest.mark.parametrize(("transport", "mode"), [("http", "legacy"), ("http", "auto"), ("sse", "legacy")])
async def test_a_client_over_http_is_asked_while_its_call_is_open(tmp_path: Path, transport: Any, mode: Mode) -> None:
    person = Person()
    async with served(tmp_path, transport, settings={"model": "sampling"}) as listening:
        connect = sse_client if transport == "sse" else streamable_http_client
        async with Client(connect(listening.url), mode=mode, sampling_callback=person) as client:
            run = await call(client, "sparc_concurrent", mode="coder", tasks=["A", "B"], wait_s=0)
            assert (run["status"], len(person.asked)) == ("succeeded", 2)


async def test_over_http_a_request_travels_on_the_stream_of_its_call(tmp_path: Path) -> None:
    lent = {
        "protocolVersion": "2025-06-18",
        "capabilities": {"sampling": {}},
        "clientInfo": {"name": "t", "version": "1"},
    }
    asking = {"name": "sparc_run", "arguments": {"mode": "coder", "task": "A"}}
    async with (
        served(tmp_path, "http", settings={"model": "sampling"}) as listening,
        httpx2.AsyncClient(timeout=30, headers=JSON) as http,
    ):

        def message(method: str, params: dict[str, Any], **more: Any) -> dict[str, Any]:
            return {"jsonrpc": "2.0", "method": method, "params": params, **more}

        hello = await http.post(listening.url, json=message("initialize", lent, id=1))
        http.headers["Mcp-Session-Id"] = hello.headers["mcp-session-id"]
        await http.post(listening.url, json=message("notifications/initialized", {}))
        heard: list[dict[str, Any]] = []
        async with http.stream("POST", listening.url, json=message("tools/call", asking, id=2)) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    heard.append(json.loads(line.removeprefix("data: ")))
                    if heard[-1].get("method") == "sampling/createMessage":
                        result = said("# A").model_dump(by_alias=True, exclude_none=True, mode="json")
                        await http.post(listening.url, json={"jsonrpc": "2.0", "id": heard[-1]["id"], "result": result})
    assert [each["method"] for each in heard if "method" in each] == ["sampling/createMessage"]
    assert heard[-1]["result"]["structuredContent"]["status"] == "succeeded"


async def test_a_server_process_asks_its_client_over_stdio(tmp_path: Path) -> None:
    person = Person()
    command = serve_command(tmp_path, "--model", "sampling")
    parameters = StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ), cwd=str(tmp_path))
    with (tmp_path / "server.log").open("a") as log:
        async with Client(stdio_client(parameters, errlog=log), mode="legacy", sampling_callback=person) as client:
            run = await call(client, "sparc_concurrent", mode="coder", tasks=["A", "B"], wait_s=45)
            assert (run["status"], len(person.asked)) == ("succeeded", 2)


async def test_a_user_who_does_not_answer_leaves_the_tasks_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "ANSWER_S", 0.05)
    person = Person()
    person.gate = anyio.Event()
    async with serving(tmp_path) as server, lending(server, "legacy", person) as client:
        run = await call(client, "sparc_run", mode="coder", task="A", wait_s=45)
        assert (run["status"], run["timeline"][0]["status"], run["timeline"][0]["attempts"]) == (
            "waiting_for_host",
            "ready",
            0,
        )
        assert person.at_once == 0
        assert len((await call(client, "work_claim", run_id=run["run_id"]))["packets"]) == 1


async def test_what_only_reads_or_cannot_begin_asks_nothing(tmp_path: Path) -> None:
    person = Person()
    async with serving(tmp_path) as server, lending(server, "auto", person) as client:
        await call(client, "swarm_init")
        await call(client, "sparc_run", mode="coder", task="A", dry_run=True)
        refused = await client.call_tool("sparc_run", {"mode": "coder", "task": "A", "budget_tokens": 1000})
        assert "budget" in told(refused)
        asked = await first_round(client, "sparc_run", mode="coder", task="A")
        assert asked.request_state
        (line,) = (await call(client, "run_status"))["runs"]
        assert (await call(client, "run_status", run_id=line["run_id"]))["run"]["status"] == "waiting_for_host"
    assert person.asked == []

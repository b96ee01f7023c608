"""Host-driven work over real server processes: clients without a key do whole runs, packet by packet."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import anyio
import pytest

from mcp import Client
from swarmtally.mcp.calling import RESULT_LIMIT_BYTES
from tests.mcp.conftest import Mode, RawServer, answered, connected, in_memory, serve_command, text_of, told

Packet = dict[str, Any]

ARCHITECTURE = "# Architecture\n\n## Components\n\n- cart\n- search\n"


def rows(place: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(place / "swarm.db")) as database, database:
        return database.execute(sql).fetchall()


def contents(place: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row that work touches: equal before and after what must record nothing."""
    tables = ("run", "task", "attempt", "artefact", "artefact_file", "agent", "usage", "event")
    return {table: rows(place, f"SELECT * FROM {table}") for table in tables}


def deliverable(packet: Packet) -> dict[str, Any]:
    """What a client makes of a packet."""
    key = packet["key"]
    if key == "arch":
        return {"output": ARCHITECTURE}
    if key.startswith("code"):
        return {"output": f"# {key}", "files": {f"src/{key}.py": f"print('{key}')\n"}}
    return {"output": f"# {key}"}


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """A tool's result, small enough for a model and the same in both forms."""
    result = await client.call_tool(tool, arguments)
    view = answered(result)
    assert len(text_of(result).encode()) < RESULT_LIMIT_BYTES
    assert json.loads(text_of(result)) == view
    return view


async def report(client: Client, packet: Packet, **more: Any) -> dict[str, Any]:
    given = {"task_id": packet["task_id"], "lease": packet["lease"]}
    return await call(client, "work_report", **given, **deliverable(packet), **more)


async def test_a_client_without_a_key_completes_a_whole_pipeline(tmp_path: Path, mode: Mode) -> None:
    out = tmp_path / "out"
    figures = {"input_tokens": 120, "output_tokens": 30}
    async with connected(tmp_path, mode, "--allow", str(out)) as client:
        run = await call(client, "sparc_pipeline", task="Build a shop", out_dir=str(out))
        assert (run["status"], run["backend"]["name"]) == ("waiting_for_host", "host")
        todo, keys, ended = list(run["packets"]), [], {}
        while todo:
            packet = todo.pop()
            keys.append(packet["key"])
            given = {"usage": figures} if packet["key"].startswith("code") else {}
            ended = await report(client, packet, claim=2, **given)
            todo += ended["packets"]
            assert f"run_id {run['run_id']}" in ended["next_step"] or todo
        assert ended["run_status"] == "succeeded"
        assert ended["next_step"].startswith("The run is over (succeeded)")
        state = (await call(client, "run_status", run_id=run["run_id"]))["run"]
        assert {item["status"] for item in state["timeline"]} == {"succeeded"}
        assert sorted(keys) == sorted(item["key"] for item in state["timeline"])
        assert {"spec", "arch", "code_1", "test_1", "doc_2", "review_2", "done"} < set(keys)
        for artefact in state["artefacts"]:
            stored = await call(client, "memory_usage", action="retrieve", key=artefact["memory_key"])
            assert stored["value"].startswith("# Arch" if artefact["name"] == "arch" else f"# {artefact['name']}")
            assert await anyio.Path(artefact["path"]).read_text() in stored["value"]
            whole = stored["value"].encode()
            assert (artefact["sha256"], artefact["size_bytes"]) == (sha256(whole).hexdigest(), len(whole))
            assert (stored["namespace"], stored["size_bytes"]) == (None, len(whole))
        used = state["usage"]
        assert (used["calls"], used["unknown_calls"], used["raw_tokens"]) == (len(keys), len(keys) - 2, 300)
        assert (await call(client, "work_claim"))["next_step"].startswith("Nothing is left to do")
    on_disk = sorted(path.name for path in out.rglob("*") if path.is_file())
    assert len(on_disk) == len(keys) + 2
    assert {"code_1.py", "code_2.py"} < set(on_disk)
    assert set(rows(tmp_path, "SELECT status, source, reason FROM usage")) == {
        ("reported", "client", None),
        ("unknown", None, "the client that did the work gave no figures"),
    }
    assert rows(tmp_path, "SELECT DISTINCT status FROM agent") == [("idle",)]


@pytest.fixture
def raw(tmp_path: Path) -> Iterator[RawServer]:
    server = RawServer(serve_command(tmp_path), tmp_path)
    yield server
    server.clean_up()


async def test_when_a_client_and_its_server_are_killed_another_finishes_the_run(
    tmp_path: Path, mode: Mode, raw: RawServer
) -> None:
    raw.shake_hands()
    run = raw.call("sparc_batch", modes=["coder"], tasks=list("ABCDEF"))["structuredContent"]
    held = run["packets"]
    assert len(held) == 3
    async with connected(tmp_path, mode) as client:
        mine = (await call(client, "work_claim", limit=10))["packets"]
        assert not {packet["task_id"] for packet in mine} & {packet["task_id"] for packet in held}
        done = raw.call("work_report", task_id=held[0]["task_id"], lease=held[0]["lease"], output="by the first")
        assert not done["isError"]
        raw.clean_up()
        for packet in mine:
            await report(client, packet)
        waiting = await call(client, "work_claim", limit=10)
        assert (waiting["packets"], waiting["out"]) == ([], 2)
        assert "2 packets are out" in waiting["next_step"]
        rows(tmp_path, "UPDATE attempt SET expires_ns = 1 WHERE status = 'running'")
        rest = (await call(client, "work_claim", limit=10, run_id=run["run_id"]))["packets"]
        assert {packet["task_id"] for packet in rest} == {packet["task_id"] for packet in held[1:]}
        for packet in rest:
            ended = await report(client, packet)
        assert ended["run_status"] == "succeeded"
        late = {"task_id": held[1]["task_id"], "lease": held[1]["lease"], "output": "late"}
        assert "claimed it since; nothing was recorded" in told(await client.call_tool("work_report", late))
    assert rows(tmp_path, "SELECT COUNT(*), COUNT(DISTINCT task_id) FROM artefact") == [(6, 6)]
    assert rows(tmp_path, "SELECT status, COUNT(*) FROM attempt GROUP BY 1") == [("expired", 2), ("succeeded", 6)]
    assert rows(tmp_path, "SELECT attempts FROM task GROUP BY 1") == [(1,)], "expiry is not an attempt"
    assert rows(tmp_path, "SELECT DISTINCT status FROM agent") == [("idle",)]
    assert rows(tmp_path, "SELECT COUNT(*) FROM usage WHERE status = 'open'") == [(0,)]
    assert rows(tmp_path, "SELECT COUNT(*) FROM event WHERE kind = 'run.succeeded'") == [(1,)]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "needs what was made"),
    ({"output": ""}, "needs what was made"),
    ({"output": " \n"}, "needs what was made"),
    ({"files": {}}, "needs what was made"),
    ({"error": ""}, "error"),
    ({"error": "  "}, "error is empty"),
    ({"output": "done", "error": "no"}, "not both"),
    ({"files": {"a": "b"}, "error": "no"}, "not both"),
    ({"output": "x" * 1_000_001}, "output"),
    ({"files": {f"f{number}": "" for number in range(101)}}, "files"),
    ({"files": {"a": "x" * 2_100_000, "b": "x" * 2_100_000}}, "4194304 are allowed together"),
    ({"output": "done", "files": {"fine": "", "../up": "x"}}, "use a relative path"),
    ({"output": "done", "files": {"/etc/passwd": "x"}}, "use a relative path"),
    ({"output": "done", "files": {".git/hooks/pre-commit": "x"}}, "use a relative path"),
    ({"output": "done", "files": {"A": "x", "a": "y"}}, "one file on some systems"),
    ({"output": "done", "files": {"a": 1}}, "files"),
    ({"output": "done", "claim": 11}, "claim"),
    ({"output": "done", "claim": -1}, "claim"),
    ({"output": "done", "usage": {"input_tokens": -1, "output_tokens": 1}}, "input_tokens"),
    ({"output": "done", "usage": {"input_tokens": 2**41, "output_tokens": 1}}, "input_tokens"),
    ({"output": "done", "usage": {"input_tokens": 1}}, "output_tokens"),
    ({"output": "done", "usage": {"input_tokens": 10, "output_tokens": 1, "cache_read_tokens": 11}}, "cannot be"),
    ({"output": "done", "usage": {"input_tokens": True, "output_tokens": 1}}, "usage.input_tokens must be a whole"),
    ({"output": "done", "claim": True}, "claim must be a whole number, got True"),
    ({"output": "done", "usage": {"input_tokens": 1, "output_tokens": 1, "cost": 1}}, "cost"),
]


async def test_a_report_that_is_wrong_records_nothing_and_leaves_the_packet_with_its_holder(tmp_path: Path) -> None:
    async with connected(tmp_path, "auto") as client:
        (packet,) = (await call(client, "sparc_run", mode="coder", task="Login"))["packets"]
        named = {"task_id": packet["task_id"], "lease": packet["lease"]}
        before = contents(tmp_path)
        for wrong, why in WRONG:
            assert why in told(await client.call_tool("work_report", named | wrong)), wrong
        for half in ({"task_id": packet["task_id"]}, {"lease": packet["lease"]}):
            assert "give both or neither" in told(await client.call_tool("work_claim", half))
        assert contents(tmp_path) == before
        renewed = await call(client, "work_claim", **named)
        assert (renewed["packets"], renewed["ready"], renewed["out"]) == ([], 0, 1)
        assert renewed["next_expiry_at"] >= packet["expires_at"]
        assert (await report(client, packet))["run_status"] == "succeeded"


def test_halves_of_characters_are_replaced_and_whole_ones_kept(raw: RawServer) -> None:
    raw.shake_hands()
    (packet,) = raw.call("sparc_run", mode="coder", task="Login")["structuredContent"]["packets"]
    named = {"task_id": packet["task_id"], "lease": packet["lease"]}
    text = "half \ud83d one, \udc00 other, whole \U0001f600, \\ud800 spelled, \\\ud800 both"
    answer = raw.call("work_report", **named, output=text, files={"a": "x\udc00"})
    assert not answer["isError"], answer
    key = answer["structuredContent"]["memory_key"]
    stored = raw.call("memory_usage", action="retrieve", key=key)["structuredContent"]["value"]
    assert stored.startswith("half \ufffd one, \ufffd other, whole \U0001f600, \\ud800 spelled, \\\ufffd both")
    assert stored.endswith("x\ufffd\n```")


@pytest.mark.parametrize("text", ["Build it. " * 500, '"\\\n\t' * 2_000, "\x01\x7f" * 2_000, "😀é" * 2_000])
async def test_what_a_call_returns_fits_a_model_s_context(tmp_path: Path, text: str) -> None:
    tasks = [f"{number}: {text}" for number in range(25)]
    async with in_memory(tmp_path) as client:
        await call(client, "swarm_init", max_agents=20)
        run = await call(client, "sparc_concurrent", mode="coder", tasks=tasks, context=["x" * 30_000, text])
        assert 1 <= len(run["packets"]) <= 3
        claimed = await call(client, "work_claim", limit=10)
        assert 1 <= len(claimed["packets"]) <= 10
        told_ = await report(client, claimed["packets"][0], claim=10)
        assert 1 <= len(told_["packets"]) <= 10
        for packet in (*run["packets"], *claimed["packets"], *told_["packets"]):
            assert f"{int(packet['key'].removeprefix('coder_')) - 1}: {text.strip()[:20]}" in packet["prompt"]


async def test_a_run_of_many_tasks_is_told_within_a_model_s_context(tmp_path: Path) -> None:
    out = tmp_path / ("a-folder-with-a-long-name" * 8)
    async with in_memory(tmp_path, allow=[str(out)]) as client:
        await call(client, "swarm_init", max_agents=20)
        tasks = [f"task {number}" for number in range(110)]
        run = await call(client, "sparc_concurrent", mode="coder", tasks=tasks, out_dir=str(out))
        todo = list(run["packets"])
        while todo:
            packet = todo.pop()
            if int(packet["key"].removeprefix("coder_")) % 3 == 0:
                wrong = {"task_id": packet["task_id"], "lease": packet["lease"], "error": "é" * 900}
                todo += (await call(client, "work_report", **wrong, claim=2))["packets"]
            else:
                todo += (await report(client, packet, claim=2))["packets"]
        state = (await call(client, "run_status", run_id=run["run_id"]))["run"]
        assert (state["status"], state["tasks"]["total"]) == ("failed", 110)
        assert f"Only the first {len(state['timeline'])} tasks are listed." in state["next_step"]
        assert f"Only the first {len(state['artefacts'])} deliverables are listed." in state["next_step"]
        assert min(len(state["timeline"]), len(state["artefacts"])) > 15


async def test_packets_of_short_tasks_come_ten_at_once(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        await call(client, "swarm_init", max_agents=20)
        await call(client, "sparc_concurrent", mode="coder", tasks=[f"task {number}" for number in range(25)])
        assert len((await call(client, "work_claim", limit=10))["packets"]) == 10


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("sparc_run", {"mode": "coder", "task": "x" * 60_000}),
        ("sparc_run", {"mode": "coder", "task": '"' * 30_000}),
        ("sparc_run", {"mode": "coder", "task": "é" * 24_000}),
        ("sparc_concurrent", {"mode": "coder", "tasks": ["A", "x" * 60_000]}),
        ("sparc_batch", {"modes": ["coder", "tester"], "tasks": ["A", "x" * 60_000]}),
        ("sparc_pipeline", {"task": "x" * 47_000}),
    ],
)
async def test_a_task_too_long_to_be_told_is_refused_and_nothing_is_started(
    tmp_path: Path, tool: str, arguments: dict[str, Any]
) -> None:
    async with in_memory(tmp_path) as client:
        refused = told(await client.call_tool(tool, arguments))
        assert re.search(
            r"is \d+ bytes too long for a packet, .* room for 48000.*: shorten it, or name a model", refused
        )
        assert rows(tmp_path, "SELECT * FROM run") == []
        assert rows(tmp_path, "SELECT * FROM swarm") == [], "not even the swarm it would have been in"


async def longest_that_starts(client: Client, tool: str, text: str, bytes_each: int, **more: Any) -> dict[str, Any]:
    """The run of `text` without as many characters as it is said to be too long."""
    refused = told(await client.call_tool(tool, {**more, "task": text}))
    excess = int(refused.removeprefix("task is ").split()[0])
    return await call(client, tool, **more, task=text[-(-excess // bytes_each) :])


@pytest.mark.parametrize(("character", "bytes_each"), [("x", 1), ('"', 2), ("é", 2)])
@pytest.mark.parametrize("context", [[], ["y" * 200_000], ['"' * 60_000]])
async def test_the_longest_task_that_starts_is_told_whole(
    tmp_path: Path, character: str, bytes_each: int, context: list[str]
) -> None:
    async with in_memory(tmp_path) as client:
        run = await longest_that_starts(
            client, "sparc_run", character * 60_000, bytes_each, mode="coder", context=context
        )
        (packet,) = run["packets"]
        assert packet["prompt"].count(character) > 44_000 // bytes_each


async def test_the_longest_pipeline_that_starts_is_told_to_its_end(tmp_path: Path) -> None:
    names = [f"{number}{'名' * 100}" for number in range(40)]
    listed = "## Components\n\n" + "\n".join(f"- {name}" for name in names)
    async with in_memory(tmp_path) as client:
        run = await longest_that_starts(client, "sparc_pipeline", "x" * 60_000, 1, context=["y" * 100_000])
        todo = list(run["packets"])
        while todo:
            packet = todo.pop()
            output = listed if packet["key"] == "arch" else "done"
            named = {"task_id": packet["task_id"], "lease": packet["lease"]}
            ended = await call(client, "work_report", **named, output=output, claim=2)
            todo += ended["packets"]
        assert (ended["run_status"], ended["tasks"]["failed"]) == ("succeeded", 0)


async def test_shared_context_that_is_cut_is_told(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        long = ["x" * 95_279, "short", "y" * 60_000]
        cut = await call(client, "sparc_run", mode="coder", task="A", context=long)
        assert "The shared context (155284 bytes) does not go in whole: a prompt has room for 48000" in cut["next_step"]
        (packet,) = cut["packets"]
        assert packet["cut_contexts"] == 2
        assert "short\n</context>" in packet["prompt"]
        assert "[… shared context is shortened; whole: context:1, context:2, …" in packet["prompt"]
        whole = await call(client, "sparc_run", mode="coder", task="A", context=["x" * 40_000, "short"])
        assert "shared context" not in whole["next_step"]
        assert whole["packets"][0]["cut_contexts"] == 0
        out = await call(client, "sparc_run", mode="coder", task="A" * 44_000, context=["x" * 400] * 100)
        assert "does not go in whole" in out["next_step"]
        prompt = out["packets"][0]["prompt"]
        assert out["packets"][0]["cut_contexts"] == 100 - prompt.count("x" * 400)
        assert 1 <= prompt.count("x" * 400) < 100
        assert " texts are left out; whole: context:1, context:2, …" in prompt


async def test_the_next_step_says_what_to_do_when_there_is_no_packet(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        assert "A sparc_ tool starts one" in (await call(client, "work_claim"))["next_step"]
        await call(client, "swarm_init", max_agents=1)
        run = await call(client, "sparc_concurrent", mode="coder", tasks=["A", "B"])
        assert "every agent of the swarm has one" in (await call(client, "work_claim"))["next_step"]
        other = (await call(client, "work_claim", role="tester"))["next_step"]
        assert other.startswith("1 packet is ready")
        assert "call work_claim without role" in other
        await call(client, "run_control", run_id=run["run_id"], action="pause")
        assert "action resume" in (await call(client, "work_claim"))["next_step"]
        small = await call(client, "run_status", run_id=run["run_id"], include=[])
        assert (small["run"]["timeline"], small["run"]["artefacts"], small["run"]["usage"]) == (None, None, None)


async def test_a_deliverable_without_its_place_says_so_and_why(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with in_memory(tmp_path, allow=[str(out)]) as client:
        run = await call(client, "sparc_concurrent", mode="coder", tasks=["A", "B", "C"], out_dir=str(out))
        first, second, third = run["packets"]
        assert (await report(client, first))["trouble"] is None
        await anyio.Path(out).rename(tmp_path / "moved")
        await anyio.Path(out).write_text("a file where a folder should be")
        told_ = await report(client, second)
        assert (told_["task_status"], told_["path"]) == ("succeeded", None)
        assert told_["trouble"].startswith("files not written: ")
        assert told_["next_step"].startswith(f"Accepted; do not report it again. But: {told_['trouble']}. ")
        over = await report(client, third)
        assert (over["run_status"], over["path"]) == ("succeeded", None)
        assert "files not written" in over["next_step"]

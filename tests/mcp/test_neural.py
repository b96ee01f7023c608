"""neural_train and neural_predict as a client of the protocol calls them."""

from pathlib import Path
from typing import Any

from mcp import Client
from tests.learning.worlds import as_given, world
from tests.mcp.conftest import in_memory, told
from tests.mcp.test_host_work import call, rows


def learned(view: dict[str, Any], source: str, level: str, target: str) -> Any:
    (section,) = [each for each in view["sections"] if (each["source"], each["level"]) == (source, level)]
    return next(each for each in section["targets"] if each["target"] == target)


def expected(view: dict[str, Any], target: str) -> Any:
    return next(each for each in view["expected"] if each["target"] == target)


async def train(client: Client, **given: Any) -> dict[str, Any]:
    return await call(client, "neural_train", training_data=as_given(world(80)), **given)


async def test_without_a_model_or_rows_nothing_is_made_up(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        refused = told(await client.call_tool("neural_predict", {"input": "agents: 4"}))
        assert refused.endswith(
            "project test has no model 'performance-predictor' (it has none);"
            " train it with neural_train --model-id performance-predictor"
        )
        view = await call(client, "neural_train", epochs=50)
        assert (view["status"], view["version"], view["accepted"]) == ("insufficient_data", 1, 0)
        missing = learned(view, "own", "run", "duration_s")["insufficient"]
        assert missing == {
            "what": "rows",
            "reason": "no run of this project has ended with its duration known; at least 30 are needed",
            "runs_to_make": ["make at least 30 runs"],
        }
        assert view["reasons"]["epochs"].startswith("nothing ran in epochs")
        asked = await call(client, "neural_predict", input="agents: 4")
        assert asked["status"] == "insufficient_data"
        assert expected(asked, "duration_s")["insufficient"]["reason"] == missing["reason"]
        assert asked["recommended"]["agents"]["value"] is None


async def test_given_rows_are_learned_from_and_asked_and_a_run_is_predicted_and_compared(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        trained = await train(client)
        assert (trained["status"], trained["accepted"], trained["refused"]) == ("trained", 80, 0)
        assert learned(trained, "given", "run", "duration_s")["kind"] == "ridge"
        again = await train(client)
        assert (again["version"], again["rows_sha256"]) == (2, trained["rows_sha256"])
        assert "not added again" in again["reasons"]["accepted"]
        documents = rows(tmp_path, "SELECT DISTINCT document FROM model")
        assert len(documents) == 1, "the same rows and seed make the same model"

        view = await call(
            client, "neural_predict", input={"agents": 4, "topology": "star", "tasks": 20, "mood": "high"}
        )
        assert (view["status"], view["source"], view["level"]) == ("predicted", "given", "run")
        took = expected(view, "duration_s")
        assert took["expected"]["low"] < took["expected"]["value"] < took["expected"]["high"]
        assert took["n"] == 80
        assert took["skill"]["low"] > 0
        assert view["ignored"] == [{"text": "mood: high", "reason": "nothing that is recorded is called mood"}]
        assert view["recommended"]["topology"] == {
            **view["recommended"]["topology"],
            "value": "star",
            "reason": "as asked",
        }
        assert (view["cost_usd"], view["coverage_last"], view["stored"]) == (None, None, 0)
        assert set(view["reasons"]) >= {"cost_usd", "coverage_last", "recommended.memory_mb"}

        tasks = [f"Task {number}" for number in range(5)]
        started = await call(client, "sparc_batch", modes=["coder"], tasks=tasks)
        asked = await call(client, "neural_predict", input={"run_id": started["run_id"]})
        assert asked["understood"]
        kept = rows(tmp_path, "SELECT target FROM prediction WHERE task_id = '' ORDER BY target")
        assert kept == [("duration_s",), ("success",), ("tokens",)]
        packets = started["packets"]
        while packets:
            for packet in packets:
                await call(client, "work_report", task_id=packet["task_id"], lease=packet["lease"], output="done")
            packets = (await call(client, "work_claim", limit=5))["packets"]
        after = await call(client, "neural_predict", input={"run_id": started["run_id"]})
        # It took less than a second, and the model's world is one of minutes.
        assert (after["stored"], after["coverage_last"], after["coverage_last_n"]) == (0, 0, 1)
        (actual,) = rows(tmp_path, "SELECT actual FROM prediction WHERE target = 'duration_s' AND task_id = ''")
        (measured,) = rows(tmp_path, "SELECT makespan_ns / 1e9 FROM run_measure")
        assert actual == measured


async def test_refused_rows_are_told_and_the_others_kept(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        lines = '{"duration_s": 2, "agents": 1}\n{"duration_s": "long"}\nnonsense\n'
        view = await call(client, "neural_train", training_data=lines, pattern_type="coordination")
        assert (view["accepted"], view["refused"]) == (1, 2)
        assert [each["line"] for each in view["refusals"]] == [2, 3]
        assert rows(tmp_path, "SELECT line, agents FROM given_row") == [(1, 1)]


async def test_an_unknown_run_is_refused(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        await call(client, "neural_train")
        for about in ({"run_id": "r_none"}, {"task_id": "t_none_0"}):
            (named,) = about.values()
            assert f"project test has no {named}" in told(await client.call_tool("neural_predict", {"input": about}))
        assert "model_id ' ' shows nothing" in told(await client.call_tool("neural_train", {"model_id": " "}))
        assert told(await client.call_tool("neural_train", {"training_data": 7})).endswith(
            "training_data is 7; give a list of rows, one row, or lines of JSON"
        )

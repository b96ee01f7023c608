"""neural_patterns as a client meets it."""

from pathlib import Path

from tests.learning.test_scalability import law
from tests.mcp.conftest import answered, in_memory, told


async def test_a_client_gets_the_curve_of_the_rows_it_gave_or_the_runs_to_make(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        empty = answered(await client.call_tool("neural_patterns", {"operation": "parallel_execution"}))
        assert (empty["status"], empty["curves"][0]["sigma"]) == ("insufficient_data", None)
        assert empty["curves"][0]["runs_to_make"]
        rows = [{"duration_s": 10 / law(n, 0.1, 0.02), "agents": n} for n in (1, 2, 4, 8, 16) * 6]
        answered(await client.call_tool("neural_train", {"trainingData": rows}))
        found = answered(await client.call_tool("neural_patterns", {"operation": "parallel_execution"}))
        own, given = found["curves"]
        assert (found["status"], own["source"], given["source"]) == ("ok", "own", "given")
        assert abs(given["best_agents"]["value"] - (0.9 / 0.02) ** 0.5) < 0.1
        again = answered(await client.call_tool("neural_patterns", {"as_of": found["as_of"]}))
        assert again["curves"] == found["curves"]


async def test_what_it_cannot_be_about_is_refused(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        line = told(await client.call_tool("neural_patterns", {"operation": "parallel"}))
        assert "operation must be one of" in line

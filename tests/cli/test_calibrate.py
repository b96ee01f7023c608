"""`swarmtally calibrate`: calls that ran alone, and what reports make of them."""

from tests.backends.wire import OpenAIWire
from tests.cli.conftest import Shell


def test_calls_are_made_one_after_another_and_reports_rest_on_them(shell: Shell, wire: OpenAIWire) -> None:
    before = shell("sparc", "batch", "coder", "Login,Search")
    assert before.status == 0
    report = shell("mcp", "performance_report").document
    assert report["speed_multiplier"] is None
    assert "swarmtally calibrate" in report["reasons"]["speed_multiplier"]

    made = shell("calibrate", "--calls", "9").document
    assert (made["status"], made["calls"], made["lone_calls"]) == ("succeeded", 9, 9)
    assert made["basis"].startswith("9 lone calls of openai:test: exec_s = ")

    report = shell("mcp", "performance_report").document
    assert report["basis"]["speed_multiplier"].startswith(made["basis"])
    low, high = report["intervals"]["speed_multiplier"]
    assert low <= report["speed_multiplier"] <= high
    # The calls of a calibration are nobody's work.
    assert report["n"]["speed_multiplier"] == report["n"]["makespan_s"] == 1
    assert report["tasks_ended"] == 2
    lengths = [len(request.user_text) for request in wire.requests]
    assert max(lengths) > min(lengths) + 1_000, "what is read must differ, or its cost could not be told"


def test_a_client_cannot_be_calibrated(shell: Shell) -> None:
    refused = shell("calibrate", "--model", "host")
    assert "not ours to time; name a model" in refused.complaint

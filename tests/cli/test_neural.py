"""Learning in the shell: the commands of the seed document, files, and what a wrong argument says."""

import io
import json
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console

from swarmtally.cli import terminal
from swarmtally_tools.neural import PredictedView, TrainedView
from tests.cli.conftest import Shell

LOGS = [
    {
        "mode": mode,
        "agents": agents,
        "topology": "mesh",
        "prompt_tokens": 400 + 40 * number,
        "duration_s": 3 + 0.4 * number + 9 / agents,
        "success": number % 9 != 0,
    }
    for number, (mode, agents) in enumerate(
        (mode, agents) for mode in ("architect", "coder", "tester") for agents in (1, 2, 4, 8) for _ in range(4)
    )
]
"""As the seed's performance-logs.json."""


def test_the_commands_of_the_seed_document(shell: Shell) -> None:
    trained = shell("mcp", "neural_train", "--pattern_type", "optimization", "--training_data", json.dumps(LOGS))
    assert trained.status == 0, trained
    view = trained.document
    assert (view["accepted"], view["refused"], view["ignored"]) == (48, 0, {})
    assert {(each["source"], each["level"]): each["rows"] for each in view["sections"]} == {
        ("own", "task"): 0,
        ("own", "run"): 0,
        ("given", "task"): 48,
    }
    asked = shell(
        *("mcp", "neural_predict", "--input", "project_complexity: high, team_size: 5"),
        *("--model-id", "performance-predictor"),
    )
    assert asked.status == 0, asked
    view = asked.document
    assert view["understood"] == {
        "team_size: 5": "agents 5",
        "project_complexity: high": "prompt_bytes 7200: the upper quartile of what was seen",
    }
    assert view["ignored"] == []
    took = view["expected"][0]
    assert (took["target"], took["kind"], took["n"]) == ("duration_s", "sums", 48)
    # Prompts grew from row to row, so each mode has its own sizes: 10.5 s was once told where the law says 18.8 s.
    assert took["expected"]["low"] <= 3 + 0.4 * 35 + 9 / 5 <= took["expected"]["high"]
    # Nobody gave tokens, and every row is of a mesh: neither is made up.
    assert view["expected"][1]["insufficient"]["what"] == "rows"
    assert view["recommended"]["topology"]["value"] is None
    # With 17 s that are nobody's and 9 s that agents share, the third adds 0.09 of what one does alone.
    assert view["recommended"]["agents"]["value"] == 2
    assert "of the best number: at least" in view["recommended"]["agents"]["reason"]


def test_rows_come_from_a_file_and_lines_that_are_wrong_are_named(shell: Shell, place: Path) -> None:
    (place / "rows.jsonl").write_text('{"duration_s": 1, "agents": 2}\n{"agents": 2}\n')
    view = shell("mcp", "neural_train", "--training-data", f"@{place / 'rows.jsonl'}", "--model-id", "mine").document
    assert (view["accepted"], view["refusals"]) == (1, [{"line": 2, "reason": "it has no duration_s"}])
    known = shell("mcp", "neural_predict", "--input", "agents: 2", "--model-id", "yours").complaint
    assert known.endswith("no model 'yours' (it has mine); train it with neural_train --model-id yours")


def test_wrong_arguments_are_refused_before_anything_is_opened(shell: Shell, place: Path) -> None:
    assert "pattern_type" in shell("mcp", "neural_train", "--pattern-type", "magic").complaint
    assert "input" in shell("mcp", "neural_predict").complaint
    assert not (place / "swarm.db").exists()


def drawn(view: BaseModel) -> str:
    console = Console(width=160, file=io.StringIO(), force_terminal=False)
    terminal.show(view, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_person_sees_what_was_learned_expected_and_missing(shell: Shell) -> None:
    rows = json.dumps([*LOGS, {"agents": 1}])
    trained = TrainedView.model_validate(shell("mcp", "neural_train", "--training-data", rows).document)
    text = drawn(trained)
    assert "sums" in text
    assert "training_data: 48 rows taken, 1 refused" in text
    assert "it has no duration_s" in text
    asked = shell("mcp", "neural_predict", "--input", "agents: 5, mood: \x1b[31mhigh").document
    text = drawn(PredictedView.model_validate(asked))
    assert "agents 5" in text
    assert "ignored: nothing that is recorded is called mood" in text
    assert "had mesh; nothing can be compared" in text
    assert "\x1b[31m" not in text

"""The embedded model does a run, end to end: shell command, model in the process, tokens, artefact on disk."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.model
def test_a_task_is_done_by_the_embedded_model_and_counted(tmp_path: Path) -> None:
    command = [
        str(Path(sys.executable).with_name("swarmtally")),
        *("sparc", "run", "coder", "A function that adds two numbers", "--model", "local"),
        *("--out-dir", str(tmp_path / "out"), "--allow", str(tmp_path)),
    ]
    environment = {**os.environ, "SWARMTALLY_DB": str(tmp_path / "swarm.db")}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    view = json.loads(done.stdout)
    assert (view["status"], view["backend"]["model"]) == ("succeeded", "local:smollm2")
    usage = view["usage"]
    assert usage["calls"] == 1
    assert usage["unknown_calls"] == 0
    assert usage["input_tokens"] > 100
    assert 1 <= usage["output_tokens"] <= 96
    text = Path(view["artefacts"][0]["path"]).read_text()
    assert len(text.encode()) == view["artefacts"][0]["size_bytes"] > 0

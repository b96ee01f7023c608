"""What a question says: understood by name or phrase, and what is not is told."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmtally.learning.understanding import Reading, understand, with_subject

KNOWN = {"topology": frozenset({"mesh", "star"}), "mode": frozenset({"coder", "architect"})}


def understood(question: Any) -> Reading:
    return understand(question, KNOWN)


def test_the_question_of_the_seed_is_understood() -> None:
    found = understood("project_complexity: high, team_size: 5")
    assert found.settings == {"complexity": "high", "agents": 5}
    assert found.said == {"complexity": "project_complexity: high", "agents": "team_size: 5"}
    assert found.ignored == ()


def test_an_object_and_its_json_say_the_same() -> None:
    question = {"agents": 4, "mode": "coder", "budget_tokens": 900, "prompt_tokens": 100}
    found = understood(question)
    assert found.settings == {"agents": 4, "mode": "coder", "budget_tokens": 900, "prompt_bytes": 400}
    assert understood(json.dumps(question)).settings == found.settings


def test_free_text_says_what_its_phrases_say_and_is_a_text_itself() -> None:
    text = "How long do 6 agents in a mesh take for a high complexity project of 12 components, within 5000 tokens?"
    found = understood(text)
    assert found.settings == {
        "agents": 6,
        "topology": "mesh",
        "complexity": "high",
        "tasks": 12,
        "budget_tokens": 5_000,
        "text": text,
    }


@pytest.mark.parametrize(
    ("question", "written", "reason"),
    [
        ("colour: red, agents: 2", "colour: red", "nothing that is recorded is called colour"),
        ("agents: many", "agents: many", "agents takes a whole number from 1 on"),
        ("agents: 0", "agents: 0", "agents takes a whole number from 1 on"),
        ("agents: 2, team_size: 3", "team_size: 3", "agents was said before: agents: 2"),
        ("complexity: purple", "complexity: purple", "complexity takes low, simple"),
        ("budget_usd: -1", "budget_usd: -1", "budget_usd takes a number above 0"),
        ({"level": "swarm"}, "level: swarm", "level takes task or run"),
        ({"agents": True}, "agents: true", "agents takes a whole number"),
        ({"mode": ["coder"]}, 'mode: ["coder"]', "mode takes a text"),
    ],
)
def test_what_means_nothing_is_told_with_the_reason(question: Any, written: str, reason: str) -> None:
    found = understood(question)
    assert [text for text, _ in found.ignored] == [written]
    assert found.ignored[0][1].startswith(reason)


def test_what_a_run_is_fills_in_what_the_question_leaves_open() -> None:
    reading = understood({"run_id": "r_1", "agents": 9})
    found = with_subject(reading, "r_1", {"agents": 4, "mode": "batch", "topology": None})
    assert found.settings == {"run_id": "r_1", "agents": 9, "mode": "batch"}
    assert found.said["mode"] == "of r_1"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80) | st.dictionaries(st.text(max_size=9), st.integers() | st.text(max_size=9), max_size=4))
def test_no_question_breaks_the_reader(question: Any) -> None:
    found = understood(question)
    assert found.settings.keys() == found.said.keys()
    assert all(reason for _, reason in found.ignored)


@pytest.mark.parametrize(
    ("question", "settings"),
    [
        ("mode: tester, agents: 2, prompt_bytes: 7,200", {"mode": "tester", "agents": 2, "prompt_bytes": 7_200}),
        ("mode=coder agents=4", {"mode": "coder", "agents": 4}),
        ({"agents": "5", "prompt_tokens": "1,000"}, {"agents": 5, "prompt_bytes": 4_000}),
        ({"run_id": "7", "model": "4"}, {"run_id": "7", "model": "4"}),
        ("model: 4", {"model": "4"}),
        ("agents: 3, please", {"agents": 3, "text": "please"}),
        ("a shop, agents: 3, with carts", {"agents": 3, "text": "a shop, with carts"}),
        ("1,200 agents", {"agents": 1_200, "text": "1,200 agents"}),
        ("within 5,000 tokens", {"budget_tokens": 5_000, "text": "within 5,000 tokens"}),
        ("about 2.5 agents", {"text": "about 2.5 agents"}),
        ("-5 agents", {"text": "-5 agents"}),
        ("3-5 agents", {"text": "3-5 agents"}),
    ],
)
def test_a_setting_is_neither_lost_nor_made_of_another_number(question: Any, settings: dict[str, Any]) -> None:
    assert understood(question).settings == settings


def test_a_phrase_that_contradicts_another_is_told() -> None:
    found = understood("5 agents or 8 agents")
    assert found.settings["agents"] == 5
    assert found.ignored == (("8 agents", "agents was said before: 5 agents"),)

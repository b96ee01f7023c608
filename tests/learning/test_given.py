"""Rows that somebody gives: taken or refused one by one, with place and reason."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmtally.learning import given as giving
from swarmtally.learning.features import COUNTS
from swarmtally.learning.given import LONGEST_S, SHORTEST_S, read
from swarmtally.learning.rows import TrainingRow
from swarmtally.learning.sections import learn

SEED = {"mode": "coder", "agents": 4, "topology": "mesh", "prompt_tokens": 440, "duration_s": 5.65, "success": True}


def only(document: Any) -> TrainingRow:
    found = read(document)
    assert not found.refused
    ((_, row),) = found.rows
    return row


def why(row: Any) -> str:
    found = read([row])
    assert not found.rows
    return found.refused[0].reason


def test_a_row_of_the_seed_is_taken_whole() -> None:
    row = only([SEED])
    assert (row.source, row.level, row.mode, row.agents, row.topology) == ("given", "task", "coder", 4, "mesh")
    assert (row.duration_s, row.success, row.prompt_bytes, row.tokens, row.at_ns) == (5.65, True, 1_760, None, 1)


def test_a_list_an_object_and_lines_of_json_give_the_same_rows() -> None:
    rows = [{**SEED, "duration_s": took} for took in (1, 2.5)]
    lines = "\n".join(map(json.dumps, rows))
    found = [read(each).rows for each in (rows, json.dumps(rows), lines, lines + "\n")]
    assert all(each == found[0] for each in found)
    assert len({read(each).batch for each in (rows, lines)}) == 1
    assert only(rows[0]) == only(json.dumps(rows[0])) == found[0][0][1]


def test_a_refused_row_has_its_line_and_reason_and_the_others_are_taken() -> None:
    found = read('{"duration_s": 1}\n\n{"duration_s": -1}\nno json\n[1]\n{"duration_s": 2}')
    assert [line for line, _ in found.rows] == [1, 6]
    assert [(one.line, one.reason.split(";")[0]) for one in found.refused] == [
        (3, "duration_s is -1"),
        (4, "it is not JSON: Expecting value at column 1"),
        (5, "it is a list"),
    ]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"agents": 4}, "it has no duration_s"),
        ({"duration_s": 0}, "duration_s is 0; it takes a number above 0 (from 1e-09 on), at most 31536000"),
        ({"duration_s": True}, "duration_s is True;"),
        ({"duration_s": float("nan")}, "duration_s is nan;"),
        ({"duration_s": 10**400}, "duration_s is 1000"),
        ({"duration_s": 1, "success": 1}, "success is 1; it takes true or false"),
        ({"duration_s": 1, "agents": 2.5}, "agents is 2.5; it takes a whole number from 1 to 1000000"),
        ({"duration_s": 1, "agents": 0}, "agents is 0;"),
        ({"duration_s": 1, "tokens": "many"}, "tokens is 'many';"),
        ({"duration_s": 1, "level": "swarm"}, "level is 'swarm'; it takes task or run"),
        ({"duration_s": 1, "mode": " "}, "mode is ' ';"),
        ({"duration_s": 1, "at": "yesterday"}, "at is 'yesterday'; it takes a moment in ISO 8601, from 1970 to 2200"),
        ({"duration_s": 1, "at": "1969-01-01"}, "at is '1969-01-01';"),
        (7, 'it is a number; a row is an object such as {"duration_s": 12.5, "agents": 4}'),
        (None, "it is null;"),
    ],
)
def test_what_is_wrong_is_named(said: Any, reason: str) -> None:
    assert why(said).startswith(reason)


def test_tokens_are_the_sum_of_input_and_output_and_unknown_where_one_is() -> None:
    assert only({"duration_s": 1, "input_tokens": 40, "output_tokens": 2}).tokens == 42
    assert only({"duration_s": 1, "prompt_tokens": 40}).tokens is None
    assert only({"duration_s": 1, "tokens": 7, "input_tokens": 40, "output_tokens": 2}).tokens == 7


def test_without_a_mode_it_is_a_run_unless_it_says_otherwise() -> None:
    assert only({"duration_s": 1, "agents": 2}).level == "run"
    assert only({"duration_s": 1, "level": "task"}).level == "task"
    assert only({"duration_s": 1, "role": "coder"}).mode == "coder"


def test_names_that_mean_nothing_are_counted_and_null_is_not_known() -> None:
    found = read([{"duration_s": 1, "colour": "red", "agents": None}, {"duration_ms": 1_500, "colour": "blue"}])
    assert found.ignored == {"colour": 2}
    assert [(row.agents, row.duration_s) for _, row in found.rows] == [(None, 1), (None, 1.5)]


def test_a_moment_without_an_offset_is_utc() -> None:
    assert only({"duration_s": 1, "at": "1970-01-02T00:00:00"}).at_ns == 86_400 * 10**9
    assert only({"duration_s": 1, "at": "1970-01-02T01:00:00+01:00"}).at_ns == 86_400 * 10**9


def test_more_rows_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(giving, "ROWS_LIMIT", 2)
    found = read([{"duration_s": 1}] * 3)
    assert len(found.rows) == 2
    assert found.refused[0].reason == "it comes after 2 rows; give the rest in another call"


def test_half_a_character_is_replaced() -> None:
    assert only({"duration_s": 1, "mode": "a\ud800b", "text": "x\udfff"}).mode == "a?b"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = sorted(giving._READERS)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=6) | ANYTHING, max_size=6))
def test_whatever_is_given_each_row_is_taken_or_refused_and_never_both(rows: list[Any]) -> None:
    found = read(rows)
    assert sorted([line for line, _ in found.rows] + [one.line for one in found.refused]) == list(
        range(1, len(rows) + 1)
    )
    for _, row in found.rows:
        assert 0 < row.duration_s <= giving.LONGEST_S
        assert row.agents is None or row.agents >= 1


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    found = read(text)
    assert len(found.rows) + len(found.refused) <= text.count("\n") + 1 + text.count(",")


@given(st.text(max_size=200) | st.text("a1 0(){}<>=_;\n\t\u00a0\x1c", max_size=40))
def test_of_a_text_only_what_is_counted_is_kept(text: str) -> None:
    kept = only({"duration_s": 1, "text": text}).text
    assert [count(kept) for count in COUNTS.values()] == [count(text) for count in COUNTS.values()]
    assert not set(kept) - set("x0{}()[]<>=_;") - {each for each in kept if each.isspace()}


def test_no_secret_in_a_text_is_kept() -> None:
    kept = only({"duration_s": 1, "text": "Use password=hunter2;\nsk-ant-0123456789 (live)"}).text
    assert kept == "x x=x0;\nx0000000000 (x)"


@pytest.mark.parametrize("shortest", [{"duration_s": 5e-324}, {"duration_s": 1e-10}, {"duration_ms": 1e-7}])
def test_a_duration_that_nothing_can_take_is_refused(shortest: dict[str, float]) -> None:
    """It broke every training of that model from then on: a throughput without end."""
    assert f"{next(iter(shortest))} is" in why(shortest)


def test_the_shortest_and_longest_durations_can_be_learned_from() -> None:
    shapes = [{"duration_s": (SHORTEST_S, LONGEST_S, 1.0)[n % 3], "agents": 1 + n % 5} for n in range(60)]
    assert learn([row for _, row in read(shapes).rows], "optimization", 0, lambda section: None)

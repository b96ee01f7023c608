"""What a text of the command line means."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.cli.naming import kebab, snake
from swarmtally.cli.tool_command import tool_command
from swarmtally.cli.values import READ_LIMIT_BYTES, Kind, json_or_text, kind_of, parse
from swarmtally.domain.errors import InvalidInput
from swarmtally_tools import registry
from swarmtally_tools.pages import pages

texts = st.text(st.characters(exclude_categories=["Cs"]))
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
documents = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=10)


@given(st.lists(documents) | st.dictionaries(texts, documents), st.sampled_from(["", " ", "\n\t"]))
def test_an_object_or_a_list_is_taken_as_json(document: Any, space: str) -> None:
    text = f"{space}{json.dumps(document)}{space}"
    assert json_or_text("value", text) == document
    assert parse(Kind.JSON, "tasks", [text]) == document


@given(texts)
def test_what_does_not_begin_as_an_object_or_a_list_is_text_as_given(text: str) -> None:
    if not text.strip().startswith(("{", "[")):
        assert json_or_text("value", text) == text


@pytest.mark.parametrize("text", ["{", "[1, 2", "{a: 1}", "[NaN]", '{"x": Infinity}', "[x] done", " {} {} "])
def test_what_begins_like_json_and_is_none_is_text_as_given(text: str) -> None:
    assert json_or_text("value", text) == text


@pytest.mark.parametrize("text", ["5", '"quoted"', "true", "null"])
def test_a_bare_scalar_is_text(text: str) -> None:
    assert json_or_text("value", text) == text


@given(texts)
def test_every_text_can_be_given_literally(text: str) -> None:
    literal = f"@{text}" if text.startswith("@") else text
    assert parse(Kind.TEXT, "key", [literal]) == text


@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1), min_size=1))
def test_names_are_the_same_by_commas_and_by_repeating(names: list[str]) -> None:
    assert parse(Kind.NAMES, "modes", [",".join(names)]) == names
    assert parse(Kind.NAMES, "modes", [" , ".join(names) + ","]) == names
    assert parse(Kind.NAMES, "modes", names) == names


@pytest.mark.parametrize(
    ("given", "tasks"),
    [
        (["Feature A,Feature B"], ["Feature A", "Feature B"]),
        (["RESTful API with authentication, rate limiting"], ["RESTful API with authentication, rate limiting"]),
        (["a,b", "c"], ["a", "b", "c"]),
        (["1,000 rows,f(a,b)"], ["1,000 rows", "f(a,b)"]),
        (["@@home,x"], ["@home", "x"]),
    ],
)
def test_in_tasks_a_comma_with_no_space_after_it_separates(given: list[str], tasks: list[str]) -> None:
    assert parse(Kind.PROSE, "tasks", given) == tasks


@given(texts)
def test_a_value_is_taken_whatever_it_begins_with(text: str) -> None:
    command = tool_command(registry.load("memory_usage"))
    context = command.make_context("memory_usage", ["--action", "store", "--value", text])
    assert context.params["value"] == text


@pytest.mark.parametrize("text", ["5", "true", "[1,NaN]"])
def test_that_all_else_is_text_is_told_in_the_help_and_on_the_page(text: str) -> None:
    assert json_or_text("value", text) == text
    command = tool_command(registry.load("memory_usage"))
    help_ = " ".join(command.get_help(command.make_context("memory_usage", [], resilient_parsing=True)).split())
    assert "an object or a list is JSON; all else is text as given" in help_
    assert "anything else is text exactly as given" in pages()["memory_usage.md"]
    assert "In the shell" not in pages()["memory_search.md"]


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "note.txt"
    file.write_bytes("\ufeffone,\r\ntwo\n".encode())
    assert parse(Kind.TEXT, "task", [f"@{file}"]) == "one,\r\ntwo\n"
    assert parse(Kind.PROSE, "tasks", [f"@{file}"]) == ["one,\r\ntwo\n"]
    assert parse(Kind.NAMES, "modes", [f"@{file}"]) == ["one", "two"]
    assert parse(Kind.VALUE, "value", [f"@{file}"]) == "one,\r\ntwo\n"


def test_a_file_of_json_is_json(tmp_path: Path) -> None:
    file = tmp_path / "value.json"
    file.write_text('[{"a": 1}]\n')
    assert parse(Kind.VALUE, "value", [f"@{file}"]) == [{"a": 1}]
    assert parse(Kind.JSON, "tasks", [f"@{file}"]) == [{"a": 1}]


def test_a_dash_is_stdin_for_json_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"from": "stdin"}')))
    assert parse(Kind.VALUE, "value", ["-"]) == {"from": "stdin"}
    assert parse(Kind.TEXT, "key", ["-"]) == "-"
    assert parse(Kind.VALUE, "value", ["-5"]) == "-5"


def test_a_closed_stdin_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert parse(Kind.VALUE, "value", ["-"]) == ""


@pytest.mark.parametrize(
    ("kind", "text", "line"),
    [
        (Kind.JSON, "{", "--tasks is not JSON: .* at line 1, column 2"),
        (Kind.JSON, "[NaN]", "--tasks is not JSON: NaN is no JSON value"),
        (Kind.JSON, "[" * 100_000, "nested too deep"),
        (Kind.VALUE, "[" * 100_000, "nested too deep"),
        (Kind.VALUE, f"[{'9' * 5000}]", "too many digits"),
        (Kind.TEXT, "@/none", r"file '/none' cannot be read \(No such file or directory\); write @@"),
        (Kind.TEXT, "@\0", "cannot be read"),
        (Kind.TEXT, "@/", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_told(kind: Kind, text: str, line: str) -> None:
    with pytest.raises(InvalidInput, match=line):
        parse(kind, "tasks", [text])


def test_a_file_that_is_no_text_or_too_large_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"ab\xff")
    with pytest.raises(InvalidInput, match=r"not UTF-8 \(byte 2\)"):
        parse(Kind.TEXT, "task", [f"@{file}"])
    file.write_bytes(b" " * (READ_LIMIT_BYTES + 1))
    with pytest.raises(InvalidInput, match=f"more than {READ_LIMIT_BYTES} bytes"):
        parse(Kind.TEXT, "task", [f"@{file}"])


@pytest.mark.parametrize(
    ("text", "number"),
    [("8", 8), ("-3", -3), ("+3", 3), ("2.5", 2.5), (".5", 0.5), ("1e3", 1000.0), ("many", "many"), ("", "")],
)
def test_a_number_is_handed_on_as_one(text: str, number: object) -> None:
    assert parse(Kind.WORD, "limit", [text]) == number


@pytest.mark.parametrize("text", ["1_0", "1_0.5", "nan", "inf", "-Infinity", " 8", "\u0668", "1e1_0"])
def test_what_only_python_takes_for_a_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^--limit is .*; write the number in plain digits"):
        parse(Kind.WORD, "limit", [text])


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_means_what_it_says(number: float) -> None:
    assert parse(Kind.WORD, "limit", [str(number)]) == number


@pytest.mark.parametrize(
    ("name", "schema", "kind"),
    [
        ("key", {"type": "string"}, Kind.TEXT),
        ("key", {"anyOf": [{"type": "string"}, {"type": "null"}]}, Kind.TEXT),
        ("topology", {"type": "string", "enum": ["star"]}, Kind.WORD),
        ("limit", {"type": "integer"}, Kind.WORD),
        ("wait_s", {"anyOf": [{"type": "number"}, {"type": "null"}]}, Kind.WORD),
        ("dispatch", {"type": "boolean"}, Kind.FLAG),
        ("tags", {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]}, Kind.NAMES),
        ("tasks", {"type": "array", "items": {"type": "string"}}, Kind.PROSE),
        ("context", {"type": "array", "items": {"type": "string"}}, Kind.PROSE),
        ("tasks", {"type": "array", "items": {"type": "object"}}, Kind.JSON),
        ("metrics", {"type": "object"}, Kind.JSON),
        ("value", {"default": None}, Kind.VALUE),
        ("input", {"anyOf": [{"type": "string"}, {"type": "object"}]}, Kind.VALUE),
        ("logs", {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}, Kind.VALUE),
    ],
)
def test_the_kind_follows_from_the_schema(name: str, schema: dict[str, Any], kind: Kind) -> None:
    assert kind_of(name, schema) is kind


@given(st.lists(st.from_regex(r"[a-z]{2}[a-z0-9]*", fullmatch=True), min_size=1))
def test_every_spelling_of_a_name_is_the_same(words: list[str]) -> None:
    camel = words[0] + "".join(word.capitalize() for word in words[1:])
    assert {kebab("_".join(words)), kebab("-".join(words)), kebab(camel)} == {"-".join(words)}
    assert snake("-".join(words)) == "_".join(words)

"""Whatever a log holds becomes bounded lines of text, and what was mended is counted."""

import io
import json
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.logreading import lines as module
from swarmtally.logreading.lines import BROKEN, CHUNK_BYTES, CUT, INVALID, LINE_LIMIT_BYTES, NUL, TRAILING, Lines

OBJECTS = st.dictionaries(st.text(max_size=3), st.text(max_size=3))
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0")


def read(content: bytes, piece: int | None = None) -> tuple[list[str], dict[str, int]]:
    """The lines of a log that comes in pieces, and its notes."""
    stream = io.BytesIO(content)
    found = Lines(lambda size: stream.read(min(size, piece or size)))
    return list(found), dict(found.notes())


@given(st.lists(st.text(CHARACTERS, max_size=20), max_size=8), st.integers(1, 7))
def test_lines_are_the_same_in_whatever_pieces_they_come(texts: Sequence[str], piece: int) -> None:
    content = "\n".join(["log", *texts]).encode()
    expected = ["log", *texts]
    if not expected[-1]:
        expected.pop()
    assert read(content, piece) == (expected, {})


@given(st.lists(st.one_of(st.text(max_size=20), st.integers(), OBJECTS)))
def test_a_json_list_gives_its_elements(values: list[Any]) -> None:
    values = ["first", *values]
    found, notes = read(json.dumps(values, indent=1).encode())
    expected = [
        (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        .replace("\0", "")
        .removesuffix("\r")
        for value in values
    ]
    assert found == [line.encode(errors="replace").decode() for line in expected]
    assert set(notes) <= {NUL}


def test_an_element_with_several_lines_stays_whole() -> None:
    content = json.dumps(["a", "b\nc\nd", {"x": 1}, "e"]).encode()
    assert read(content)[0] == ["a", "b\nc\nd", '{"x": 1}', "e"]


def test_nul_and_bytes_that_are_no_text_are_mended_and_counted() -> None:
    assert read(b"a\0\0b\r\nc\xff\xfed\nok\n") == (["ab", "c\ufffd\ufffdd", "ok"], {NUL: 1, INVALID: 1})


def test_a_line_of_100_mb_is_cut_and_the_next_is_read() -> None:
    found, notes = read(b"x" * 100_000_000 + b"\nnext\n")
    assert ([len(line) for line in found], found[-1]) == ([LINE_LIMIT_BYTES, 4], "next")
    assert notes == {CUT: 1}


def test_a_line_without_end_takes_no_memory() -> None:
    chunks = iter([b"x" * CHUNK_BYTES] * 20)
    tracemalloc.start()
    try:
        (line,) = Lines(lambda size: next(chunks, b""))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(line) == LINE_LIMIT_BYTES
    assert peak < 8 * CHUNK_BYTES


def test_a_character_that_the_cut_goes_through_is_no_mistake_of_the_log() -> None:
    found, notes = read(b"x" + "é".encode() * LINE_LIMIT_BYTES + b"\n")
    assert found == ["x" + "é" * ((LINE_LIMIT_BYTES - 1) // 2)]
    assert notes == {CUT: 1}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_windows_writes_is_read(encoding: str) -> None:
    assert read("é one\r\ntwo €\r\n".encode(encoding), 3) == (["é one", "two €"], {})
    assert read('["é", "b"]'.encode(encoding), 3) == (["é", "b"], {})


def test_a_line_that_begins_with_a_bracket_is_text() -> None:
    for content in (b"[2026-11-23] a", b"[{service=a}] b\n[{service=c}] d", b'["a" b]', b"[] c", b"[" * 100_000):
        assert read(content)[0] == content[:LINE_LIMIT_BYTES].decode().split("\n")


def test_a_list_that_was_cut_off_is_read_up_to_there() -> None:
    assert read(b'["a", "b", "c') == (["a", "b"], {BROKEN: 1})
    assert read(b'["a", "b" "c"]') == (["a"], {BROKEN: 1})
    assert read(b'["a", ' + b"[" * 100_000) == (["a"], {BROKEN: 1})
    assert read(b'["a"]\n["b"]') == (["a"], {TRAILING: 1})


def test_an_element_longer_than_there_is_room_for_ends_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 100)
    monkeypatch.setattr(module, "ELEMENT_LIMIT", 1_000)
    assert read(json.dumps(["a", "x" * 900, "b"]).encode())[0] == ["a", "x" * 900, "b"]
    assert read(json.dumps(["a", "x" * 9_000, "b"]).encode()) == (["a"], {BROKEN: 1})
    assert read(json.dumps(["x" * 900, "b"]).encode())[0] == ["x" * 900, "b"]


def test_nothing_gives_nothing() -> None:
    assert read(b"") == ([], {})
    assert read(b"[]") == ([], {})

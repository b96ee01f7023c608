"""Lines become templates: what they count, when, and in whatever order and pieces they come."""

import json
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.logreading import drain
from swarmtally.logreading.drain import FEW
from swarmtally.logreading.reading import LONGEST_LINE, Reader, Reading
from swarmtally.logreading.stamps import NS_PER_S


def read(lines: Sequence[str], **settings: bool) -> Reading:
    reader = Reader(**settings)  # type: ignore[arg-type]
    reader.feed(lines)
    return reader.result()


def templates(lines: Sequence[str]) -> dict[str, int]:
    return {template.template: template.count for template in read(lines).templates}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("17", "<num>"), ("-1.5", "<num>"), ("1,234", "<num>"), ("10.0.0.1", "<ip>"), ("10.0.0.1:80", "<ip>"),
        ("/10.0.0.1:80", "<ip>"),
        ("2001:db8::1", "<ip>"), ("fe80:0:0:0:1:2:3:4", "<ip>"), ("1b4e28ba-2fa1-11d2-883f-0016d3cca427", "<id>"),
        ("/var/log/x.log", "<path>"), ("C:\\Windows\\x.dll", "<path>"), ("~/x/y", "<path>"), ("https://a.b/c?d=1",
        "<url>"), ("30s", "<duration>"),
        ("1.5ms", "<duration>"), ("1h30m", "<duration>"), ("4.15KB", "<size>"), ("10MiB", "<size>"), ("0xff",
        "<id>"), ("deadbeef01", "<id>"),
        ("00:1a:2b:3c:4d:5e", "<id>"), ("a.b@c.org", "<email>"), ("12:30:05", "<time>"), ("2026-11-23T09:08:07Z",
        "<time>"),
        ("blk_-38865", "blk_<num>"), ("node-7", "node-<num>"), ("user=17", "user=<num>"), ("[17]", "[<num>]"),
        ("17%", "<num>%"),
    ],
)  # fmt: skip
def test_values_are_masked_by_kind(value: str, shown: str) -> None:
    assert templates([f"seen {value} there"]) == {f"seen {shown} there": 1}


@pytest.mark.parametrize("word", ["read/write", "n/a", "I/O", "facade", "added", "well-known", "e.g.", "<init>", "a:b"])
def test_words_that_are_no_values_stay(word: str) -> None:
    assert templates([f"seen {word} there"]) == {f"seen {word} there": 1}


def test_lines_that_differ_in_values_are_one_template() -> None:
    assert templates([f"took {n} ms for /a/{n}" for n in range(9)]) == {"took <duration> for <path>": 9}


def test_many_different_words_in_one_place_are_a_variable() -> None:
    names = [f"{chr(97 + n) * 4}" for n in range(FEW + 1)]
    assert templates([f"user {name} logged in from here" for name in names]) == {
        "user <*> logged in from here": FEW + 1
    }


def test_a_few_words_in_one_place_are_templates_of_their_own() -> None:
    lines = [f"the machine {word} in order now" for word in ("started", "stopped", "paused")] * 10
    assert set(templates(lines).values()) == {10}


def test_a_place_with_a_value_and_a_word_is_a_variable() -> None:
    lines = ["from host 10.0.0.1 no answer came", "from host backend no answer came"]
    assert templates(lines) == {"from host <*> no answer came": 2}


def test_more_kinds_of_messages_than_are_kept_apart_lose_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("MOST_IN_LEAF", "MOST_GROUPS", "MOST_FIRST_WORDS", "MOST_VARIANTS"):
        monkeypatch.setattr(drain, limit, 2)
    lines = [" ".join(_names(5_000)[n : n + 300 : 60]) for n in range(500)]
    found = read(lines, keep_lines=True).templates
    assert len(found) < 20
    assert sorted(line for template in found for line in template.lines) == list(range(500))
    assert len({template.key for template in found}) == len(found)


def test_many_lines_like_no_other_do_not_swallow_those_that_come_again() -> None:
    names = _names(4_000)
    lines = []
    for number in range(1_000):
        lines.append(f"job {' '.join(names[4 * number : 4 * number + 4])}")
        lines.append(f"job number {number} is done")
        if number >= 500:
            lines.append("job of the night began")
    found = templates(lines)
    assert (found["job number <num> is done"], found["job of the night began"]) == (1_000, 500)
    assert sum(found.values()) == len(lines)


def test_values_in_a_row_are_a_list_of_any_length() -> None:
    assert templates([f"nodes {' '.join(map(str, range(n)))} are down" for n in range(1, 9)]) == {
        "nodes <num> are down": 8
    }


def test_what_a_place_becoming_variable_merges_keeps_every_count() -> None:
    lines = [
        f"2026-11-23 09:{n % 60:02}:07 ERROR shop.{n % 3}x - user {name} is lost now"
        for n, name in enumerate(_names(200))
    ]
    (template,) = read(lines, keep_lines=True).templates
    assert template.count == 200
    assert lines[0] in template.examples
    assert lines[199] in template.examples
    assert template.lines == tuple(range(200))
    assert (template.first_ns, template.last_ns) == tuple((1795424407 + 60 * minute) * NS_PER_S for minute in (0, 59))
    assert template.components == (("shop.0x", 67), ("shop.1x", 67), ("shop.2x", 66))


def _names(count: int) -> list[str]:
    return ["".join(chr(97 + n // 26**place % 26) for place in range(4)) for n in range(count)]


def test_the_most_frequent_template_is_first_then_the_first_seen() -> None:
    found = read(["b b b", "a a a", "c c c", "c c c"]).templates
    assert [template.template for template in found] == ["c c c", "b b b", "a a a"]
    assert [template.share for template in found] == [0.5, 0.25, 0.25]


def test_examples_are_of_the_first_the_middle_and_the_last() -> None:
    (template,) = read([f"took {n} ms" for n in range(100)]).templates
    first, middle, last = (int(example.split()[1]) for example in template.examples)
    assert (first, last) == (0, 99)
    assert 25 <= middle <= 75


def test_keys_are_the_same_whatever_else_the_log_holds() -> None:
    alone = read(["took 1 try"]).templates[0].key
    assert alone in {template.key for template in read(["x y z", "took 2 try", "q"]).templates}
    # Of the masked words alone: what is stored today must be found again by any later version.
    assert alone == "f89c26b70b4c10f3"


def test_levels_and_rates_are_of_the_entries() -> None:
    lines = [
        f"2026-11-23 09:{minute:02}:00 {level} it is so" for minute, level in enumerate(["WARN", "ERROR", "ERROR"])
    ]
    (template,) = read(lines).templates
    assert template.level == "error"
    assert template.rate_per_minute == 1.5


def test_without_times_there_is_no_rate() -> None:
    (template,) = read(["it is so"] * 3).templates
    assert (template.first_ns, template.last_ns, template.rate_per_minute, template.bursts) == (None, None, None, ())


def test_a_json_list_on_one_line_is_its_items() -> None:
    items = ["took 1 ms", {"level": "error", "msg": "took 2 ms"}]
    assert templates([json.dumps(items)]) == {"took <duration>": 2}


@pytest.mark.parametrize(
    "line", ["[1, 2]", "[error] odd]", "[]", '["a", 1]', "[" * 5_000 + "]" * 5_000, '{"a":' * 5_000 + "}"]
)
def test_what_only_looks_like_json_is_a_message(line: str) -> None:
    assert read([line]).entries == 1


def test_a_line_too_long_is_cut_and_said_to_be() -> None:
    reading = read(["x" * LONGEST_LINE, "y" * (LONGEST_LINE + 1)])
    assert reading.entries == 2
    assert reading.skipped == (("cut at 65536 characters", 1),)


@pytest.mark.parametrize("hostile", ["\x00" * 50, "\ud800 lone", "a" * 200_000, "1" * 200_000, "/" * 60_000,
    "a=" * 30_000, "(" * 60_000,
                                     " " * 60_000 + "x", "x " * 30_000, "\u2028", ":" * 60_000, "at " * 20_000,
                                     "-" * 60_000, "\\" * 60_000])  # fmt: skip
def test_hostile_lines_are_read_and_bounded(hostile: str) -> None:
    reading = read([hostile, f"ERROR {hostile}", f"\tat {hostile}", f"password={hostile}", f"Caused by: {hostile}"])
    for template in reading.templates:
        assert len(template.template) <= 1_000
        assert all(len(example) <= 1_500 for example in template.examples)


WORDS = st.sampled_from(
    ["alpha", "beta", "gamma", "17", "10.0.0.1", "/a/b", "delta", "x=1", "error:", "<*>", "<num>", "<"]
)
MESSAGES = st.lists(WORDS, min_size=1, max_size=6).map(" ".join)


@given(st.lists(MESSAGES, max_size=60), st.data())
def test_feeding_in_pieces_is_the_same_as_at_once(lines: list[str], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(lines)))
    reader = Reader(keep_lines=True)
    reader.feed(lines[:cut])
    reader.feed(iter(lines[cut:]))
    assert reader.result() == read(lines, keep_lines=True)


@given(st.lists(MESSAGES, max_size=60))
def test_every_line_belongs_to_exactly_one_template(lines: list[str]) -> None:
    reading = read(lines, keep_lines=True)
    numbers = [line for template in reading.templates for line in template.lines]
    assert sorted(numbers) == list(range(len(lines)))
    assert all(template.count == len(template.lines) for template in reading.templates)
    assert len({template.key for template in reading.templates}) == len(reading.templates)
    assert sum(template.share for template in reading.templates) == pytest.approx(1.0 if lines else 0.0)


@given(st.lists(MESSAGES, min_size=1, max_size=40))
def test_equal_lines_always_have_one_template(lines: list[str]) -> None:
    of_line = {
        line: template.key for template in read(lines + lines, keep_lines=True).templates for line in template.lines
    }
    assert all(of_line[n] == of_line[n + len(lines)] for n in range(len(lines)))


@given(st.lists(st.tuples(st.integers(0, 10**7), st.sampled_from("abc")), min_size=1, max_size=300))
def test_times_are_counted_whatever_their_order(given_: list[tuple[int, str]]) -> None:
    lines = [f"{1_700_000_000 + second} ERROR {word} happened here" for second, word in given_]
    found = {template.template[0]: template for template in read(lines).templates}
    assert {word: template.count for word, template in found.items()} == dict(Counter(word for _, word in given_))
    for word, template in found.items():
        times = [(1_700_000_000 + second) * NS_PER_S for second, one in given_ if one == word]
        assert (template.first_ns, template.last_ns) == (min(times), max(times))


@pytest.mark.parametrize(
    ("lines", "template"),
    [
        (["took 5 ms", "took 12 s", "took <1 sec", "took 2 Minutes"], "took <duration>"),
        (["sent 12 bytes to x", "sent 2048 bytes (2.00 KB) to x", "sent 3 MB to x"], "sent <size> to x"),
        (["pause (5 ms), then on", "pause (7 s), then on"], "pause (<duration>), then on"),
        (["ids IN (1)", "ids IN (1, 2)", "ids IN (1, 2, 3, 4)"], "ids IN (<num>)"),
        (["peers 10.0.0.1, 10.0.0.2 left", "peers 10.0.0.3 left", "peers 10.0.0.1 10.0.0.2 left"], "peers <ip> left"),
    ],
)  # fmt: skip
def test_a_value_of_several_words_is_one(lines: list[str], template: str) -> None:
    assert templates(lines) == {template: len(lines)}


def test_a_count_before_a_word_that_is_no_unit_stays_one() -> None:
    assert templates(["5 items s", "5 days", "(2 KB) left"]) == {
        "<num> items s": 1, "<duration>": 1, "(<size>) left": 1,
    }  # fmt: skip


def test_texts_that_differ_only_in_what_is_not_shown_have_keys_of_their_own() -> None:
    long = "word " * 250
    found = read([f"{long}alpha ends here", f"{long}beta went away at last"]).templates
    assert len({one.key for one in found}) == len(found) == 2


def test_of_a_trace_in_one_line_of_json_the_example_is_what_it_says() -> None:
    trace = 'Traceback (most recent call last):\n  File "/a/b.py", line 3, in f\n    g()\nValueError: bad'
    (one,) = read([json.dumps({"level": "error", "msg": "no", "exc_info": trace})]).templates
    assert (one.exception, one.examples) == ("ValueError", (f"no\n{trace}",))


def test_names_of_failures_stay_apart_however_many() -> None:
    names = ["ValueError", "KeyError", "TimeoutError", "OSError", "TypeError", "java.io.IOException", "ECONNREFUSED"]
    found = read([f"task {n} failed with {name}" for n in range(3) for name in names]).templates
    assert {one.template: one.count for one in found} == {f"task <num> failed with {name}": 3 for name in names}
    assert {one.category for one in found} >= {"timeout", "connection", "not_found"}


def test_more_names_of_failures_than_templates_of_a_group_are_a_value() -> None:
    names = [f"{letter}{other}Error" for letter in "ABCDEFGH" for other in "abcdefgh"]
    found = read([f"the task has failed with {name}" for name in names]).templates
    assert len(found) <= drain.MOST_VARIANTS

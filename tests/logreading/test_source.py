"""A log is read to its end or to a limit, and the ids its lines name are kept with the right template."""

import io
import json

import pytest

from swarmtally.logreading import source
from swarmtally.logreading.source import Log, read_log

TASK, AGENT = "t_0123456789ab_3", "a_ba9876543210"


def read(content: str, seconds: float | None = None, *, numbers: bool = True) -> Log:
    return read_log(io.BytesIO(content.encode()).read, now_ns=0, seconds=seconds, numbers=numbers)


def test_ids_go_to_the_template_whose_entries_name_them() -> None:
    log = read(f"alpha task {TASK} broke\nbeta is fine\ngamma said so of agent {AGENT} and of {TASK}\n")
    named = {mention.key: mention.ids for mention in log.mentions}
    by_line = {line: template.key for template in log.reading.templates for line in template.lines}
    assert named == {by_line[0]: (TASK,), by_line[2]: (AGENT, TASK)}


def test_an_id_in_a_later_line_belongs_to_the_entry_that_the_line_is_part_of() -> None:
    frame = f'Traceback (most recent call last):\n  File "{TASK}.py", line 3, in f\n'
    entry = f"ERROR beta is gone\n{frame}ValueError: beta of {AGENT}"
    log = read(f"INFO alpha was here\n{entry}\nINFO gamma went away at last\n{entry}\n")
    (mention,) = log.mentions
    owner = next(template for template in log.reading.templates if template.key == mention.key)
    assert (mention.ids, owner.exception, owner.count) == ((AGENT, TASK), "ValueError", 2)


def test_what_only_looks_like_an_id_is_none() -> None:
    assert read("data_x a_b t_1 xt_0123456789ab_3 t_0123456789ab a_0123456789ilo").mentions == ()


def test_numbers_are_those_of_the_elements_and_only_there_when_asked_for() -> None:
    content = json.dumps(["alpha one", "beta\nbeta two", "gamma three four"])
    assert sorted(line for template in read(content).reading.templates for line in template.lines) == [0, 1, 2]
    assert all(template.lines == () for template in read(content, numbers=False).reading.templates)


def test_a_log_that_is_too_long_is_read_up_to_the_limit_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BATCH", 10)
    monkeypatch.setattr(source, "LINES_LIMIT", 40)
    log = read("line of text\n" * 100)
    assert log.reading.lines == 40
    assert log.stopped is not None
    assert "40 lines" in log.stopped
    assert read("line of text\n" * 39).stopped is None


def test_time_that_is_up_ends_it_with_what_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BATCH", 10)
    log = read("line of text\n" * 100, seconds=0)
    assert log.reading.lines == 10
    assert log.stopped is not None
    assert "in the shell there is no such limit" in log.stopped

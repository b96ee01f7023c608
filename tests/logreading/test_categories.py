"""Categories, causes and remedies stand on words that are there."""

import pytest

from swarmtally.logreading.categories import CATEGORIES, finding, rules
from swarmtally.logreading.reading import Reader

SAID = {
    "timeout": ["Read timed out after 30 s", "context deadline exceeded", "TimeoutError: no reply",
        "connect ETIMEDOUT", "database is locked"],
    "connection": ["Connection refused", "connect ECONNREFUSED 10.0.0.1:80", "Broken pipe",
        "Could not resolve host: x", "502 Bad Gateway"],
    "auth": ["Failed password for root", "HTTP 401 Unauthorized", "certificate has expired",
        "authentication failure; uid=0"],
    "rate_limit": ["429 Too Many Requests", "RateLimitError: slow down", "quota exceeded for x"],
    "out_of_memory": ["java.lang.OutOfMemoryError: Java heap space", "MemoryError", "Cannot allocate memory",
        "container was OOMKilled"],
    "disk": ["No space left on device", "Read-only file system", "Input/output error on sda"],
    "parse": ["json.decoder.JSONDecodeError: Expecting value", "invalid syntax (x.py, line 1)",
        "failed to parse the date"],
    "not_found": ["No such file or directory: 'x'", "404 Not Found", "relation users does not exist", "KeyError: 'x'"],
    "permission": ["Permission denied", "403 Forbidden", "AccessDeniedException: no"],
    "assertion": ["AssertionError", "java.lang.NullPointerException", "index out of range [5]",
        "Assertion `x > 0' failed"],
    "dependency": ["No module named 'yaml'", "Cannot find module 'express'", "java.lang.ClassNotFoundException: x",
        "bash: jq: command not found"],
    "unknown": ["all is well", "timeout=30 was set", "retry in 5 s", "session opened for user x",
        "Time out of the office", "connection established",
        "key found", "permission granted", "memory usage 5 GB", "parsed 17 rows", "authentication succeeded"],
}  # fmt: skip


@pytest.mark.parametrize(("category", "text"), [(category, text) for category, texts in SAID.items() for text in texts])
def test_words_give_the_category_that_they_speak_of(category: str, text: str) -> None:
    found = finding(text)
    assert found.category == category
    assert found.evidence is None if category == "unknown" else found.evidence in text


def test_every_rule_has_a_category_and_no_remedy_without_a_cause() -> None:
    assert {rule.category for rule in rules()} <= set(CATEGORIES)
    assert all(rule.cause for rule in rules() if rule.remedy)


def test_a_rule_matches_nothing_in_an_empty_text() -> None:
    assert not any(rule.pattern.search("") for rule in rules())


def test_where_words_leave_the_cause_open_there_is_none() -> None:
    assert finding("Read timed out")[1:3] == (None, None)


def test_a_template_carries_cause_remedy_and_the_words_for_them() -> None:
    reader = Reader()
    reader.feed([f"ERROR write of block {n} failed: No space left on device" for n in range(3)])
    (template,) = reader.result().templates
    assert (template.category, template.evidence) == ("disk", "No space left on device")
    assert template.cause == "the file system is full"
    assert template.remedy == "free space on it, or enlarge it"

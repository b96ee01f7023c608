"""What kind of failure words speak of, and what they alone say about its cause: the rules of categories.toml."""

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

CATEGORIES = (
    "timeout", "connection", "auth", "rate_limit", "out_of_memory", "disk", "parse", "not_found", "permission",
    "assertion", "dependency", "unknown",
)  # fmt: skip
LONGEST = 2_000
"""Characters of a template that are looked at."""


class Finding(NamedTuple):
    """What a text speaks of."""

    category: str
    cause: str | None = None
    remedy: str | None = None
    evidence: str | None = None
    """The words that say so."""


class Rule(NamedTuple):
    category: str
    pattern: re.Pattern[str]
    cause: str | None
    remedy: str | None


UNKNOWN = Finding("unknown")


def finding(text: str) -> Finding:
    """The first rule whose words are in the text."""
    text = text[:LONGEST]
    for rule in rules():
        found = rule.pattern.search(text)
        if found:
            return Finding(rule.category, rule.cause, rule.remedy, found[0])
    return UNKNOWN


@cache
def rules() -> tuple[Rule, ...]:
    given = tomllib.loads(files(__package__).joinpath("categories.toml").read_text("utf-8"))
    return tuple(
        Rule(rule["category"], re.compile("|".join(rule["patterns"])), rule.get("cause"), rule.get("remedy"))
        for rule in given["rule"]
    )

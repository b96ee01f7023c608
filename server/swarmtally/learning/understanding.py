"""What a question to a model means: settings by name or in free text; what means nothing is told, not guessed."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from swarmtally.learning.rows import AMOUNTS, CATEGORIES

TEXT_LIMIT = 2_000
"""What is counted of a text, in characters, as of what models were trained on."""

WORD_LIMIT = 200
"""What is shown of what somebody wrote, in characters."""

_NAMES: Mapping[str, str] = {
    **{name: name for name in (*CATEGORIES, *AMOUNTS)},
    **dict.fromkeys(("team_size", "team", "max_agents", "agent_count", "num_agents", "developers", "people"), "agents"),
    **dict.fromkeys(("max_parallel", "parallel", "parallelism", "calls_at_once"), "concurrency"),
    **dict.fromkeys(("role", "kind", "operation"), "mode"),
    **dict.fromkeys(("task_count", "components", "features"), "tasks"),
    **dict.fromkeys(("complexity", "project_complexity", "task_complexity"), "complexity"),
    **dict.fromkeys(("task", "description", "project"), "text"),
    **dict.fromkeys(("budget", "token_budget", "max_tokens"), "budget_tokens"),
    **dict.fromkeys(("budget_dollars", "max_cost", "cost"), "budget_usd"),
    **{name: name for name in ("text", "level", "budget_tokens", "budget_usd", "prompt_tokens", "run_id", "task_id")},
}
"""What people call a setting, and which it is."""

COMPLEXITY: Mapping[str, int] = {
    **dict.fromkeys(("low", "simple", "small", "easy"), 0),
    **dict.fromkeys(("medium", "moderate", "normal", "average"), 1),
    **dict.fromkeys(("high", "complex", "large", "hard"), 2),
}
"""Words for how much there is to do, and the quartile of what was seen that stands for them."""

_PAIR = re.compile(r"\s*[\"']?([A-Za-z][\w -]{0,40}?)[\"']?\s*[:=]\s*(.*?)\s*", re.DOTALL)

_PARTS = re.compile(r"[;\n]|(?<!\d),|,(?!\d{3}(?!\d))|\s+(?=[A-Za-z_]+=)")
"""What stands between pairs; a comma within a number does not."""

_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")

_NUMBER = r"(?<![\w.,-])(\d{1,3}(?:,\d{3}){1,4}|\d{1,15})"
"""A whole number and not the end of another one, a range or a decimal."""

_PHRASES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("agents", re.compile(_NUMBER + r"\s+(?:agents?|developers?|engineers?|people|workers?)\b", re.IGNORECASE)),
    ("tasks", re.compile(_NUMBER + r"\s+(?:tasks?|components?|features?)\b", re.IGNORECASE)),
    ("concurrency", re.compile(_NUMBER + r"\s+(?:calls? )?(?:at once|in parallel)\b", re.IGNORECASE)),
    ("budget_tokens", re.compile(rf"\b(?:budget of|at most|under|within)\s+{_NUMBER}\s+tokens\b", re.IGNORECASE)),
    ("budget_usd", re.compile(r"\$\s?(\d{1,7}(?:\.\d{1,9})?)")),
    ("complexity", re.compile(rf"\b({'|'.join(COMPLEXITY)})\s+(?:complexity|project|task)\b", re.IGNORECASE)),
)
"""How free text says a setting with a number or a degree."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a question says. `settings` are named as the factors of `swarmtally.learning.rows`, and besides `text`,
    `complexity`, `level`, `budget_tokens`, `budget_usd`, `run_id` and `task_id`."""

    settings: Mapping[str, Any]
    said: Mapping[str, str]
    """By setting: how it was written."""
    ignored: tuple[tuple[str, str], ...]
    """What was written that means nothing here, each with the reason."""


@dataclass(slots=True)
class _Notes:
    settings: dict[str, Any] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    ignored: list[tuple[str, str]] = field(default_factory=list)

    def take(self, name: str, value: Any, written: str) -> None:
        """Note a setting by the name that somebody gave it."""
        shown = written.strip()[:WORD_LIMIT]
        meant = _meant(name)
        if meant is None:
            self.ignored.append((shown, f"nothing that is recorded is called {name.strip()[:60]}"))
            return
        if isinstance(value, str) and meant in (*AMOUNTS, "prompt_tokens", "budget_tokens", "budget_usd"):
            value = _number_or_text(value)
        if meant == "prompt_tokens":
            meant, value = "prompt_bytes", _times_four(value)
        try:
            found = _value(meant, value)
        except ValueError as why:
            self.ignored.append((shown, str(why)))
            return
        if meant in self.settings:
            self.ignored.append((shown, f"{meant} was said before: {self.said[meant]}"))
            return
        self.settings[meant] = found
        self.said[meant] = shown


def understand(question: str | Mapping[str, Any], known: Mapping[str, frozenset[str]]) -> Reading:
    """What `question` says: an object, its JSON, `name: value, …`, or free text.

    Args:
        known: by factor that is a name (topology, mode …) the names that free text may mention.
    """
    notes = _Notes()
    meant = _as_object(question) if isinstance(question, str) else question
    if meant is not None:
        for name, value in meant.items():
            notes.take(str(name), value, f"{name}: {_written(value)}")
    elif isinstance(question, str):
        _of_text(question, known, notes)
    return Reading(notes.settings, notes.said, tuple(notes.ignored))


def _meant(name: str) -> str | None:
    return _NAMES.get(name.strip().lower().replace(" ", "_").replace("-", "_"))


def _as_object(text: str) -> Mapping[str, Any] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _of_text(text: str, known: Mapping[str, frozenset[str]], notes: _Notes) -> None:
    """Pairs where every part is one; else free text, in which pairs that name a setting are still what they say."""
    parts = [part for part in _PARTS.split(text) if part.strip()]
    pairs = [_PAIR.fullmatch(part) for part in parts]
    whole = all(pairs)
    prose = []
    for part, pair in zip(parts, pairs, strict=True):
        if pair is not None and (whole or _meant(pair[1]) not in (None, "text")):
            notes.take(pair[1], pair[2].strip("\"'"), part)
        else:
            prose.append(part)
    if prose:
        _of_prose(text if len(prose) == len(parts) else ",".join(prose), known, notes)


def _of_prose(text: str, known: Mapping[str, frozenset[str]], notes: _Notes) -> None:
    for name, pattern in _PHRASES:
        for found in pattern.finditer(text):
            notes.take(name, found[1], found[0])
    words = set(re.findall(r"[a-z0-9][\w:./-]*", text.lower()))
    for name, names in known.items():
        for mentioned in sorted(each for each in names if each.lower() in words):
            notes.take(name, mentioned, mentioned)
    if text.strip():
        notes.take("text", text, text)


def _number_or_text(text: str) -> Any:
    plain = text.strip().strip("\"'")
    if _THOUSANDS.fullmatch(plain):
        plain = plain.replace(",", "")
    for kind in (int, float):
        try:
            return kind(plain)
        except ValueError:
            continue
    return plain


def _times_four(value: Any) -> Any:
    """Prompt tokens are counted as four bytes each, as in rows that are given."""
    return value * 4 if isinstance(value, int | float) and not isinstance(value, bool) else value


def _value(name: str, value: Any) -> Any:
    """The value of a setting.

    Raises:
        ValueError: it has none such; the text says what it takes.
    """
    if name in (*AMOUNTS, "budget_tokens"):
        return _amount(name, value)
    if name == "budget_usd":
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1_000_000:
            raise ValueError(f"{name} takes a number above 0, at most 1000000")
        return float(value)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} takes a text")
    plain = value.strip().encode(errors="replace").decode()
    if name == "complexity" and plain.lower() not in COMPLEXITY:
        raise ValueError(f"{name} takes {', '.join(COMPLEXITY)}")
    if name == "level" and plain not in ("task", "run"):
        raise ValueError("level takes task or run")
    return plain.lower() if name == "complexity" else plain[:TEXT_LIMIT]


def _amount(name: str, value: Any) -> int:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 1 <= value <= 10**15 or value != int(value):
        raise ValueError(f"{name} takes a whole number from 1 on")
    return int(value)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)[:WORD_LIMIT]


def with_subject(reading: Reading, run_id: str, subject: Mapping[str, Any]) -> Reading:
    """The question with what is known of the run or task it is about, except where it says otherwise itself."""
    known = {name: value for name, value in subject.items() if value is not None and name not in reading.settings}
    said = {name: f"of {reading.settings.get('task_id', run_id)}" for name in known}
    return Reading(
        {**known, **reading.settings, "run_id": run_id}, {**said, "run_id": run_id, **reading.said}, reading.ignored
    )

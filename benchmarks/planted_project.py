"""A project to work on: this repository's own documents and source, with facts planted in them that stages need."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent

COMPONENTS = ("Invoice export", "Memory search page", "Lease monitor", "Token dashboard")
"""One that the repository does not speak of, and three of which it speaks on every page."""

TASK = f"Back office with {', '.join(COMPONENTS[:-1])} and {COMPONENTS[-1]}"

EVERYWHERE = "everywhere"

_SENTENCES = {
    "Invoice export": (
        "An exported invoice above {} kB is refused.",
        "Invoices are exported in the order of their customers, {} of them in a file.",
        "When exporting fails, the invoice keeps its number for {} days.",
        "The invoice exporter writes its files into the folder out-{}.",
    ),
    "Memory search page": (
        "The page on which memory is searched shows {} entries.",
        "A search of memory that takes more than {} ms ends with what it has found, on that page.",
        "Searches that people make on the memory page are kept for {} hours.",
        "The memory search page opens with the namespace ns-{}.",
    ),
    "Lease monitor": (
        "The monitor of leases turns red {} seconds before one ends.",
        "Leases that moved {} times in an hour are listed first by the monitor.",
        "The lease monitor listens at port {}.",
        "Whoever watches leases on the monitor sees at most {} owners.",
    ),
    "Token dashboard": (
        "The dashboard draws tokens in steps of {}.",
        "Tokens older than {} days leave the dashboard.",
        "The token dashboard rounds billed tokens to multiples of {}.",
        "On the dashboard the tokens of a day are compared with those {} days before.",
    ),
}
_CODE = {
    "Invoice export": "\n\ndef invoice_export_limit() -> int:\n    return {}\n",
    "Memory search page": "\n\ndef memory_search_page_size() -> int:\n    return {}\n",
    "Lease monitor": "\n\nclass LeaseMonitor:\n    def interval_ms(self) -> int:\n        return {}\n",
    "Token dashboard": "\n\ndef token_dashboard_bins() -> int:\n    return {}\n",
}
_RULES = (
    "All amounts of money must be integers in cents, at most {} of them.",
    "Every file that is written must begin with the line v{}.",
    "No function may have more than {} branches.",
)
_NO_WORD_SHARED = {
    "Invoice export": "Bills handed to the accountant's program carry the stamp {}.",
    "Memory search page": "Whoever looks up what was stored sees at most {} lines.",
    "Lease monitor": "Red light means: somebody has held on for {} minutes.",
    "Token dashboard": "The chart of what was spent has {} bars.",
}
"""Said in other words than the task's: no choice by words can find them."""


@dataclass(frozen=True)
class Fact:
    """Something that stands once in the context, to be known by the number in it."""

    component: str
    """Whose stages need it; `EVERYWHERE`: all stages."""
    mark: str
    kind: str
    """`prose`, `code`, `rule` or `other words`."""


@dataclass(frozen=True)
class Project:
    context: tuple[str, ...]
    facts: tuple[Fact, ...]


def project(size_bytes: int, seed: int) -> Project:
    """Documents and source of about that size, whole files, and facts at places drawn from `seed`."""
    draw = random.Random(seed)
    texts = _texts(size_bytes, draw)
    marks = (str(number) for number in draw.sample(range(700_000, 999_999), 100))
    facts = []
    prose = [number for number, (name, _) in enumerate(texts) if name.endswith(".md")]
    code = [number for number, (name, _) in enumerate(texts) if name.endswith(".py")]
    bodies = [text for _, text in texts]
    for component in COMPONENTS:
        for sentence in (*_SENTENCES[component], _NO_WORD_SHARED[component]):
            where, mark = draw.choice(prose), next(marks)
            bodies[where] = _with_sentence(bodies[where], sentence.format(mark), draw)
            kind = "other words" if sentence == _NO_WORD_SHARED[component] else "prose"
            facts.append(Fact(component, mark, kind))
        where, mark = draw.choice(code), next(marks)
        bodies[where] = f"{bodies[where].rstrip()}\n{_CODE[component].format(mark)}"
        facts.append(Fact(component, mark, "code"))
    where, rules = draw.choice(prose), []
    for rule in _RULES:
        mark = next(marks)
        rules.append(f"- {rule.format(mark)}")
        facts.append(Fact(EVERYWHERE, mark, "rule"))
    bodies[where] = f"{bodies[where].rstrip()}\n\n## Conventions\n\n" + "\n".join(rules) + "\n"
    return Project(tuple(f"{name}\n\n{text}" for (name, _), text in zip(texts, bodies, strict=True)), tuple(facts))


def deliverables(seed: int) -> dict[str, str]:
    """For each phase a text of about a thousand tokens, as a model would deliver: real prose and code."""
    draw = random.Random(seed)
    prose = [path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))]
    code = [path.read_text() for path in sorted((ROOT / "tests" / "unit").glob("*.py"))]

    def part(texts: Sequence[str]) -> str:
        blocks = [block for block in re.split(r"\n\n+", draw.choice(texts)) if block.strip()]
        draw.shuffle(blocks)
        return "\n\n".join(blocks)[:4_000]

    phases = {"specification": prose, "architecture": prose, "docs": prose, "review": prose, "merge": prose}
    made = {phase: part(texts) for phase, texts in phases.items()}
    made |= {phase: f"```python\n{part(code)}\n```" for phase in ("code", "tests")}
    return made | {"completion": part(prose)}


def _texts(size_bytes: int, draw: random.Random) -> list[tuple[str, str]]:
    paths = [*sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "server").rglob("*.py"))]
    draw.shuffle(paths)
    # One of each at least, to plant in.
    leading = [_first(paths, suffix) for suffix in (".md", ".py")]
    paths.sort(key=lambda path: path not in leading)
    found: list[tuple[str, str]] = []
    total = 0
    for path in paths:
        text = path.read_text()
        if text.strip() and (len(found) < 2 or total + len(text.encode()) <= size_bytes * 1.05):
            found.append((str(path.relative_to(ROOT)), text[: max(2_000, size_bytes // 3)]))
            total += len(found[-1][1].encode())
    return found


def _first(paths: Sequence[Path], suffix: str) -> Path:
    return next(path for path in paths if path.suffix == suffix and path.stat().st_size > 1_500)


def _with_sentence(text: str, sentence: str, draw: random.Random) -> str:
    """The text with the sentence at the end of one of its paragraphs."""
    blocks = text.split("\n\n")
    plain = [n for n, block in enumerate(blocks) if block[:1].isalpha() and "```" not in block] or [len(blocks) - 1]
    where = draw.choice(plain)
    blocks[where] = f"{blocks[where].rstrip()} {sentence}"
    return "\n\n".join(blocks)

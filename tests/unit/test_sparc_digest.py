"""Digests: bounded, repeatable, honest about what they leave out."""

from hypothesis import given
from hypothesis import strategies as st

from swarmtally.sparc import digest as digests
from swarmtally.sparc.digest import cut
from swarmtally.sparc.markdown import read_lines
from swarmtally.sparc.passages import query
from swarmtally.sparc.selection import size

DOCUMENT = """\
# Shop

The shop sells things. It has more to say.

## Cart

The cart keeps items until checkout. Nobody needs this second sentence.

A passage on payment providers and refunds.

```python
class Cart:
    def add(self, item: str) -> None:
        self.items.append(item)
```

## Search

- finds things
- ranks things

### Index

Words go in
and ids come out. The rest is filler.
""" + "\n".join(f"Filler line {number} says nothing." for number in range(60))

markdownish = st.lists(
    st.sampled_from(
        ["# Title", "## Cart", "```", "~~~", "\n", "\n\n", "def f(x):", "- item", "A cart. More. ", "é", "🛒"]
    )
    | st.text(max_size=20),
    max_size=80,
).map("".join)


def digest(name: str, text: str, about: str, budget_bytes: int) -> str:
    return digests.digest(f"artifact:{name}", text, query(about), budget_bytes)


def test_a_text_that_fits_is_its_own_digest() -> None:
    assert digest("code/code_1", DOCUMENT, "Cart", size(DOCUMENT)) == DOCUMENT


def test_a_digest_shows_skeleton_signatures_and_matching_passages() -> None:
    shown = digest("code/code_1", DOCUMENT, "Refunds for payment", 700)
    assert shown.splitlines() == [
        "# Shop",
        "The shop sells things.",
        "## Cart",
        "The cart keeps items until checkout.",
        "A passage on payment providers and refunds.",
        "class Cart:",
        "    def add(self, item: str) -> None:",
        "## Search",
        "- finds things",
        "### Index",
        "Words go in and ids come out.",
        "[… shortened; whole: artifact:code/code_1]",
    ]


def test_what_says_more_of_what_the_task_names_is_shown_first() -> None:
    text = f"# T\n\nOf stock there is much.\n\nStock and stock and stock.\n\nInvoices of stock.\n\n{'filler ' * 200}"
    shown = digest("a", text, "invoices of stock", 100)
    assert "Invoices of stock." in shown
    assert "Stock and stock" not in shown


def test_sections_left_out_are_counted() -> None:
    text = "".join(f"## Section {number}\n\nIt says {'much ' * 30}.\n\n" for number in range(40))
    shown = digest("a", text, "nothing", 300)
    kept = sum(line.startswith("## ") for line in shown.splitlines())
    assert shown.endswith(f"[… {40 - kept} sections left out; whole: artifact:a]")
    assert "[… 1 section left out; whole: artifact:a]" in digest("a", f"# A\n\n# {'B' * 200}\n\nx {'y' * 500}", "z", 60)


def test_a_passage_in_full_does_not_repeat_its_first_sentence_or_signatures() -> None:
    text = f"# T\n\nOnce said. Twice.\n\n```go\nfunc Cart() {{\n}}\n```\n\n{'filler ' * 300}"
    shown = digest("a", text, "cart once", 1_000)
    assert shown.count("Once said.") == 1
    assert shown.count("func Cart()") == 1


def test_a_section_without_its_heading_is_named_as_references_name_it() -> None:
    long = "h" * 250
    text = f"# Cart\n\nred cart\n\n# {long} cart\n\nblue cart\n\n# !\n\ngreen cart\n\n{'filler ' * 200}"
    shown = digest("a", text, "blue", 200)
    assert f"[#{long[:64]}]\nblue cart" in shown


def test_a_text_without_heading_needs_no_name() -> None:
    assert digest("a", f"the cart\n\n{'filler ' * 200}", "cart", 200).startswith("the cart\n")


def test_signatures_of_many_languages_are_seen() -> None:
    signatures = [
        "async def load(path: str) -> bytes:",
        "export default class Shop extends Base",
        "export const add = async (a, b) =>",
        "const twice = n =>",
        "export function pay(order)",
        "interface Cart",
        "export type Price = number",
        "func (s *Shop) Open() error",
        "pub fn checkout(&self) -> Result<()>",
        "pub(crate) struct Item",
        "impl Shop for Local",
        "public static void main(String[] args)",
    ]
    body = "\n".join(f"{line} {{\n    return nothing_of_interest_in_here;" for line in signatures)
    for text in (f"# T\n\n```\n{body}\n```\n{'pad ' * 100}", f"# T\n\n{body}\n\n{'pad ' * 400}"):
        shown = digest("a", text, "zzz", 1_000).splitlines()
        assert [line for line in signatures if line not in shown] == []


def test_prose_beside_code_gives_no_signatures() -> None:
    text = f"# T\n\nx\nclass Wonder is prose\n\n```\nclass Real:\n```\n{'pad ' * 300}"
    shown = digest("a", text, "zzz", 300)
    assert "class Real:" in shown.splitlines()
    assert "class Wonder is prose" not in shown.splitlines()


@given(markdownish, st.text(max_size=60), st.integers(0, 600))
def test_a_digest_is_never_longer_than_its_budget_and_always_the_same(text: str, task: str, budget: int) -> None:
    shown = digest("code/code_1", text, task, budget)
    assert size(shown) <= budget
    assert digest("code/code_1", text, task, budget) == shown
    if shown != text and budget >= 80:
        assert "whole: artifact:code/code_1]" in shown


def test_every_budget_is_respected_to_the_byte() -> None:
    for budget in range(size(DOCUMENT)):
        assert size(digest("a", DOCUMENT, "payment filler", budget)) <= budget


@given(st.text(), st.integers(0, 50))
def test_a_cut_never_splits_a_character(text: str, limit: int) -> None:
    shown = cut(text, limit)
    assert size(shown) <= limit
    assert shown == text or text.startswith(shown.removesuffix("…"))


def test_a_cut_is_visible() -> None:
    assert cut("ééééé", 8) == "éé…"


@given(markdownish)
def test_reading_lines_loses_none(text: str) -> None:
    lines = list(read_lines(text))
    assert len(lines) == text.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
    assert all(line.text in text for line in lines)


def test_fences_hide_headings_until_they_are_closed() -> None:
    lines = read_lines(
        "~~~~\n# no\n~~~\n# no\n```\n# no\n~~~~\n# yes\n``` a`b\n# yes\n#tag\n####### seven\n    # indented"
    )
    assert [(line.text, line.level) for line in lines if line.level] == [("yes", 1), ("yes", 1)]

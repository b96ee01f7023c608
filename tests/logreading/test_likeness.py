"""A template is known again when its places were less or more variable in another log."""

from hypothesis import given
from hypothesis import strategies as st

from swarmtally.logreading.likeness import same_as
from swarmtally.logreading.masking import ANY
from swarmtally.logreading.reading import Reader

WORDS = st.lists(st.sampled_from(["a", "b", "c", ANY, "<num>"]), min_size=1, max_size=6).map(" ".join)


def same(one: str, *known: str) -> str | None:
    return same_as({"new": one}, {text: text for text in known}).get("new")


def test_a_variable_place_stands_for_any_word_whichever_log_has_it() -> None:
    assert same("user <*> is gone", "user alice is gone") == "user alice is gone"
    assert same("user alice is gone", "user <*> is gone") == "user <*> is gone"


def test_a_value_may_be_of_another_kind_in_another_log() -> None:
    assert same("job <id> is gone", "job <num> is gone") == "job <num> is gone"
    assert same("job <num> is gone", "job nightly is gone") == "job nightly is gone"
    assert same("<id>: job is gone", "<num>: job is gone") == "<num>: job is gone"
    assert same("select it where id = <num>", "select it where id in (<num>)") is None


@given(st.lists(st.sampled_from(["a", "17", "beef01", "/x/y"]), min_size=1, max_size=3))
def test_what_one_log_groups_two_logs_know_again(values: list[str]) -> None:
    lines = [f"the worker {value} has gone away" for value in values]
    together = Reader()
    together.feed(lines)
    if len(together.result().templates) == 1:
        apart = [Reader() for _ in lines]
        for reader, line in zip(apart, lines, strict=True):
            reader.feed([line])
        first, *rest = [reader.result().templates[0].template for reader in apart]
        assert all(same(one, first) == first for one in rest)


def test_other_words_another_length_or_beginning_say_something_else() -> None:
    assert same("user <*> is back", "user alice is gone") is None
    assert same("user <*> is gone", "user alice is gone now") is None
    assert same("agent <*> is gone", "user <*> is gone") is None


def test_a_template_that_is_nearly_all_variable_stands_for_nothing() -> None:
    assert same("user alice is gone", "user <*> <*> <*>") is None


def test_of_several_the_most_alike_is_taken() -> None:
    assert same("a b c d e", "a <*> <*> d e", "a b <*> d e", "a <*> c <*> e") == "a b <*> d e"


@given(WORDS, WORDS)
def test_it_holds_both_ways(one: str, other: str) -> None:
    assert (same(one, other) is None) == (same(other, one) is None)


@given(WORDS)
def test_what_is_equal_is_the_same(text: str) -> None:
    assert same(text, text) == text

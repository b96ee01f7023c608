"""Finding entries: glob and text, pages and cursors."""

import base64
import json
import random
import zlib

import pytest

from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.memory import COUNT_LIMIT, CURSOR_LIMIT, KEY_LIMIT, PATTERN_LIMIT, SEARCH_LIMIT
from swarmtally.store import memory as entries
from swarmtally.store.cursors import Place, decode, encode


async def keys(memory, pattern, **options):
    return [hit.key for hit in (await memory.search("p", pattern, limit=1000, **options)).hits]


async def all_pages(memory, pattern, limit, between=None, **options):
    """Every hit's key, page by page; `between` runs before each page but the first."""
    found, cursor, totals = [], None, []
    while True:
        page = await memory.search("p", pattern, limit=limit, cursor=cursor, **options)
        found += [hit.key for hit in page.hits]
        totals.append(page.total)
        if page.next_cursor is None:
            return found, totals
        cursor = page.next_cursor
        if between is not None:
            await between(len(totals))


async def test_a_pattern_with_glob_characters_is_a_glob_else_text(memory):
    await memory.store("p", "n", "auth/login", "token for the session")
    assert (await memory.search("p", "auth/*")).mode == "glob"
    assert (await memory.search("p", "auth/logi?")).hits[0].snippet == "token for the session"
    assert (await memory.search("p", "[a]uth*")).total == 1
    page = await memory.search("p", "TOKEN sess")
    assert (page.mode, [hit.key for hit in page.hits]) == ("text", ["auth/login"])
    assert await keys(memory, "auth/login", mode="glob") == ["auth/login"]
    assert await keys(memory, "auth/logi", mode="glob") == []
    assert await keys(memory, "auth*", mode="text") == ["auth/login"]


async def test_glob_hits_are_in_order_of_key_then_namespace(memory):
    for namespace in ("b", "a"):
        for key in ("k2", "k10", "K", "ké"):
            await memory.store("p", namespace, key, 1)
    page = await memory.search("p", "*")
    order = [(hit.key, hit.namespace) for hit in page.hits]
    assert order == sorted(order)
    assert len(order) == 8
    assert await keys(memory, "k*", namespace="a") == ["k10", "k2", "ké"]


@pytest.mark.parametrize(
    ("prefix", "successor"),
    [
        ("a", "b"),
        ("", None),
        ("\U0010ffff\U0010ffff", None),
        ("a\U0010ffff", "b"),
        ("a\ud7ff", "a\ue000"),
        ("\x7f", "\x80"),
        ("\uffff", "\U00010000"),
    ],
)
async def test_the_range_of_a_prefix_ends_at_the_next_text(memory, prefix, successor):
    assert entries.successor(prefix) == successor
    for key in (prefix + "x", prefix + "\U0010ffff", "zzz"):
        if not key.startswith("\x7f"):
            await memory.store("p", "n", key, 1)
    if not prefix.startswith("\x7f"):
        assert set(await keys(memory, prefix + "*")) >= {prefix + "x", prefix + "\U0010ffff"}


async def test_a_prefix_glob_walks_its_own_range_of_the_index_only(memory, database):
    query = entries.Query("p", None, "glob", "a*")
    plan = await database.read(lambda tx: tx.rows("EXPLAIN QUERY PLAN " + query.sql(entries._GLOB_PAGE), _any()))
    assert any("memory_by_key (project=? AND key>? AND key<?)" in row["detail"] for row in plan), [*map(tuple, plan)]
    named = entries.Query("p", "n", "glob", "a*")
    plan = await database.read(lambda tx: tx.rows("EXPLAIN QUERY PLAN " + named.sql(entries._GLOB_PAGE), _any()))
    assert any("(project=? AND namespace=? AND key>? AND key<?)" in row["detail"] for row in plan), [*map(tuple, plan)]
    assert not any("TEMP B-TREE" in row["detail"] for row in plan)


def _any():
    names = ("project", "namespace", "pattern", "low", "high", "now", "snapshot", "after_key", "after_namespace")
    return dict.fromkeys(names, "a") | {"limit": 1}


@pytest.mark.parametrize(
    "pattern",
    [
        '"', '""', '"a', 'a" OR "b', "AND", "OR NOT", "NEAR(a b)", "key:x", "-x", "^x", "(", ")", "{key}:", "a*b",
        "* *", "+", "\\", "a\0b", "\0", "'; DROP TABLE memory; --", "ü\u0301", "🦀", "…", " ", "\t\n", "[", "[^", "[]",
        "[a-", "***", "?" * 500, "*a" * 400, " ".join(["w"] * 500), '"' * 1000, "日本", "\ue000", "\U0010ffff",
    ],
)  # fmt: skip
async def test_no_pattern_is_an_error(memory, pattern):
    await memory.store("p", "n", "a b", "w x")
    await memory.search("p", pattern, mode="text")
    if "\0" not in pattern:
        await memory.search("p", pattern, mode="glob")


async def test_fts_syntax_in_a_pattern_is_words(memory):
    await memory.store("p", "n", "one", "apple")
    await memory.store("p", "n", "two", "banana")
    await memory.store("p", "n", "three", "apple or banana")
    await memory.store("p", "n", "four", 'say "quoted" words')
    assert await keys(memory, "apple OR banana") == ["three"]
    assert await keys(memory, "apple NOT banana") == []
    assert await keys(memory, "key:one") == []
    assert await keys(memory, '"quoted"') == ["four"]
    assert await keys(memory, 'quoted" OR "apple') == []
    assert await keys(memory, "apple - banana !") == ["three"]
    for nothing in ("...", '"', "🦀", "* * *"):
        assert await keys(memory, nothing, mode="text") == []


async def test_text_search_reads_keys_values_and_tags_but_not_json(memory):
    await memory.store("p", "n", "the-key", {"field": ["leaf", 42, True, 'line\nbreak"quote']}, tags=["label"])
    for word in ("the-key", "field", "leaf", "42", "true", "break", "quote", "label", "LAB", "nul\0lea fie"):
        expected = ["the-key"] if word != "nul\0lea fie" else []
        assert await keys(memory, word) == expected, word
    assert await keys(memory, "nbreak") == []
    await memory.store("p", "n", "the-key", "replaced")
    assert await keys(memory, "leaf") == []
    assert await keys(memory, "label") == []
    await memory.delete("p", "n", "the-key")
    assert await keys(memory, "replaced") == []


async def test_the_best_match_comes_first_and_equals_in_order_of_storing(memory):
    await memory.store("p", "n", "b", "cat dog bird fish cow horse mouse")
    await memory.store("p", "n", "a", "cat")
    await memory.store("p", "n", "z", "cat")
    await memory.store("p", "n", "c", "nothing of it")
    assert await keys(memory, "cat") == ["a", "z", "b"]


async def test_a_snippet_shows_where_it_matched_and_stays_short(memory):
    await memory.store("p", "n", "k", "filler " * 5000 + "needle in the hay " + "filler " * 5000)
    await memory.store("p", "n", "long", "needle" + "x" * 100_000)
    text = (await memory.search("p", "needle")).hits
    glob = (await memory.search("p", "*")).hits
    assert any("needle in the hay" in hit.snippet for hit in text)
    assert all(len(hit.snippet) <= entries.SNIPPET_LIMIT for hit in (*text, *glob))


@pytest.mark.parametrize("pattern", ["word", "k*"])
async def test_pages_show_every_entry_once_while_others_write(memory, pattern):
    for number in range(40):
        await memory.store("p", "n", f"k{number:02}", "word " * (number % 7 + 1) + "other " * (number % 5))

    async def disturb(page):
        # New matches before and after the place reached, and long texts, which change every rank.
        await memory.store("p", "n", f"k00 new {page}", "word word word")
        await memory.store("p", "n", f"kz new {page}", "word " + "long " * 3000 * page)
        await memory.store("q", "n", "k", "word " * 50 * page)

    found, totals = await all_pages(memory, pattern, 6, disturb)
    assert sorted(found) == [f"k{number:02}" for number in range(40)]
    assert set(totals) == {40}
    assert len(totals) == 7


@pytest.mark.parametrize("pattern", ["word", "k*"])
async def test_an_entry_deleted_or_expired_between_pages_is_left_out(memory, clock, pattern):
    for number in range(9):
        await memory.store("p", "n", f"k{number}", "word", ttl_s=10 if number == 7 else None)

    async def remove(page):
        if page == 1:
            await memory.delete("p", "n", "k4")
            clock.advance(10)

    found, _ = await all_pages(memory, pattern, 4, remove)
    assert sorted(found) == ["k0", "k1", "k2", "k3", "k5", "k6", "k8"]


async def test_listing_pages_through_a_namespace(memory):
    for number in range(5):
        await memory.store("p", "n", f"k{number}", number)
        await memory.store("p", "m", f"k{number}", number)
    first = await memory.list("p", "n", limit=3)
    second = await memory.list("p", "n", limit=3, cursor=first.next_cursor)
    assert [hit.snippet for hit in (*first.hits, *second.hits)] == ["0", "1", "2", "3", "4"]
    assert (first.total, second.next_cursor, first.mode) == (5, None, "list")
    assert (await memory.list("p")).total == 10


async def test_a_page_that_ends_with_the_last_entry_has_no_next(memory):
    for number in range(4):
        await memory.store("p", "n", f"k{number}", "word")
    for pattern in ("k*", "word"):
        assert (await memory.search("p", pattern, limit=4)).next_cursor is None
        assert (await memory.search("p", pattern, limit=3)).next_cursor is not None


async def fill(tx, count):
    await tx.rows("INSERT INTO project (project, created_ns) VALUES ('p', 0)")
    await tx.rows(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
        " INSERT INTO memory (project, namespace, key, value, size_bytes, tags, version, created_ns, updated_ns)"
        " SELECT 'p', 'n', printf('k%06d', i), '\"w\"', 3, '[]', 1, 0, 0 FROM n",
        {"count": count},
    )
    await tx.rows("INSERT INTO memory_text (rowid, key, body, tags) SELECT memory_id, key, 'w', '' FROM memory")


async def test_a_total_is_exact_to_the_limit_and_unknown_beyond(memory, database):
    await database.write(lambda tx: fill(tx, COUNT_LIMIT))
    for pattern in ("k*", "w"):
        page = await memory.search("p", pattern)
        assert (page.total, page.inexact) == (COUNT_LIMIT, None)
    await memory.store("p", "n", "k", "w")
    for pattern, ranked in (("k*", False), ("w", True)):
        page = await memory.search("p", pattern)
        assert page.total is None
        assert page.inexact.startswith("more than 10,000 entries match")
        assert ("newest 10,000 were ranked" in page.inexact) == ranked


async def test_text_pages_end_at_the_count_limit_and_glob_pages_do_not(memory, database):
    await database.write(lambda tx: fill(tx, COUNT_LIMIT + 500))
    text, _ = await all_pages(memory, "w", 1000)
    # The newest ones: `fill` stores them in order of key.
    assert sorted(text) == [f"k{number:06}" for number in range(501, COUNT_LIMIT + 501)]
    glob, totals = await all_pages(memory, "k*", 1000)
    assert len(glob) == len(set(glob)) == COUNT_LIMIT + 500
    assert set(totals) == {None}


async def test_the_best_of_the_newest_comes_first_when_too_many_match(memory, database):
    await database.write(lambda tx: fill(tx, COUNT_LIMIT))
    await memory.store("p", "n", "long", "w and much else besides that is no match")
    await memory.store("p", "n", "best", "w w w w w w")
    hits = (await memory.search("p", "w", limit=3)).hits
    assert hits[0].key == "best"
    assert "long" not in [hit.key for hit in hits]


@pytest.mark.parametrize("beside", ["another project", "something expired", "nothing else"])
async def test_what_else_the_file_holds_is_neither_shown_nor_counted(memory, clock, beside):
    for number in range(3):
        await memory.store("p", "n", f"k{number}", "word")
    if beside == "another project":
        await memory.store("q", "n", "k", "word")
    if beside == "something expired":
        await memory.store("p", "n", "gone", "word", ttl_s=1)
        clock.ns += 2 * 10**9
    for pattern in ("word", "k*", "*", "*[a-z0-9]*"):
        page = await memory.search("p", pattern)
        assert page.total == 3
        assert {hit.key for hit in page.hits} == {"k0", "k1", "k2"}


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        ("*[?]nowhere*", "nowhere"),
        ("prefix[ab]c*def?", "def"),
        ("*[]x]y", "y"),
        ("*[^]x]yz*", "yz"),
        ("*[[]y", "y"),
        ("*[0-9]", ""),
        ("*a[b", ""),
        ("*plain", ""),
    ],
)
async def test_a_glob_with_sets_is_looked_for_by_its_longest_text(memory, pattern, literal):
    assert entries.Query("p", None, "glob", pattern).literal == literal


async def test_a_cursor_of_another_search_is_refused(memory):
    for number in range(5):
        await memory.store("p", "n", f"k{number}", "word")
        await memory.store("q", "n", f"k{number}", "word")
    cursor = (await memory.search("p", "k*", limit=2)).next_cursor
    foreign = [
        memory.search("p", "k?*", cursor=cursor),
        memory.search("p", "word", cursor=cursor),
        memory.search("p", "k*", mode="text", cursor=cursor),
        memory.search("p", "k*", namespace="n", cursor=cursor),
        memory.search("q", "k*", cursor=cursor),
        memory.list("p", cursor=cursor),
    ]
    for call in foreign:
        with pytest.raises(InvalidInput, match="cursor"):
            await call


def forged(content):
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(content).encode())).decode().rstrip("=")


DIGEST = entries.Query("p", None, "glob", "k*").digest


@pytest.mark.parametrize(
    "cursor",
    [
        "", "x", "!!!!", "ü", "\ud800", "AAAA", forged([]), forged(7), forged("text"), forged([DIGEST] * 6),
        forged([DIGEST, -1, 0, "", "", []]), forged([DIGEST, 2**80, 0, "", "", []]),
        forged([DIGEST, 1, 0, 3, "", []]),
        forged([DIGEST, 1, 0, "\ud800", "", []]), forged([DIGEST, 1, 0, "", "", 3]),
        forged([DIGEST, 1, 0, "", "", [1.5]]),
        forged([DIGEST, True, 0, "", "", []]), forged(["0", 1, 0, "", "", []]), forged("x" * 10_000_000),
        base64.b64encode(zlib.compress(b"[" * 100_000)).decode(), forged([DIGEST, 1, 0, "", "", []])[:-6],
    ],
)  # fmt: skip
async def test_what_is_no_cursor_is_refused_in_one_line(memory, cursor):
    with pytest.raises(InvalidInput, match="cursor") as raised:
        await memory.search("p", "k*", cursor=cursor)
    assert "\n" not in str(raised.value)


async def test_a_search_has_bounds(memory):
    wrong = [
        ({"pattern": ""}, "pattern is empty"),
        ({"pattern": "x" * (PATTERN_LIMIT + 1)}, "shorten it to 1000"),
        ({"pattern": "\ud800"}, "surrogate"),
        ({"pattern": "a\0*"}, "NUL"),
        ({"pattern": "a", "limit": 0}, f"from 1 to {SEARCH_LIMIT}"),
        ({"pattern": "a", "limit": SEARCH_LIMIT + 1}, f"from 1 to {SEARCH_LIMIT}"),
        ({"pattern": "a", "mode": "regex"}, "auto, glob or text"),
        ({"pattern": "a", "namespace": "\n"}, "control character"),
    ]
    for options, fact in wrong:
        with pytest.raises(InvalidInput, match=fact):
            await memory.search("p", **options)


def test_a_cursor_is_never_longer_than_a_tool_takes():
    draw = random.Random(0)
    shown = tuple(draw.sample(range(2**31), COUNT_LIMIT - 1))
    rare = "".join(chr(draw.randrange(0x10000, 0x110000)) for _ in range(KEY_LIMIT))
    for place in (Place(2**31, None, shown=shown), Place(2**31, None, after=(rare, rare[::-1]))):
        cursor = encode(place, "0" * 16)
        assert len(cursor) <= CURSOR_LIMIT
        assert set(decode(cursor, "0" * 16).shown) == set(place.shown)

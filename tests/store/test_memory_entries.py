"""Storing, retrieving and deleting: versions, expiry, bounds, and what the caller is told."""

import json
import math

import pytest

from swarmtally.core.memory import DEPTH_LIMIT, TTL_LIMIT_S
from swarmtally.domain.errors import InvalidInput, NotFound, VersionConflict
from swarmtally.domain.memory import KEY_LIMIT, TAG_LIMIT, TAGS_LIMIT, VALUE_LIMIT_BYTES
from swarmtally.domain.run import BackendChoice

MIB = VALUE_LIMIT_BYTES


async def test_what_is_stored_comes_back_with_its_version(memory, clock):
    first = await memory.store("p", "n", "k", {"a": [1, 2.5, None, True, "ü"]}, tags=["x", "y"])
    clock.advance(1)
    second = await memory.store("p", "n", "k", "new")
    found = await memory.retrieve("p", "n", "k")
    assert (first.version, second.version) == (1, 2)
    assert first.value == {"a": [1, 2.5, None, True, "ü"]}
    assert first.tags == ("x", "y")
    assert found == second
    assert found.created_ns == first.created_ns
    assert found.updated_ns == first.created_ns + 1_000_000_000
    assert found.size_bytes == len('"new"')


async def test_compare_and_set_writes_only_at_the_expected_version(memory):
    assert (await memory.store("p", "n", "k", 1, if_version=0)).version == 1
    assert (await memory.store("p", "n", "k", 2, if_version=1)).version == 2
    with pytest.raises(VersionConflict, match="is at version 2, not at version 1"):
        await memory.store("p", "n", "k", 3, if_version=1)
    with pytest.raises(VersionConflict, match="is at version 2, not at version 0"):
        await memory.store("p", "n", "k", 3, if_version=0)
    with pytest.raises(VersionConflict, match="does not exist, not at version 4"):
        await memory.store("p", "n", "other", 3, if_version=4)
    with pytest.raises(VersionConflict):
        await memory.delete("p", "n", "k", if_version=1)
    with pytest.raises(VersionConflict, match="does not exist"):
        await memory.delete("p", "n", "other", if_version=1)
    assert (await memory.retrieve("p", "n", "k")).value == 2
    await memory.delete("p", "n", "k", if_version=2)
    with pytest.raises(NotFound):
        await memory.retrieve("p", "n", "k")


async def test_an_expired_entry_is_gone_everywhere_at_its_instant(memory, clock):
    await memory.store("p", "n", "brief", "word", ttl_s=10)
    clock.advance(9.999999999)
    assert (await memory.retrieve("p", "n", "brief")).value == "word"
    clock.advance(0.000000001)
    with pytest.raises(NotFound):
        await memory.retrieve("p", "n", "brief")
    with pytest.raises(NotFound):
        await memory.delete("p", "n", "brief")
    for pattern in ("word", "b*"):
        assert (await memory.search("p", pattern)).total == 0
    assert (await memory.list("p", "n")).hits == ()
    stats = await memory.stats("p")
    assert (stats.entries, stats.namespaces, stats.value_bytes, stats.expired) == (0, 0, 0, 1)
    again = await memory.store("p", "n", "brief", "back", if_version=0)
    assert again.version == 1
    assert again.expires_ns is None
    assert (await memory.stats("p")).expired == 0


async def test_a_store_without_ttl_ends_an_earlier_one(memory, clock):
    await memory.store("p", "n", "k", 1, ttl_s=1)
    await memory.store("p", "n", "k", 2)
    clock.advance(100)
    assert (await memory.retrieve("p", "n", "k")).value == 2


async def test_stores_remove_what_has_expired_a_few_at_a_time(memory, clock):
    for number in range(25):
        await memory.store("p", "n", f"brief {number}", 1, ttl_s=1)
    clock.advance(2)
    left = []
    for number in range(4):
        await memory.store("other", "n", f"k{number}", 1)
        left.append((await memory.stats("p")).expired)
    assert left == [15, 5, 0, 0]


async def test_an_expired_entry_is_stored_anew_even_when_many_wait_to_be_removed(memory, clock):
    for number in range(20):
        await memory.store("p", "n", f"brief {number}", 1, ttl_s=1)
    await memory.store("p", "n", "k", 1, ttl_s=2)
    clock.advance(3)
    assert (await memory.store("p", "n", "k", 2, if_version=0)).version == 1


async def test_projects_and_namespaces_are_apart(memory):
    await memory.store("p", "n", "k", "mine alone")
    await memory.store("q", "n", "k", "yours alone")
    await memory.store("p", "m", "k", "mine, elsewhere")
    await memory.delete("p", "m", "k")
    assert (await memory.retrieve("p", "n", "k")).value == "mine alone"
    assert (await memory.retrieve("q", "n", "k")).value == "yours alone"
    for pattern in ("alone", "*"):
        assert [hit.snippet for hit in (await memory.search("p", pattern)).hits] == ["mine alone"]
        assert (await memory.search("p", pattern)).total == 1
        assert (await memory.search("p", pattern, namespace="m")).hits == ()
    assert (await memory.stats("p")).entries == 1
    with pytest.raises(NotFound):
        await memory.retrieve("r", "n", "k")


async def test_a_value_of_exactly_one_mebibyte_is_kept_and_one_byte_more_refused(memory):
    largest = "x" * (MIB - 2)
    stored = await memory.store("p", "n", "k", largest)
    assert stored.size_bytes == MIB
    assert (await memory.retrieve("p", "n", "k")).value == largest
    with pytest.raises(InvalidInput, match=f"{MIB + 1} bytes as JSON; the limit is {MIB}"):
        await memory.store("p", "n", "k", largest + "x")
    # Bytes count, not characters.
    with pytest.raises(InvalidInput, match="bytes as JSON"):
        await memory.store("p", "n", "k", "ü" * (MIB // 2))
    assert (await memory.retrieve("p", "n", "k")).version == 1


def nested(levels):
    value = "core"
    for _ in range(levels):
        value = [value]
    return value


async def test_the_deepest_value_is_kept_and_a_deeper_one_refused(memory):
    assert (await memory.store("p", "n", "k", nested(DEPTH_LIMIT))).value == nested(DEPTH_LIMIT)
    assert (await memory.search("p", "core")).total == 1
    endless: list = []
    endless.append(endless)
    for value in (nested(DEPTH_LIMIT + 1), nested(100_000), endless):
        with pytest.raises(InvalidInput, match=f"nested deeper than {DEPTH_LIMIT} levels"):
            await memory.store("p", "n", "k", value)


@pytest.mark.parametrize(
    ("value", "fact"),
    [
        (math.nan, "nan"),
        ([math.inf], "inf"),
        ({"a": -math.inf}, "-inf"),
        ({1: "a"}, "the key 1"),
        ({"a": {1, 2}}, "a set"),
        (b"bytes", "a bytes"),
        ("\ud800", "surrogate"),
        ({"\udfff": 1}, "surrogate"),
        ([10**5000], "too many digits"),
    ],
)
async def test_what_json_has_no_form_for_is_refused_in_one_line(memory, value, fact):
    with pytest.raises(InvalidInput, match=fact) as raised:
        await memory.store("p", "n", "k", value)
    assert "\n" not in str(raised.value)
    assert (await memory.stats("p")).entries == 0


@pytest.mark.parametrize("name", ["", "a\0b", "a\nb", "\x7f", "\x85", "\ud800x", "x" * (KEY_LIMIT + 1)])
async def test_keys_and_namespaces_have_bounds(memory, name):
    for namespace, key in ((name, "k"), ("n", name)):
        for call in (memory.store("p", namespace, key, 1), memory.retrieve("p", namespace, key)):
            with pytest.raises(InvalidInput) as raised:
                await call
            assert "\n" not in str(raised.value)
        with pytest.raises(InvalidInput):
            await memory.delete("p", namespace, key)
    with pytest.raises(InvalidInput):
        await memory.list("p", name)


@pytest.mark.parametrize("key", ["x" * KEY_LIMIT, "日本 🦀 \U0010ffff", "a/../b", "%_'\"--;", "[*?]", "\u2028"])
async def test_any_other_unicode_is_a_key(memory, key):
    await memory.store("p", key, key, key, tags=[key[:TAG_LIMIT]])
    assert (await memory.retrieve("p", key, key)).value == key


@pytest.mark.parametrize(
    "tags", ["one text", ["t"] * (TAGS_LIMIT + 1), [""], ["x" * (TAG_LIMIT + 1)], ["\ud800"], ["a\0"]]
)
async def test_tags_have_bounds(memory, tags):
    with pytest.raises(InvalidInput, match="tag"):
        await memory.store("p", "n", "k", 1, tags=tags)


@pytest.mark.parametrize("ttl_s", [0, -1, math.nan, math.inf, TTL_LIMIT_S * 1.001])
async def test_a_time_to_live_is_above_zero_and_at_most_ten_years(memory, ttl_s):
    with pytest.raises(InvalidInput, match="ttl"):
        await memory.store("p", "n", "k", 1, ttl_s=ttl_s)
    await memory.store("p", "n", "k", 1, ttl_s=TTL_LIMIT_S)


@pytest.mark.parametrize("version", [-1, 2**70])
async def test_a_version_is_one_that_can_be(memory, version):
    with pytest.raises(InvalidInput, match="if_version"):
        await memory.store("p", "n", "k", 1, if_version=version)
    with pytest.raises(InvalidInput, match="if_version"):
        await memory.delete("p", "n", "k", if_version=0)


async def test_a_missing_key_is_answered_with_the_nearest_one(memory):
    for key in ("project_context", "unrelated", *(f"filler {number}" for number in range(200))):
        await memory.store("p", "n", key, 1)
    with pytest.raises(NotFound, match=r"no entry 'project_contxt' in namespace 'n'; did you mean 'project_context'\?"):
        await memory.retrieve("p", "n", "project_contxt")
    with pytest.raises(NotFound, match="did you mean 'project_context'"):
        await memory.delete("p", "n", "project_contex")
    with pytest.raises(NotFound, match="memory_usage --action list"):
        await memory.retrieve("p", "n", "zzz")
    with pytest.raises(NotFound, match="memory_usage --action list"):
        await memory.retrieve("q", "n", "project_contxt")


async def test_an_artefact_is_found_under_its_path(memory, database):
    await database.write(_insert_artefact)
    found = await memory.retrieve("p", "anything", "sparc/r_1/design/api/v1.md")
    assert (found.value, found.version, found.tags, found.size_bytes) == ("the text", 1, ("artefact",), 8)
    assert found.namespace is None, "it is found in any and belongs to none"
    for project, key in (("q", "sparc/r_1/design/api/v1.md"), ("p", "sparc/r_1/design/other"), ("p", "sparc/r_1")):
        with pytest.raises(NotFound):
            await memory.retrieve(project, "n", key)


async def test_a_text_of_a_run_s_shared_context_is_found_under_its_number(memory, database):
    await database.write(_insert_artefact)
    backend = BackendChoice("host", "host", None, "", None).to_json()
    context = json.dumps(["first", " \n", "sécond"])
    await database.write(
        lambda tx: tx.rows(
            "UPDATE run SET backend = :backend, context = :context", {"backend": backend, "context": context}
        )
    )
    found = await memory.retrieve("p", "anything", "sparc/r_1/context/2")
    # Numbered as prompts number them: a text that holds nothing is not there.
    assert (found.value, found.tags, found.size_bytes, found.namespace) == ("sécond", ("context",), 7, None)
    others = [f"sparc/r_1/context/{name}" for name in ("0", "3", "-1", "²", "02x", "")]
    for project, key in (("q", "sparc/r_1/context/2"), *(("p", other) for other in others)):
        with pytest.raises(NotFound):
            await memory.retrieve(project, "n", key)


async def test_an_artefact_may_be_called_like_a_text_of_the_context(memory, database):
    await database.write(_insert_artefact)
    await database.write(lambda tx: tx.rows("UPDATE artefact SET phase = 'context', name = '1'"))
    assert (await memory.retrieve("p", "n", "sparc/r_1/context/1")).value == "the text"


async def _insert_artefact(tx):
    await tx.rows("INSERT INTO project (project, created_ns) VALUES ('p', 0)")
    await tx.rows(
        "INSERT INTO run (run_id, project, swarm_id, kind, task, context, backend, status, created_ns, lease_epoch,"
        " lease_expires_ns) VALUES ('r_1', 'p', 's_1', 'run', 't', '[]', '{}', 'running', 0, 1, 0)"
    )
    await tx.rows(
        "INSERT INTO task (task_id, run_id, ordinal, key, phase, mode, role, text, priority, remaining_path,"
        " tolerates_failure, expands, status, pending, created_ns)"
        " VALUES ('t_1', 'r_1', 0, 'k', 'design', 'm', 'r', 't', 0, 1, 0, 0, 'ready', 0, 0)"
    )
    await tx.rows(
        "INSERT INTO artefact (artefact_id, run_id, task_id, ordinal, phase, name, sha256, size_bytes, text,"
        " created_ns, truncated) VALUES ('f_1', 'r_1', 't_1', 0, 'design', 'api/v1.md', 'x', 8, 'the text', 5, 0)"
    )


async def test_the_keys_of_deliverables_cannot_be_stored_over(memory):
    with pytest.raises(InvalidInput, match="belong to the deliverables of runs"):
        await memory.store("p", "default", "sparc/r_1/code/code_1", "shadow")

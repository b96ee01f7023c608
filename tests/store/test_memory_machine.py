"""A Hypothesis state machine drives the memory beside a dictionary."""

import asyncio
import json
import tempfile
import unicodedata
from functools import cache
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from swarmtally.core.memory import Memory
from swarmtally.domain.errors import NotFound, VersionConflict
from swarmtally.store import location
from swarmtally.store.database import open_database


class Clock:
    ns = 10**18

    def now_ns(self):
        return self.ns

    def monotonic_ns(self):
        return self.ns


def glob_matches(pattern, text):
    """SQLite's GLOB, written down anew: `*`, `?`, `[set]`, `[^set]`, `]` first is a member, an open set is nothing."""
    parts = parsed(pattern)
    if parts is None:
        return False

    @cache
    def matches(part, at):
        if part == len(parts):
            return at == len(text)
        if parts[part] == "*":
            return matches(part + 1, at) or (at < len(text) and matches(part, at + 1))
        return at < len(text) and parts[part](text[at]) and matches(part + 1, at + 1)

    return matches(0, 0)


def parsed(pattern):
    parts, at = [], 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            parts.append("*")
        elif character == "?":
            parts.append(lambda _: True)
        elif character == "[":
            found = parsed_set(pattern, at)
            if found is None:
                return None
            part, at = found
            parts.append(part)
        else:
            parts.append(lambda other, character=character: other == character)
    return parts


def parsed_set(pattern, at):
    inverted = pattern[at : at + 1] == "^"
    at += inverted
    ranges = []
    if pattern[at : at + 1] == "]":
        ranges.append(("]", "]"))
        at += 1
    previous = None
    while pattern[at : at + 1] not in ("", "]"):
        if pattern[at] == "-" and previous is not None and pattern[at + 1 : at + 2] not in ("", "]"):
            ranges.append((previous, pattern[at + 1]))
            previous = None
            at += 2
        else:
            ranges.append((pattern[at], pattern[at]))
            previous = pattern[at]
            at += 1
    if at >= len(pattern):
        return None
    return (lambda other: any(low <= other <= high for low, high in ranges) != inverted), at + 1


def is_key(text):
    return all(unicodedata.category(character) != "Cc" for character in text)


SYNTAX = ["*", "?", "[", "]", "^", "-", '"', "AND", "OR ", "NEAR(", ":", "\\", "'", "%", "_", "(", ")", "+"]
anything = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=4)
pieces = st.one_of(
    st.sampled_from(["a", "b", "/", "ab", "ü", "日", "🦀", "\ud7ff", "\ue000", "\U0010ffff", *SYNTAX]), anything
)
texts = st.lists(pieces, min_size=1, max_size=5).map("".join)
# Few keys, so that rules meet; with everything a pattern knows among them.
keys = st.one_of(st.sampled_from(["a", "ab", "a*", "[a]", '"a"', "a\U0010ffff", "ü", "日本"]), texts)
patterns = st.one_of(st.sampled_from(["*", "a*", "?", "[a-c]*", "[^a]*", "[]]", "a\U0010ffff*", "\ud7ff*"]), texts)
projects = st.sampled_from(["p", "q"])
namespaces = st.sampled_from(["n", "m", "*"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


class MemoryMachine(RuleBasedStateMachine):
    @initialize()
    def open(self):
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.context = open_database(location.prepare(Path(self.folder.name) / "swarm.db"), self.clock)
        database = self.runner.run(self.context.__aenter__())
        self.memory = Memory(database, self.clock)
        self.model = {}
        # Something to find from the first step on.
        for key in ("a", "ab", "a*b", "[a]", "]", "ü/日本", "a\U0010ffff"):
            self.store(("p", "n", key), key, [], None, None)

    def teardown(self):
        if hasattr(self, "runner"):
            self.runner.run(self.context.__aexit__(None, None, None))
            self.runner.close()
            self.folder.cleanup()

    def outcome(self, call):
        async def awaited():
            return await call

        try:
            return self.runner.run(awaited())
        except (NotFound, VersionConflict) as error:
            return type(error) if "\n" not in str(error) else error

    def live(self, place):
        entry = self.model.get(place)
        return entry if entry and (entry["expires"] is None or entry["expires"] > self.clock.ns) else None

    @rule(
        data=st.data(),
        fresh=st.tuples(projects, namespaces, keys),
        value=values,
        tags=st.lists(texts, max_size=2),
        ttl=st.none() | st.integers(1, 5),
        if_version=st.none() | st.integers(0, 3),
    )
    def store_somewhere(self, data, fresh, value, tags, ttl, if_version):
        # As often over an entry as beside it, or versions would hardly grow.
        place = data.draw(st.one_of(st.just(fresh), st.sampled_from(sorted(self.model) or [fresh])))
        self.store(place, value, tags, ttl, if_version)

    def store(self, place, value, tags, ttl, if_version):
        before = self.live(place)
        version = before["version"] if before else 0
        found = self.outcome(self.memory.store(*place, value, tags=tags, ttl_s=ttl, if_version=if_version))
        if if_version is not None and if_version != version:
            assert found is VersionConflict
            return
        assert (found.version, found.tags) == (version + 1, tuple(tags))
        self.model[place] = {
            "value": json.loads(json.dumps(value)),
            "tags": tuple(tags),
            "version": version + 1,
            "expires": None if ttl is None else self.clock.ns + ttl * 10**9,
            "created": before["created"] if before else self.clock.ns,
            "updated": self.clock.ns,
        }

    @rule(data=st.data(), fresh=st.tuples(projects, namespaces, keys))
    def retrieve(self, data, fresh):
        place = data.draw(st.sampled_from([*self.model, fresh]))
        expected = self.live(place)
        found = self.outcome(self.memory.retrieve(*place))
        if expected is None:
            assert found is NotFound
            return
        assert (found.namespace, found.key) == place[1:]
        assert (found.value, found.tags, found.version) == (expected["value"], expected["tags"], expected["version"])
        assert (found.created_ns, found.updated_ns) == (expected["created"], expected["updated"])
        assert found.expires_ns == expected["expires"]

    @rule(data=st.data(), fresh=st.tuples(projects, namespaces, keys), if_version=st.none() | st.integers(1, 3))
    def delete(self, data, fresh, if_version):
        place = data.draw(st.sampled_from([*self.model, fresh]))
        expected = self.live(place)
        found = self.outcome(self.memory.delete(*place, if_version=if_version))
        if if_version is not None and if_version != (expected["version"] if expected else 0):
            assert found is VersionConflict
        elif expected is None:
            assert found is NotFound
        else:
            assert found is None
            del self.model[place]

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds):
        self.clock.ns += seconds * 10**9

    @rule(project=projects, namespace=st.none() | namespaces, pattern=patterns, limit=st.integers(1, 4))
    def glob(self, project, namespace, pattern, limit):
        expected = sorted(
            (place[2], place[1])
            for place in self.model
            if self.live(place) and place[0] == project and namespace in (None, place[1])
            and glob_matches(pattern, place[2])
        )  # fmt: skip
        found, cursor = [], None
        while True:
            page = self.outcome(
                self.memory.search(project, pattern, namespace=namespace, mode="glob", limit=limit, cursor=cursor)
            )
            assert page.total == len(expected)
            found += [(hit.key, hit.namespace) for hit in page.hits]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert found == expected

    @rule(project=projects, pattern=texts)
    def text(self, project, pattern):
        """Any pattern is answered, with this project's living entries only."""
        page = self.outcome(self.memory.search(project, pattern, mode="text", limit=1000))
        assert all(self.live((project, hit.namespace, hit.key)) for hit in page.hits)
        assert page.total == len(page.hits)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def text_finds_a_key_by_itself(self, data):
        place = data.draw(st.sampled_from(sorted(self.model)))
        page = self.outcome(self.memory.search(place[0], place[2], mode="text", limit=1000))
        if self.live(place) and any(character.isalnum() for character in place[2]) and place[2].isascii():
            assert place[1:] in [(hit.namespace, hit.key) for hit in page.hits]

    @invariant()
    def counts_agree(self):
        if not hasattr(self, "memory"):
            return
        for project in ("p", "q"):
            living = [place for place in self.model if place[0] == project and self.live(place)]
            stats = self.outcome(self.memory.stats(project))
            assert (stats.entries, stats.namespaces) == (len(living), len({place[1] for place in living}))


MemoryMachine.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # Not shrunk: that would take longer than the limit of a test, and the steps are printed as they are.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
TestMemoryBesideADictionary = MemoryMachine.TestCase


@given(pattern=patterns, text=keys)
@settings(max_examples=500, deadline=None)
def test_the_oracle_agrees_with_a_literal_on_patterns_without_metacharacters(pattern, text):
    if not set(pattern) & set("*?["):
        assert glob_matches(pattern, text) == (pattern == text)

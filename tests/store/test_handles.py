"""Handles of calls, beside a dictionary: what has ended stays so, each is kept its time, and to its own project."""

import asyncio
import base64
import tempfile
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import anyio.to_thread
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from swarmtally.core import owner
from swarmtally.core.bookkeeping import Bookkeeper
from swarmtally.core.handles import Handles
from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.errors import NotFound
from swarmtally.domain.handle import KEPT_NS, LONGEST_NS, HandleStatus
from swarmtally.domain.retention import Retention
from swarmtally.domain.run import LEASE_NS
from swarmtally.store import location
from swarmtally.store.database import Database, open_database
from tests.store.conftest import HandClock

T = TypeVar("T")

FINAL = [status for status in HandleStatus if status.final]
PROJECTS = ("one", "two")


@dataclass
class Known:
    project: str
    status: HandleStatus
    message: str
    result: str | None
    created_ns: int
    expires_ns: int


class HandlesBesideADictionary(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = HandClock()
        self.folder = tempfile.TemporaryDirectory()
        self.opening = open_database(location.prepare(Path(self.folder.name) / "swarm.db"), self.clock)
        database = self.wait(self.opening.__aenter__())
        self.handles = {project: Handles(database, self.clock, project, "here:1:1") for project in PROJECTS}
        self.known: dict[str, Known] = {}

    def wait(self, awaitable: Awaitable[T]) -> T:
        async def waited() -> T:
            return await awaitable

        return self.loop.run_until_complete(waited())

    def teardown(self) -> None:
        self.wait(self.opening.__aexit__(None, None, None))
        self.loop.close()
        self.folder.cleanup()

    def kept(self, known: Known) -> bool:
        return self.clock.ns < known.expires_ns

    def goes_on(self, known: Known) -> bool:
        return known.status is HandleStatus.WORKING and self.kept(known)

    def seen_now(self, known: Known) -> None:
        known.expires_ns = min(known.created_ns + LONGEST_NS, self.clock.ns + KEPT_NS)

    @rule(project=st.sampled_from(PROJECTS))
    def make(self, project: str) -> None:
        made = self.wait(self.handles[project].make("tool", "begun"))
        assert made.handle_id not in self.known
        self.known[made.handle_id] = Known(
            project, HandleStatus.WORKING, "begun", None, self.clock.ns, self.clock.ns + KEPT_NS
        )

    @precondition(lambda self: self.known)
    @rule(data=st.data(), message=st.text(max_size=5))
    def renew(self, data: st.DataObject, message: str) -> None:
        handle_id = data.draw(st.sampled_from(sorted(self.known)))
        known = self.known[handle_id]
        assert self.wait(self.handles[known.project].renew(handle_id, message)) is self.goes_on(known)
        if self.goes_on(known):
            known.message = message
            self.seen_now(known)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), status=st.sampled_from(FINAL), word=st.text(max_size=5))
    def settle(self, data: st.DataObject, status: HandleStatus, word: str) -> None:
        handle_id = data.draw(st.sampled_from(sorted(self.known)))
        known = self.known[handle_id]
        if not self.kept(known):
            return
        handles = self.handles[known.project]
        result = word if status is HandleStatus.COMPLETED else None
        told = self.wait(handles.settle(self.wait(handles.find(handle_id)), status, word, result))
        if self.goes_on(known):
            known.status, known.message, known.result = status, word, result
            self.seen_now(known)
        assert (told.status, told.message, told.result) == (known.status, known.message, known.result)

    @rule(hours=st.sampled_from((1, 12, 23, 24, 48)))
    def wait_some(self, hours: int) -> None:
        self.clock.advance(hours * 3600)

    @invariant()
    def each_project_finds_its_own_while_they_are_kept(self) -> None:
        for handle_id, known in self.known.items():
            for project, handles in self.handles.items():
                if project != known.project or not self.kept(known):
                    with pytest.raises(NotFound):
                        self.wait(handles.find(handle_id))
                    continue
                found = self.wait(handles.find(handle_id))
                assert (found.status, found.message, found.result) == (known.status, known.message, known.result)
                assert found.expires_ns == known.expires_ns <= known.created_ns + LONGEST_NS


TestHandlesBesideADictionary = HandlesBesideADictionary.TestCase
TestHandlesBesideADictionary.settings = settings(
    max_examples=5,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


async def test_names_are_secrets_of_more_than_128_bits(database: Database, clock: HandClock) -> None:
    handles = Handles(database, clock, "p", "here:1:1")
    names = {(await handles.make("tool", "begun")).handle_id for _ in range(20)}
    assert len(names) == 20
    assert all(len(base64.urlsafe_b64decode(name)) * 8 >= 128 for name in names)


async def test_nothing_keeps_one_longer_than_its_longest(database: Database, clock: HandClock) -> None:
    handles = Handles(database, clock, "p", "here:1:1")
    made = await handles.make("tool", "begun")
    for _ in range(LONGEST_NS // KEPT_NS * 2 - 1):
        clock.advance(KEPT_NS / 2 / NS_PER_S)
        assert await handles.renew(made.handle_id, "goes on")
    clock.advance(KEPT_NS / 2 / NS_PER_S)
    assert not await handles.renew(made.handle_id, "goes on")
    with pytest.raises(NotFound):
        await handles.find(made.handle_id)


async def test_those_kept_no_longer_are_deleted_with_the_next(database: Database, clock: HandClock) -> None:
    handles = Handles(database, clock, "p", "here:1:1")
    for _ in range(3):
        await handles.make("tool", "begun")
    clock.advance(KEPT_NS / NS_PER_S)
    last = await handles.make("tool", "begun")
    rows = await database.read(lambda tx: tx.rows("SELECT handle_id FROM handle"))
    assert [row["handle_id"] for row in rows] == [last.handle_id]


async def test_and_with_what_else_is_kept_no_longer(database: Database, clock: HandClock) -> None:
    await Handles(database, clock, "p", "here:1:1").make("tool", "begun")
    books = Bookkeeper(database, clock, Retention())
    assert await books.delete_old() == 0
    clock.advance(KEPT_NS / NS_PER_S)
    assert await books.delete_old() == 1


async def test_one_is_abandoned_when_its_process_is_gone_or_silent(database: Database, clock: HandClock) -> None:
    ours, elsewhere = await anyio.to_thread.run_sync(owner.this_process), "elsewhere:1:1"
    gone = ours.rpartition(":")[0] + ":1"
    abandoned = []
    for process in (ours, elsewhere, gone):
        handles = Handles(database, clock, "p", process)
        abandoned.append(await handles.abandoned(await handles.make("tool", "begun")))
    assert abandoned == [False, False, True]
    handles = Handles(database, clock, "p", elsewhere)
    made = await handles.make("tool", "begun")
    clock.advance(LEASE_NS / NS_PER_S)
    assert await handles.abandoned(made)
    await handles.renew(made.handle_id, "goes on")
    assert not await handles.abandoned(await handles.find(made.handle_id))

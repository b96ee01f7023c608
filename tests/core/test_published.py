"""What a project holds by address: the list in pages, and versions that change when what they stand for does."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import anyio.to_thread
import pytest

from swarmtally.app import App, open_app
from swarmtally.core.published import Listed, Place, TheList, Watched
from swarmtally.domain.addresses import (
    CurrentSwarm,
    DeliverableAddress,
    MemoryAddress,
    PerformanceReport,
    RunAddress,
    TimelineAddress,
)
from swarmtally.domain.clock import NS_PER_S
from swarmtally.settings import Settings
from swarmtally_tools import registry


class SetClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.ns = 1_800_000_000 * NS_PER_S

    def now_ns(self) -> int:
        self.ns += 1
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns


@asynccontextmanager
async def opened(place: Path, project: str = "test", clock: SetClock | None = None) -> AsyncIterator[App]:
    gather = partial(Settings.gather, "mcp", db=str(place / "swarm.db"), project=project, cwd=place)
    async with open_app(await anyio.to_thread.run_sync(gather), clock) as app:
        yield app


async def call(app: App, tool: str, **arguments: object) -> dict[str, object]:
    loaded = await anyio.to_thread.run_sync(registry.load, tool)
    return (await loaded.call(app, arguments)).model_dump(mode="json")


Packet = dict[str, str]


async def begin(app: App, tasks: int = 1) -> tuple[str, list[Packet]]:
    """A host-driven run: its id, and the packets its client got with it."""
    run = await call(app, "sparc_concurrent", mode="coder", tasks=[f"Task {n}" for n in range(tasks)])
    packets: list[Packet] = run["packets"]  # type: ignore[assignment]
    return str(run["run_id"]), packets


async def report(app: App, packet: Packet) -> None:
    files = {"src/app.py": "print(1)\n"}
    await call(app, "work_report", task_id=packet["task_id"], lease=packet["lease"], output="# Done", files=files)


async def done(app: App, tasks: int = 1) -> str:
    """A run that has ended."""
    run_id, packets = await begin(app, tasks)
    for packet in packets:
        await report(app, packet)
    return run_id


async def changed(app: App, before: dict[Watched, str | None]) -> set[Watched]:
    """What has another version than before; `before` is brought up to date."""
    now = await app.published().versions(list(before))
    found = {each for each, version in before.items() if now.get(each) != version}
    before.update({each: now.get(each) for each in before})
    return found


async def test_each_change_is_seen_in_the_version_of_what_changed_and_in_no_other(tmp_path: Path) -> None:
    clock = SetClock()
    entry, other = MemoryAddress("default", "k"), MemoryAddress("default", "other")
    async with opened(tmp_path, clock=clock) as app, opened(tmp_path, "another", clock) as stranger:
        seen: dict[Watched, str | None] = dict.fromkeys(
            [CurrentSwarm(), PerformanceReport(), TheList(), entry, other, MemoryAddress("default", "sparc/x")]
        )
        await changed(app, seen)
        assert await changed(app, seen) == set()

        await app.memory.store("test", "default", "k", 1)
        assert await changed(app, seen) == {entry}
        await app.memory.store("test", "default", "k", 1, ttl_s=60)
        assert await changed(app, seen) == {entry}, "stored again"
        clock.ns += 61 * NS_PER_S
        assert await changed(app, seen) == {entry}, "it has expired"

        await call(app, "swarm_init", max_agents=3)
        assert await changed(app, seen) == {CurrentSwarm(), TheList()}
        await call(app, "agent_spawn", type="coder")
        assert await changed(app, seen) == {CurrentSwarm()}

        run_id, packets = await begin(app, 2)
        run, timeline = RunAddress(run_id), TimelineAddress(run_id)
        made = DeliverableAddress(run_id, "coder_1")
        file = DeliverableAddress(run_id, "coder_1/src/app.py")
        kept = MemoryAddress("any", f"sparc/{run_id}/coder/coder_1")
        assert await changed(app, seen) == {CurrentSwarm(), PerformanceReport(), TheList()}
        seen |= dict.fromkeys([run, timeline, made, file, kept])
        assert await changed(app, seen) == {run, timeline}

        await report(app, packets[0])
        assert await changed(app, seen) == {run, timeline, made, file, kept, CurrentSwarm(), PerformanceReport()}
        await report(app, packets[1])
        assert await changed(app, seen) == {run, timeline, CurrentSwarm(), PerformanceReport(), TheList()}

        await done(stranger)
        await stranger.memory.store("another", "default", "k", 2)
        assert await changed(app, seen) == set(), "another project's"


async def test_a_lease_that_runs_out_is_a_change_though_nobody_writes(tmp_path: Path) -> None:
    clock = SetClock()
    async with opened(tmp_path, clock=clock) as app:
        run = RunAddress((await begin(app))[0])

        def lease(owner: str, expires_ns: int) -> None:
            with closing(sqlite3.connect(tmp_path / "swarm.db")) as database, database:
                database.execute("UPDATE run SET lease_owner = ?, lease_expires_ns = ?", (owner, expires_ns))

        await anyio.to_thread.run_sync(lease, "somebody", clock.ns + 15 * NS_PER_S)
        seen: dict[Watched, str | None] = {run: None}
        await changed(app, seen)
        assert await changed(app, seen) == set()
        clock.ns += 16 * NS_PER_S
        assert await changed(app, seen) == {run}


async def all_pages(app: App, limit: int) -> list[Listed]:
    found: list[Listed] = []
    after: Place | None = None
    while True:
        page = await app.published().page(after, limit)
        assert len(page.items) <= limit
        found += page.items
        if page.following is None:
            return found
        assert len(page.items) == limit
        after = page.following


async def test_pages_of_any_size_show_everything_once_and_in_order(tmp_path: Path) -> None:
    async with opened(tmp_path) as app:
        ended = [await done(app, tasks) for tasks in (1, 3, 2)]
        under_way, packets = await begin(app, 2)
        await report(app, packets[0])
        whole = await all_pages(app, 1_000)
        shown = [(item.run_id, getattr(item, "name", None)) for item in whole]
        assert shown == [
            (under_way, None),
            (ended[2], None),
            *[(ended[2], f"coder_{n}") for n in (1, 2)],
            (ended[1], None),
            *[(ended[1], f"coder_{n}") for n in (1, 2, 3)],
            (ended[0], None),
            (ended[0], "coder_1"),
        ]
        for limit in range(1, len(whole) + 2):
            assert await all_pages(app, limit) == whole


@pytest.mark.parametrize("place", [Place(0, "", -1), Place(2**62, "r_gone", 2**40), Place(2**62, "", -1)])
async def test_a_place_where_nothing_is_any_more_gives_a_page(tmp_path: Path, place: Place) -> None:
    async with opened(tmp_path) as app:
        run_id = await done(app)
        page = await app.published().page(place, 3)
        assert page.following is None
        assert [item.run_id for item in page.items] == ([run_id] * 2 if place.created_ns else [])

"""Ended runs are measured once, and what is kept no longer goes in small steps while others write."""

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from swarmtally.core import bookkeeping
from swarmtally.core.bookkeeping import Bookkeeper
from swarmtally.domain.clock import NS_PER_S, SystemClock
from swarmtally.domain.retention import Retention
from swarmtally.store import retention
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database, Unit, open_database
from tests.gate import Gate
from tests.insight.history import NOW_NS, History, database_of, reported

DAY_NS = bookkeeping.DAY_NS

KEPT = Retention(runs_days=30, details_days=7)


def ended_run(history: History, run_id: str, ended_ns: int, tasks: int = 1) -> None:
    history.run(run_id, "p", "s", ended_ns - 100)
    for number in range(tasks):
        task_id = f"t_{run_id}_{number}"
        history.task(task_id, run_id, "succeeded")
        history.attempt(task_id, 1, "succeeded", ended_ns - 90, committed_ns=ended_ns - 10, exec_ns=5, final=1)
        history.call(run_id, task_id, 1, ended_ns - 10)
        history.message("data_transfer", "p", "s", run_id, task_id, sent_ns=ended_ns - 90, received_ns=ended_ns - 80)
    history.cancelled("p", "s", run_id, "t", ended_ns)
    history.ended[run_id] = ("succeeded", ended_ns)


async def count(database: Database, table: str, where: str = "1") -> int:
    row = await database.read(lambda tx: tx.row(f"SELECT COUNT(*) AS n FROM {table} WHERE {where}"))
    return int(row["n"]) if row else -1


async def test_what_is_older_goes_and_what_is_younger_stays(tmp_path: Path, empty: Path) -> None:
    history = History()
    history.project("p")
    for number, ago_ns in enumerate((30 * DAY_NS + 1, 30 * DAY_NS, 7 * DAY_NS + 100, 7 * DAY_NS, 1)):
        ended_run(history, f"r{number}", NOW_NS - ago_ns)
        history.sample("p", NOW_NS - ago_ns)
    async with database_of(history, empty, tmp_path / "swarm.db") as database:
        books = Bookkeeper(database, database.clock, KEPT)
        assert await books.measure_ended() == 5
        await books.delete_old()
        for table in ("run", "run_measure", "task", "usage", "event"):
            assert await count(database, table) == 4, table
        assert await count(database, "run", "run_id = 'r0'") == 0
        assert await count(database, "attempt") == 4
        # That of r3 was sent 90 ns before its run ended, and is older than seven days.
        assert await count(database, "message") == 1
        assert await count(database, "resource_sample") == 2
        assert await count(database, "run_measure", "transfers IS NOT NULL") == 2
        assert await books.delete_old() == 0


async def test_runs_that_go_on_stay_however_old(tmp_path: Path, empty: Path) -> None:
    history = History()
    history.project("p")
    ended_run(history, "r", NOW_NS - 99 * DAY_NS)
    history.ended.clear()
    async with database_of(history, empty, tmp_path / "swarm.db") as database:
        await Bookkeeper(database, database.clock, KEPT).delete_old()
        assert (await count(database, "run"), await count(database, "task")) == (1, 1)
        # Its messages do not, and that is noted though no measure has lost anything.
        assert await count(database, "message") == 0
        assert await count(database, "forgotten", "what = 'messages' AND swarm_id = 's'") == 1


async def test_a_large_run_goes_piece_by_piece_while_another_process_writes(tmp_path: Path, empty: Path) -> None:
    history = History()
    history.project("p")
    ended_run(history, "r", NOW_NS - 31 * DAY_NS, tasks=2_000)
    path = tmp_path / "swarm.db"
    steps: list[int] = []
    async with database_of(history, empty, path) as database:
        books = Bookkeeper(database, database.clock, KEPT)
        await books.measure_ended()
        async with open_database(path, SystemClock()) as other:
            written = 0
            done = anyio.Event()

            async def write() -> None:
                nonlocal written

                async def unit(tx: Connection) -> None:
                    await tx.rows(
                        "INSERT INTO project (project, created_ns) VALUES (:name, 1)", {"name": f"w{written}"}
                    )

                while not done.is_set():
                    await other.write(unit)
                    written += 1

            async with anyio.create_task_group() as group:
                group.start_soon(write)
                steps = await _delete(database)
                done.set()
        assert written > 10
        assert max(steps) <= retention.STEP
        assert len(steps) > 40
        for table in ("run", "task", "attempt", "usage", "event", "message", "run_measure"):
            assert await count(database, table) == 0, table


async def test_what_is_to_be_done_takes_few_transactions(
    tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History()
    history.project("p")
    for number, tasks in enumerate((1, 1, 30, 1, 25)):
        ended_run(history, f"r{number}", NOW_NS - 31 * DAY_NS, tasks)
    monkeypatch.setattr(bookkeeping, "HELD_ATTEMPTS", 30)
    async with database_of(history, empty, tmp_path / "swarm.db") as database:
        writes = 0
        write = database.write

        async def counted(unit: Unit[int]) -> int:
            nonlocal writes
            writes += 1
            return await write(unit)

        monkeypatch.setattr(database, "write", counted)
        books = Bookkeeper(database, database.clock, KEPT)
        assert (await books.measure_ended(), writes) == (5, 2)
        # The clock stands still: no spell ends before there is nothing more to do.
        await books.delete_old()
        assert (await count(database, "run"), writes) == (0, 3)


TICK_NS = bookkeeping.LONGEST_SPELL_NS // 20


class TickingClock(SystemClock):
    """Each look at the monotonic time takes a `TICK_NS`, and a test lets more pass."""

    at_ns = 0

    def monotonic_ns(self) -> int:
        self.at_ns += TICK_NS
        return self.at_ns


@pytest.mark.parametrize(
    ("waited_ns", "steps"),
    [(0, 1), (4 * TICK_NS, 5), (9 * bookkeeping.LONGEST_SPELL_NS, 20)],
    ids=["not at all", "a while", "very long"],
)
async def test_deleting_goes_on_for_as_long_as_it_waited_for_others(
    tmp_path: Path, empty: Path, waited_ns: int, steps: int
) -> None:
    history, clock = History(), TickingClock()
    history.project("p")
    ended_run(history, "r", NOW_NS - 31 * DAY_NS, tasks=1_100)
    path = tmp_path / "swarm.db"
    taken: list[int] = []
    async with database_of(history, empty, path) as database:
        books = Bookkeeper(database, clock, KEPT)
        other = await Connection.open(path, read_only=False)
        await other.rows("BEGIN IMMEDIATE")

        async def delete() -> None:
            taken.append(await books._delete_some([(retention.delete_run_parts, NOW_NS - 30 * DAY_NS)]))

        async with anyio.create_task_group() as group:
            group.start_soon(delete)
            while clock.at_ns == 0:
                await anyio.lowlevel.checkpoint()
            clock.at_ns += waited_ns
            await other.rows("ROLLBACK")
        await other.close()
    assert taken == [steps * retention.STEP // 10]


async def test_events_outside_of_runs_go_with_the_runs_of_their_time(tmp_path: Path, empty: Path) -> None:
    history = History()
    history.project("p")
    for ago_ns in (30 * DAY_NS + 1, 30 * DAY_NS + 2, 30 * DAY_NS, 1):
        history.add("event", at_ns=NOW_NS - ago_ns, kind="agent.spawned", project="p", swarm_id="s")
    async with database_of(history, empty, tmp_path / "swarm.db") as database:
        assert await Bookkeeper(database, database.clock, KEPT).delete_old() == 2
        assert await count(database, "event", f"at_ns >= {NOW_NS - 30 * DAY_NS}") == 2
        assert await count(database, "event") == 2


async def _delete(database: Database) -> list[int]:
    """As `Bookkeeper.delete_old` does it, noting what each step took."""
    steps = []
    for step, days in ((retention.delete_messages, 7), (retention.delete_run_parts, 30)):
        before_ns = NOW_NS - days * DAY_NS
        while gone := await database.write(lambda tx, step=step, before=before_ns: step(tx, before)):
            steps.append(gone)
    return steps


async def test_a_run_is_measured_once_for_each_of_its_ends(tmp_path: Path, empty: Path) -> None:
    history = History()
    history.project("p")
    ended_run(history, "r", NOW_NS - 10 * NS_PER_S)
    async with database_of(history, empty, tmp_path / "swarm.db") as database:
        books = Bookkeeper(database, database.clock, KEPT)
        assert [await books.measure_ended() for _ in range(2)] == [1, 0]
        await database.write(lambda tx: tx.rows("UPDATE run SET finished_ns = NULL"))
        assert await books.measure_ended() == 0
        await database.write(lambda tx: tx.rows(f"UPDATE run SET finished_ns = {NOW_NS}"))
        assert [await books.measure_ended() for _ in range(2)] == [1, 0]
        assert await count(database, "run_measure") == 2
        assert await count(database, "run_measure", "succeeded = 0 AND makespan_ns IS NULL") == 1


async def test_a_report_waits_for_what_is_being_written_with_an_earlier_time(tmp_path: Path, empty: Path) -> None:
    history = History()
    history.project("p")
    history.run("r", "p", "s", NOW_NS - 100)
    history.task("t", "r", "running")
    gate, told = Gate(), anyio.Event()
    found: list[int] = []
    path = tmp_path / "swarm.db"

    async def slowly(tx: Connection) -> None:
        await gate.unit(tx)
        await tx.rows(
            "INSERT INTO attempt (task_id, number, epoch, agent_id, status, claimed_ns, committed_ns, final)"
            f" VALUES ('t', 1, 1, 'a', 'succeeded', {NOW_NS - 50}, {NOW_NS - 10}, 1)"
        )

    async with (
        database_of(history, empty, path) as database,
        open_database(path, SystemClock()) as other,
        anyio.create_task_group() as group,
    ):

        async def tell() -> None:
            found.append((await reported(database, explain=())).figures["success_rate"].n)
            told.set()

        group.start_soon(other.write, slowly)
        await gate.reached()
        group.start_soon(tell)
        with anyio.move_on_after(0.2):
            await told.wait()
        early = list(found)
        gate.open()
        await told.wait()
    assert (early, found) == ([], [1])

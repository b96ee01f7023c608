"""What the project's own tasks and runs teach: from real work, and from rows a test made up."""

from pathlib import Path

from swarmtally.core.bookkeeping import Bookkeeper
from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.retention import Retention
from swarmtally.domain.timeframe import Timeframe
from swarmtally.domain.usage import TokenUsage
from swarmtally.learning.rows import TrainingRow
from swarmtally.store import observations
from swarmtally.store.database import Database
from swarmtally.training_rows import training_rows
from tests.core.harness import task
from tests.core.hosted import Hosted, failed, hosted, made
from tests.insight.history import NOW_NS, History, database_of

ALL = Timeframe(0, 2**62)


async def own(
    database: Database, project: str = "test", timeframe: Timeframe = ALL, limit: int = 100
) -> list[TrainingRow]:
    await Bookkeeper(database, database.clock, Retention()).close()
    return list(await training_rows(database, project, timeframe, limit))


async def do(work: Hosted, seconds: float, tokens: tuple[int, int] | None = (30, 12), *, fails: bool = False) -> None:
    """Claim a packet and report it after so many seconds."""
    packet = await work.claim_one()
    work.clock.ns += round(seconds * NS_PER_S)
    usage = TokenUsage(*tokens) if tokens else TokenUsage()
    await work.report(packet, failed() if fails else made(usage=usage))


async def test_finished_tasks_and_runs_are_rows(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=3)
        run_id = await work.start(task("a"), task("b", mode="tester", role="tester"), context=["abc"])
        await do(work, 4)
        await do(work, 2.5, tokens=None)
        a, b, run = await own(work.database)
        assert (a.level, a.source, a.duration_s, a.success, a.tokens, a.mode) == ("task", "own", 4, True, 42, "coder")
        assert (a.topology, a.strategy, a.backend, a.model, a.tasks, a.text) == (
            *("star", "balanced", "host", "the client"),
            *(2, "a"),
        )
        assert (b.mode, b.duration_s, b.tokens) == ("tester", 2.5, None)
        assert a.prompt_bytes == await work.one("SELECT prompt_bytes FROM usage WHERE input_tokens = 30")
        assert (a.agents, b.agents, run.agents) == (1, 2, 2)
        assert (run.level, run.mode, run.duration_s, run.success, run.tokens) == ("run", "batch", 6.5, True, None)
        assert (run.text, run.tasks, run.prompt_bytes) == ("the work", 2, len("the work") + len('["abc"]'))
        assert {row.run_id for row in (a, b, run)} == {run_id}
        assert [row.at_ns for row in (a, b, run)] == sorted(row.at_ns for row in (a, b, run))


async def test_a_failed_task_is_a_row_and_a_cancelled_one_is_none(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init()
        run_id = await work.start(task("a"), task("b"))
        await do(work, 1, fails=True)
        await work.cancel(run_id)
        (row,) = await own(work.database)
        assert (row.level, row.success) == ("task", False)


async def test_a_retried_run_is_a_row_as_it_ended_first_and_its_task_each_time_it_ended(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init()
        run_id = await work.start(task("a"))
        await do(work, 3, fails=True)
        await own(work.database)
        await work.runs.retry(run_id)
        await do(work, 5)
        rows = await own(work.database)
        assert sorted((row.level, row.duration_s, row.success) for row in rows) == [
            ("run", 3, False),
            ("task", 3, False),
            ("task", 5, True),
        ]


async def test_rows_are_of_the_project_the_timeframe_and_the_newest(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init()
        for seconds in (1, 2, 3):
            await work.start(task("a"))
            await do(work, seconds)
            work.clock.pass_minutes(1)
        assert await own(work.database, "other") == []
        rows = await own(work.database, limit=2)
        assert [row.duration_s for row in rows if row.level == "task"] == [2, 3]
        assert [row.duration_s for row in rows if row.level == "run"] == [2, 3]
        late = Timeframe(rows[-1].at_ns, rows[-1].at_ns)
        assert {row.duration_s for row in await own(work.database, timeframe=late)} == {3}


async def test_agents_are_counted_as_they_came_and_went(empty: Path, tmp_path: Path) -> None:
    history = History()
    history.project("p")
    history.swarm("s", "p")
    for joined, left in ((1, None), (50, 200), (150, None), (400, None)):
        history.agent(f"a{joined}", "s", joined, left)
    history.run("r", "p", "s", 90)
    for name, claimed in (("t0", 100), ("t1", 160), ("t2", 300)):
        history.task(name, "r", "succeeded")
        history.attempt(name, 1, "succeeded", claimed, committed_ns=claimed + 10, exec_ns=NS_PER_S, final=1)
    history.run("gone", "p", "deleted", 90)
    history.task("t3", "gone", "succeeded")
    history.attempt("t3", 1, "succeeded", 170, committed_ns=180, exec_ns=NS_PER_S, final=1)
    async with database_of(history, empty, tmp_path / "swarm.db") as database:
        found = {row.at_ns: row for row in await own(database, "p")}
        assert [found[at].agents for at in (110, 170, 310)] == [2, 3, 2]
        assert (found[180].agents, found[180].topology) == (None, None)


async def test_calibrations_teach_nothing(empty: Path, tmp_path: Path) -> None:
    history = History()
    history.project("p")
    history.run("r", "p", "s", 90, kind="calibration")
    history.task("t", "r", "succeeded")
    history.attempt("t", 1, "succeeded", 100, committed_ns=110, exec_ns=NS_PER_S, final=1)
    history.ended["r"] = ("succeeded", 110)
    async with database_of(history, empty, tmp_path / "swarm.db") as database:
        assert await own(database, "p") == []


async def test_what_a_token_costs_is_counted_from_calls_that_have_a_price(empty: Path, tmp_path: Path) -> None:
    history = History()
    history.project("p")
    history.run("r", "p", "s", 90)
    for number, (model, cost) in enumerate((("m", 220), ("m", None), ("n", 1_100))):
        history.call("r", "t", number, 100, model=model, cost_nanousd=cost)
    history.sample("p", 100, rss_bytes=5)
    for _ in range(19):
        history.sample("p", 100, rss_bytes=3)
    async with database_of(history, empty, tmp_path / "swarm.db") as database:
        of_m = await database.read(lambda tx: observations.price(tx, "p", "m", Timeframe(0, NOW_NS)))
        of_all = await database.read(lambda tx: observations.price(tx, "p", None, Timeframe(0, NOW_NS)))
        of_none = await database.read(lambda tx: observations.price(tx, "p", "x", Timeframe(0, NOW_NS)))
        assert (of_m, of_all, of_none) == (
            observations.Price(220, 110, 1),
            observations.Price(1_320, 220, 2),
            None,
        )
        memory = await database.read(lambda tx: observations.memory(tx, "p"))
        assert memory == observations.Memory(3, 20)
        assert await database.read(lambda tx: observations.memory(tx, "q")) is None

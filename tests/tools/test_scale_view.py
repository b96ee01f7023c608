"""What swarm_scale says: figures a reader can compute the size from, and a reason for each it does not know."""

from math import ceil
from pathlib import Path

from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.swarm import Strategy
from swarmtally_tools.scaling import NeedView, ScaledView, _adapted_view, _scaled_view
from tests.core.harness import task
from tests.core.hosted import hosted


def unexplained(view: ScaledView) -> set[str]:
    """Figures that are null without a reason."""
    top = {name for name, value in view if value is None and name != "note" and name not in view.reasons}
    figures = ("arrivals_per_s", "service_s", "needed")
    unknown = [need for need in view.needs if not need.reason and None in [getattr(need, name) for name in figures]]
    return top | {f"needs of {need.role}" for need in unknown}


def computed(view: ScaledView, need: NeedView) -> int:
    """The need as its own figures make it up."""
    assert need.arrivals_per_s is not None
    assert need.service_s is not None
    assert view.utilisation is not None
    at_work = (need.arrivals_per_s + need.backlog / need.horizon_s) * need.service_s
    return max(ceil(at_work / view.utilisation), need.busy, 1)


async def test_the_size_follows_from_the_figures_that_are_shown(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=2, strategy=Strategy.SPECIALIZED)
        await work.start(*(task(f"t{number}") for number in range(6)), task("x", role="tester"))
        packets = await work.claim(2)
        work.clock.ns += 37 * NS_PER_S
        for packet in packets:
            await work.report(packet)
        view = _adapted_view(5, await work.swarms.adapt(5, None, None))
        assert [(need.role, need.needed) for need in view.needs] == [("coder", 9), ("tester", 1)]
        assert [computed(view, need) for need in view.needs] == [9, 1]
        assert (view.needed, view.size_before, view.size, view.roles) == (10, 2, 5, {"coder": 4, "tester": 1})
        assert view.reasons["size"] == "target_size limits it to 5 of 10"
        assert view.note == "max_agents was raised from 2 to 5"
        mean = await work.one("SELECT AVG(committed_ns - claimed_ns) / 1e9 FROM attempt WHERE committed_ns IS NOT NULL")
        assert {need.service_s for need in view.needs} == {mean}
        assert unexplained(view) == set()


async def test_nothing_is_null_without_its_reason(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        for strategy in Strategy:
            await work.init(strategy=strategy)
            assert unexplained(_adapted_view(4, await work.swarms.adapt(4, None, None))) == set()
            assert unexplained(_scaled_view(4, await work.swarms.scale(4, None, None))) == set()
            idle = _adapted_view(4, await work.swarms.adapt(4, None, None))
            assert (idle.size, idle.needed, unexplained(idle)) == (4, None, set())
            await work.start(task("t"))
            assert unexplained(_adapted_view(4, await work.swarms.adapt(4, None, None))) == set()


async def test_who_waits_for_room_is_told_to_call_again(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=2, strategy=Strategy.SPECIALIZED)
        await work.start(task("a"), task("b"), *(task(f"x{number}", role="tester") for number in range(9)))
        for packet in await work.claim(2, role="tester"):
            work.clock.ns += 60 * NS_PER_S
            await work.report(packet)
        await work.swarms.scale(3, "coder", None)
        await work.claim(2, role="coder")
        view = _adapted_view(3, await work.swarms.adapt(3, None, None))
        assert (view.roles, view.leaving) == ({"coder": 2, "tester": 1}, 1)
        assert view.note == "1 more can join when those leaving have left: call again"


async def test_it_says_that_runs_may_make_a_swarm_larger_again(tmp_path: Path) -> None:
    async with hosted(tmp_path) as work:
        await work.init(max_agents=4)
        view = _adapted_view(9, await work.swarms.adapt(9, None, None))
        assert view.size < view.max_agents == 9
        assert view.note == (
            "max_agents was raised from 4 to 9; runs whose tasks wait may add agents up to max_agents, 9"
        )

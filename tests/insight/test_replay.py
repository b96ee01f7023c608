"""What holds of every replay."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmtally.domain.swarm import Agent, AgentStatus, Strategy
from swarmtally.insight.jobs import Job, Member, Pool, Recording, Spans, Step
from swarmtally.insight.relaxing import (
    independent,
    sizes_above,
    smallest_that_gains_most,
    unlimited,
    with_slots,
    without_delays,
)
from swarmtally.insight.replay import replay
from swarmtally.insight.sharing import Shared
from tests.unit.test_rules import ROLES, a_task

S = 1_000_000_000


@st.composite
def recordings(draw: st.DrawFn, *, compute: bool | None = None) -> Recording:
    """Any graph of up to ten tasks; agents are spawned as they are needed."""
    jobs = []
    for number in range(draw(st.integers(1, 10))):
        needs = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        steps = tuple(
            Step(
                Spans(draw(st.integers(0, 3)) * S, draw(st.integers(0, 3)) * S, draw(st.integers(0, 20)) * S, S),
                pause=draw(st.integers(0, 5)) * S,
                cause="network",
            )
            for _ in range(draw(st.integers(1, 2)))
        )
        task = replace(a_task(number, draw(st.sampled_from(ROLES))), priority=draw(st.integers(0, 1)))
        jobs.append(Job(task, frozenset(f"t{need}" for need in needs), draw(st.integers(0, 5)) * S, steps))
    return Recording(
        jobs=tuple(jobs),
        pools=(Pool(draw(st.integers(1, 5)), draw(st.booleans()) if compute is None else compute),),
        members=(),
        strategy=Strategy.BALANCED,
        max_agents=draw(st.integers(1, 5)),
        created_ns={"r": 0},
    )


def held(job: Job) -> float:
    return sum(step.spans.total for step in job.steps)


def chains(jobs: Sequence[Job]) -> float:
    """The longest chain of what the jobs' attempts take, worked out without a replay."""
    longest: dict[str, float] = {}
    for job in jobs:
        longest[job.task.task_id] = held(job) + max((longest[need] for need in job.needs), default=0)
    return max(longest.values())


@given(recordings())
def test_a_replay_is_never_shorter_than_the_work_over_the_places_nor_than_the_longest_chain(given: Recording) -> None:
    given = without_delays(given)
    took = replay(given).makespan_ns
    places = min(given.pools[0].slots, given.max_agents)
    work = sum(step.spans.work for job in given.jobs for step in job.steps)
    # Nanoseconds are whole, so each call may end half of one early.
    assert took >= work / (1 if given.pools[0].compute else places) - 50
    assert took >= chains(given.jobs) - 50


@given(recordings())
def test_the_same_recording_gives_the_same_replay(given: Recording) -> None:
    assert replay(given) == replay(given)
    backwards = replace(given, jobs=tuple(reversed(given.jobs)))
    assert replay(backwards).makespan_ns == replay(given).makespan_ns


@given(recordings(compute=False))
def test_doubling_every_duration_doubles_the_makespan(given: Recording) -> None:
    doubled = replace(given, jobs=tuple(_doubled(job) for job in given.jobs))
    assert replay(doubled).makespan_ns == 2 * replay(given).makespan_ns


def _doubled(job: Job) -> Job:
    steps = tuple(
        replace(
            step,
            spans=Spans(step.spans.delay * 2, step.spans.before * 2, step.spans.work * 2, step.spans.after * 2),
            pause=step.pause * 2,
        )
        for step in job.steps
    )
    return replace(job, release_ns=job.release_ns * 2, steps=steps)


@given(recordings(compute=True))
@settings(max_examples=50)
def test_calls_that_share_a_machine_gain_nothing_by_more_places_when_all_can_begin_at_once(given: Recording) -> None:
    jobs = tuple(
        replace(job, needs=frozenset(), release_ns=0, steps=(Step(Spans(work=job.steps[0].spans.work)),))
        for job in given.jobs
    )
    given = replace(given, jobs=jobs)
    work = sum(job.steps[0].spans.work for job in jobs)
    for slots in (1, 2, 10):
        wide = with_slots(replace(given, max_agents=10), {0}, slots)
        assert replay(wide).makespan_ns == pytest.approx(work, abs=100)
    longest = max(job.steps[0].spans.work for job in jobs)
    assert replay(independent(wide)).makespan_ns == longest


@given(recordings(compute=False))
def test_without_limits_the_longest_chain_decides(given: Recording) -> None:
    free = unlimited(given)
    released = replace(free, jobs=tuple(replace(job, release_ns=0) for job in free.jobs))
    assert replay(released).makespan_ns == chains(released.jobs)
    chain = [job for job in released.jobs if job.task.task_id in replay(released).chain]
    assert sum(held(job) for job in chain) == chains(released.jobs)


def job(number: int, took_s: float, *needs: int, role: str = "coder", hub: bool = False) -> Job:
    task = replace(a_task(number, role), hub=hub)
    return Job(task, frozenset(f"t{need}" for need in needs), 0, (Step(Spans(work=round(took_s * S))),))


def recorded(*jobs: Job, slots: int = 8, max_agents: int = 8, members: tuple[Member, ...] = ()) -> Recording:
    return Recording(jobs, (Pool(slots),), members, Strategy.BALANCED, max_agents, {"r": 0})


def member(number: int, role: str, leaves_s: float | None = None) -> Member:
    agent = Agent(f"a{number}", "s", role, "", (), AgentStatus.IDLE, False, None, 0, 0, 0, 0)
    return Member(agent, number, 0, None if leaves_s is None else round(leaves_s * S))


def test_more_places_can_take_longer() -> None:
    # Graham's anomaly (1969): a long task that began last begins later when an earlier one is let in before it.
    jobs = [job(0, 3), job(1, 2), job(2, 2), job(3, 2), job(4, 4, 3), job(5, 4, 3), job(6, 4, 3), job(7, 4, 3)]
    jobs.append(job(8, 9, 0))
    three, four = (replay(recorded(*jobs, slots=slots)).makespan_ns / S for slots in (3, 4))
    assert (three, four) == (12, 15)


def test_only_the_hub_takes_its_tasks_and_only_one_at_a_time() -> None:
    jobs = [job(0, 5, hub=True), job(1, 5, hub=True), job(2, 5)]
    ended = replay(recorded(*jobs, members=(member(0, "tester"), member(1, "coder")))).ended_ns
    assert {key: at / S for key, at in ended.items()} == {"t0": 5, "t1": 10, "t2": 5}


def test_an_agent_that_leaves_finishes_its_task_first() -> None:
    jobs = [job(0, 5), job(1, 5), job(2, 5), job(3, 5)]
    members = (member(0, "coder"), member(1, "coder", leaves_s=2))
    ended = replay(recorded(*jobs, max_agents=1, members=members)).ended_ns
    assert {key: at / S for key, at in ended.items()} == {"t0": 5, "t1": 5, "t2": 10, "t3": 15}


def test_a_task_that_can_never_start_is_said() -> None:
    with pytest.raises(ValueError, match="1 of 2 tasks can never start"):
        replay(recorded(job(0, 1), job(1, 1, 7)))


def test_what_calls_take_alone_is_their_share_of_the_time() -> None:
    shared = Shared([(0, 30), (10, 40), (50, 60)])
    # 10 alone, 20 by half; the same the other way round; 10 alone.
    assert [shared.between(0, 30), shared.between(10, 40), shared.between(50, 60)] == [20, 20, 10]


def test_the_smallest_change_that_gains_most_of_the_best_is_chosen() -> None:
    took = {3: 60, 4: 12, 8: 10, 16: 11}
    best = smallest_that_gains_most(took, took.__getitem__, 100, 1)
    assert best is not None
    assert (best.size, best.makespan_ns, best.best_ns) == (4, 12, 10)
    assert smallest_that_gains_most(took, took.__getitem__, 11, 2) is None
    assert sizes_above(2, 9) == [3, 4, 5, 6, 8, 9]

"""Which rows patterns are found in: own and given ones apart, pipelines apart, and what could work at once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.learning.answers import Insufficient
from swarmtally.learning.patterns import Curve, Operation, at_once, find_patterns, rows_for
from swarmtally.learning.rows import TrainingRow
from swarmtally.learning.scalability import Scalability
from tests.learning.test_scalability import runs


def rows(sigma: float, kappa: float, **more: Any) -> list[TrainingRow]:
    """Runs of 64 tasks each, whose throughput follows the law."""
    kind = {"source": "own", "level": "run", "mode": "concurrent", "success": True, "tasks": 64, **more}
    points = runs(sigma, kappa, 0.05)
    return [TrainingRow(number, duration_s=64 / x, agents=n, **kind) for number, (n, x) in enumerate(points, 1)]


def curves(found: Sequence[TrainingRow]) -> dict[str, Curve]:
    return {curve.of: curve for curve in find_patterns(found, [Operation.PARALLEL_EXECUTION]).curves}


def sigma(curve: Curve) -> float:
    assert isinstance(curve.found, Scalability), curve
    return curve.found.sigma.value


def test_own_runs_pipelines_and_given_rows_have_a_curve_each() -> None:
    found = curves(
        [
            *rows(0.02, 0.004),
            *rows(0.5, 0.004, mode="pipeline"),
            *rows(0.2, 0.004, source="given", level="task", mode=None),
        ]
    )
    assert sigma(found["runs"]) == pytest.approx(0.02, abs=0.02)
    assert sigma(found["pipelines"]) == pytest.approx(0.5, abs=0.1)
    assert sigma(found["given"]) == pytest.approx(0.2, abs=0.05)
    assert {curve.source for curve in found.values()} == {"own", "given"}


def test_only_runs_that_did_not_fail_and_whose_agents_are_known_are_on_a_curve() -> None:
    good = rows(0.02, 0.004)
    more = [
        *(replace(row, level="task", duration_s=99.0) for row in good),
        *(replace(row, success=False, duration_s=0.01) for row in good),
        *(replace(row, agents=None, duration_s=99.0) for row in good),
    ]
    assert curves([*good, *more]) == curves(good)


def test_without_rows_it_says_so_for_the_project_and_nothing_of_given_ones() -> None:
    found = find_patterns([], list(Operation))
    assert [(curve.of, curve.rows) for curve in found.curves] == [("runs", 0)]
    assert {pattern.source for pattern in found.patterns} == {"own"}
    assert len(found.patterns) == 2 * 3
    assert all(isinstance(pattern.found, Insufficient) for pattern in found.patterns)


def test_only_what_was_asked_about_is_looked_at() -> None:
    found = find_patterns(rows(0.02, 0.004), [Operation.RUN_EXECUTION])
    assert found.curves == ()
    assert {pattern.operation for pattern in found.patterns} == {Operation.RUN_EXECUTION}
    assert find_patterns(rows(0.02, 0.004), []) == find_patterns([], [])


def test_a_failed_row_of_a_run_still_counts_for_what_made_it_fail() -> None:
    failed = [replace(row, success=False) for row in rows(0.02, 0.004)]
    assert len(rows_for(failed, Operation.RUN_EXECUTION, "own")) == len(failed)
    assert rows_for(failed, Operation.PARALLEL_EXECUTION, "own") == []


AMOUNT = st.one_of(st.none(), st.integers(1, 100))


@given(AMOUNT, AMOUNT, AMOUNT)
def test_no_more_work_at_once_than_agents_tasks_and_calls_allow(
    agents: int | None, concurrency: int | None, tasks: int | None
) -> None:
    row = TrainingRow(1, "own", "run", 1.0, agents=agents, concurrency=concurrency, tasks=tasks)
    told = [limit for limit in (agents, concurrency, tasks) if limit is not None]
    assert at_once(row) == (min(told) if told else 1)

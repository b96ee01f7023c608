"""All checks together: what is well, and that no check can raise, hang, or take another's place."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from structlog.typing import EventDict

from swarmtally.domain.errors import BackendFailure
from swarmtally.domain.health import Finding, Status, at_least, at_most
from swarmtally.insight.health import Component
from swarmtally.store.connection import Connection
from tests.insight.health import CALM, ShiftedClock, found, health_of, look, opened
from tests.store.conftest import HandClock


async def test_a_new_database_is_healthy_and_every_check_says_what_it_saw(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        report = await health_of(database).check()
    assert report.status is Status.OK
    assert list(report.components()) == list(Component)
    for check in report.checks:
        assert any(letter.isdigit() for letter in check.finding.detail) or check.name in ("reach", "packets")
        assert check.finding.remedy is None


async def test_only_what_was_asked_for_is_looked_at(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        report = await health_of(database).check({Component.CLOCK, Component.MEMORY})
    assert [check.name for check in report.checks] == ["recorded", "steady", "machine", "process"]


@pytest.mark.parametrize(
    ("error", "detail", "remedy"),
    [
        (BackendFailure("it is down; start it", transient=True), "it is down", "start it"),
        (PermissionError(13, "Permission denied"), "the system refused: [Errno 13] Permission denied", None),
    ],
)
async def test_a_check_that_cannot_be_made_is_a_result(
    tmp_path: Path, error: Exception, detail: str, remedy: str | None
) -> None:
    async with opened(tmp_path) as database:
        report = await health_of(database, reach=_raising(error)).check()
    assert found(report, "reach") == Finding(Status.FAILED, detail, remedy)
    assert report.status is Status.FAILED
    assert found(report, "process").status is Status.OK


async def test_a_fault_of_our_own_is_a_result_and_is_logged(tmp_path: Path, logged: list[EventDict]) -> None:
    async with opened(tmp_path) as database:
        report = await health_of(database, reach=_raising(RuntimeError("a secret"))).check({Component.BACKEND})
    finding = found(report, "reach")
    assert finding.status is Status.FAILED
    assert finding.detail.startswith("RuntimeError, an internal error, id ")
    assert "secret" not in finding.detail
    (entry,) = logged
    assert entry["id"] in finding.detail


def _raising(error: Exception) -> Callable[[], Awaitable[Finding]]:
    async def probe() -> Finding:
        raise error

    return probe


async def test_a_check_that_hangs_fails_and_the_others_are_made(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        health = health_of(database, replace(CALM, check_s=0.5), reach=anyio.sleep_forever)
        with anyio.fail_after(30):
            report = await health.check({Component.BACKEND, Component.CLOCK})
    assert found(report, "reach") == Finding(Status.FAILED, "no answer within 0.5 s")
    assert found(report, "steady").status is Status.OK


async def test_when_the_time_for_all_is_over_the_rest_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        health = health_of(database, replace(CALM, total_s=0.05), reach=anyio.sleep_forever)
        report = await health.check({Component.BACKEND, Component.MEMORY})
    assert "no answer" in found(report, "reach").detail
    assert found(report, "machine").detail.startswith("not looked at")
    assert found(report, "machine").status is Status.FAILED


async def test_a_blocked_loop_is_seen(tmp_path: Path) -> None:
    async def block() -> None:
        while True:
            time.sleep(0.12)  # noqa: ASYNC251 - it blocks the loop, which is what is to be seen
            await anyio.lowlevel.checkpoint()

    async with opened(tmp_path) as database, anyio.create_task_group() as group:
        group.start_soon(block)
        slow = await look(database, Component.LOOP, "lag", replace(CALM, lag_s=0.08))
        blocked = await look(database, Component.LOOP, "lag", replace(CALM, lag_s=0.04, lag_worst_s=0.08))
        group.cancel_scope.cancel()
    assert (slow.status, blocked.status) == (Status.DEGRADED, Status.FAILED)
    assert "late by at most" in slow.detail
    assert slow.remedy is not None


async def test_rows_from_the_future_tell_that_the_clock_was_set_back(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as database:
        clock.advance(-0.5)
        assert (await look(database, Component.CLOCK, "recorded")).status is Status.OK
        clock.advance(-4.5)
        finding = await look(database, Component.CLOCK, "recorded")
        assert (finding.status, "5.0 s ahead" in finding.detail) == (Status.DEGRADED, True)
        clock.advance(-3600)
        finding = await look(database, Component.CLOCK, "recorded")
    assert (finding.status, "3605.0 s ahead" in finding.detail) == (Status.FAILED, True)
    assert finding.remedy is not None


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("event", "(at_ns, kind, project) VALUES (:at, 'x', 'p')"),
        (
            "usage",
            (
                "(run_id, task_id, number, agent_id, backend, model, opened_ns, status, prompt_bytes, prompt_sha256,"
                " digested) VALUES ('r', 't', 1, 'a', 'b', 'm', :at, 'open', 1, '', 0)"
            ),
        ),
        (
            "message",
            (
                "(kind, project, swarm_id, run_id, task_id, about, sender, receiver, hop, hops, sent_ns, received_ns)"
                " VALUES ('hand_over', 'p', 's', 'r', 't', 't', 'a', 'a', 1, 1, :at, :at)"
            ),
        ),
        (
            "memory",
            (
                "(project, namespace, key, size_bytes, tags, version, created_ns, updated_ns, value)"
                " VALUES ('p', 'n', 'k', 1, '[]', 1, :at, :at, '1')"
            ),
        ),
        (
            "run",
            (
                "(run_id, project, swarm_id, kind, task, context, backend, status, created_ns, lease_epoch,"
                " lease_expires_ns) VALUES ('r', 'p', 's', 'run', 't', '[]', '{}', 'running', 0, 1,"
                " :at + 15000000000)"
            ),
        ),
    ],
)
async def test_every_kind_of_row_counts_as_a_recorded_time(tmp_path: Path, table: str, row: str) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as database:
        at_ns = clock.now_ns() + 9_000_000_000

        async def unit(tx: Connection) -> None:
            await tx.rows("INSERT OR IGNORE INTO project VALUES ('p', NULL, 0)")
            if table == "usage":
                await tx.rows(
                    "INSERT INTO run (run_id, project, swarm_id, kind, task, context, backend, status, created_ns,"
                    " lease_epoch, lease_expires_ns) VALUES ('r', 'p', 's', 'run', 't', '[]', '{}', 'running', 0, 1, 0)"
                )
            await tx.rows(f"INSERT INTO {table} {row}", {"at": at_ns})

        await database.write(unit)
        finding = await look(database, Component.CLOCK, "recorded")
    assert "9.0 s ahead" in finding.detail


async def test_clocks_that_go_on_together_are_steady(tmp_path: Path) -> None:
    clock = HandClock()
    async with opened(tmp_path, clock) as database:
        health = health_of(database)
        clock.advance(86_400)
        finding = found(await health.check({Component.CLOCK}), "steady")
    assert finding.status is Status.OK
    assert finding.detail.startswith("in 86400.0 s of this process the wall clock moved +0.000 s")


@pytest.mark.parametrize(
    ("shift_s", "words"), [(-30.0, "it was set back"), (45.0, "it was set forward, or the machine slept")]
)
async def test_a_clock_that_jumps_while_the_process_lives_is_seen(tmp_path: Path, shift_s: float, words: str) -> None:
    clock = ShiftedClock()
    async with opened(tmp_path, clock) as database:
        health = health_of(database)
        assert found(await health.check({Component.CLOCK}), "steady").status is Status.OK
        clock.shift_s = shift_s
        finding = found(await health.check({Component.CLOCK}), "steady")
    assert finding.status is Status.DEGRADED
    assert words in finding.detail
    assert finding.remedy is not None


async def test_memory_that_runs_out_is_seen(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        short = replace(CALM, available_low=1.0, available_least=0.0, process_share=0.0)
        machine = await look(database, Component.MEMORY, "machine", short)
        process = await look(database, Component.MEMORY, "process", short)
        least = await look(database, Component.MEMORY, "machine", replace(short, available_least=1.0))
    assert (machine.status, process.status, least.status) == (Status.DEGRADED, Status.DEGRADED, Status.FAILED)
    assert None not in (machine.remedy, process.remedy, least.remedy)


def test_a_limit_itself_still_counts_as_good() -> None:
    assert [at_most(value, 2, 4) for value in (2, 3, 4, 5)] == ["ok", "degraded", "degraded", "failed"]
    assert [at_least(value, 4, 2) for value in (4, 3, 2, 1)] == ["ok", "degraded", "degraded", "failed"]

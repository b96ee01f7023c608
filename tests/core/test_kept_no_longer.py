"""A run that is being deleted is gone for everybody from the first step on: nobody goes on with a part of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from swarmtally.core.bookkeeping import DAY_NS
from swarmtally.domain.errors import NotFound
from swarmtally.store import retention
from tests.core.harness import task
from tests.core.hosted import Hosted, failed, hosted
from tests.core.invariants import broken

TASKS = 120
"""More than two steps delete."""

KEPT_DAYS = 30


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Hosted]:
    async with hosted(tmp_path) as opened:
        yield opened


async def cancelled_run(host: Hosted) -> str:
    run_id = await host.start(*(task(f"t{number}") for number in range(TASKS)))
    await host.report(await host.claim_one())
    await host.report(await host.claim_one(), failed())
    await host.cancel(run_id)
    return run_id


async def delete_a_part(host: Hosted, days: int = KEPT_DAYS) -> int:
    before_ns = host.clock.ns - days * DAY_NS
    return await host.database.write(lambda tx: retention.delete_run_parts(tx, before_ns))


@pytest.mark.parametrize("steps", range(5))
async def test_a_run_that_is_retried_between_steps_is_whole_or_gone(host: Hosted, steps: int) -> None:
    run_id = await cancelled_run(host)
    host.clock.ns += (KEPT_DAYS + 1) * DAY_NS
    for _ in range(steps):
        assert await delete_a_part(host)
    if steps:
        with pytest.raises(NotFound):
            await host.runs.retry(run_id)
        with pytest.raises(NotFound):
            await host.runs.show(run_id)
        assert await host.runs.newest(10) == []
    else:
        assert await host.runs.retry(run_id) == TASKS - 1
    while await delete_a_part(host):
        pass
    left = 0 if steps else TASKS
    assert await host.one("SELECT COUNT(*) FROM task") == left
    assert await host.one("SELECT COUNT(*) FROM run") == bool(left)
    assert await host.one("SELECT COUNT(*) FROM usage WHERE run_id NOT IN (SELECT run_id FROM run)") == 0
    assert await host.database.read(broken) == {}
    if left:
        assert (await host.finish(run_id)).status == "succeeded"


async def test_what_a_killed_process_had_begun_to_delete_goes_though_more_is_kept_now(host: Hosted) -> None:
    await cancelled_run(host)
    host.clock.ns += (KEPT_DAYS + 1) * DAY_NS
    younger = await cancelled_run(host)
    assert await delete_a_part(host)
    while await delete_a_part(host, days=400):
        pass
    assert await host.one("SELECT run_id FROM run") == younger
    assert await host.one("SELECT COUNT(*) FROM task") == TASKS
    assert await host.one("SELECT until_ns FROM forgotten WHERE project = 'test' AND what = 'runs'") < host.clock.ns

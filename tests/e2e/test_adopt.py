"""Programs that adopt, as processes of their own: a killed server's run ends without anybody asking."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.backends.wire import Hold, OpenAIWire, held
from tests.core.invariants import assert_lawful
from tests.e2e.processes import WAIT_S, Processes, concurrent, waited


@pytest.fixture
def all_(tmp_path: Path, wire: OpenAIWire) -> Iterator[Processes]:
    processes = Processes(tmp_path, wire)
    yield processes
    processes.clean_up()


def adopting(stack: ExitStack, all_: Processes) -> None:
    """Start a program that adopts; closing its stdin ends it."""
    command = [sys.executable, "-m", "tests.e2e.adopting", str(all_.database), "test", all_.wire.base_url]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    stack.callback(process.communicate, timeout=WAIT_S)


async def test_the_runs_of_a_killed_server_end_in_one_of_two_programs_that_adopt(
    all_: Processes, wire: OpenAIWire
) -> None:
    wire.script(held(Hold()), held(Hold()))
    server = all_.server()
    run_ids = [concurrent(server, "A"), concurrent(server, "B")]
    wire.wait_for_requests(2)
    watcher = all_.server()
    server.process.kill()
    server.process.wait(WAIT_S)
    with ExitStack() as stack:
        adopting(stack, all_)
        adopting(stack, all_)
        wire.wait_for_requests(4)
        for run_id in run_ids:
            assert waited(watcher, run_id)["status"] == "succeeded"
    takeovers = all_.rows("SELECT run_id, COUNT(*) FROM event WHERE kind = 'run.resumed' GROUP BY run_id")
    assert sorted(takeovers) == sorted((run_id, 1) for run_id in run_ids)
    assert len(wire.requests) == 4
    await assert_lawful(all_.database, at_rest=True)

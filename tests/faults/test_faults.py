"""The short run of the faults: a round or so of each, their moments drawn from one seed. `make faults` is the long one.

What a round finds wrong stands in its tally; see docs/reliability.md.
"""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random

import pytest

from tests.faults.clients import client_rounds, ends_in_half, sends_garbage, sends_half, sends_huge, stops_reading
from tests.faults.killing import killed_rounds
from tests.faults.machine import clock_rounds, failing_fsync_rounds, full_disk_rounds
from tests.faults.network import bad_requests, network_rounds, storm
from tests.faults.place import Place, opened_place
from tests.faults.tally import Tally, table
from tests.faults.zombies import zombie_rounds

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the harness stops, limits and watches as Linux does")

SEED = 20
"""With which the server is killed in the middle of its calls, and the others after the model was asked."""


@pytest.fixture
def draw() -> Random:
    return Random(SEED)


def nothing_found(rounds: Iterator[Tally]) -> None:
    tally = list(rounds)[-1]
    if tally.skipped:
        pytest.skip(tally.skipped)
    assert tally.findings == []
    assert tally.acknowledged > 0


def test_killed_servers_workers_and_commands_lose_nothing(tmp_path: Path, draw: Random) -> None:
    tallies = list(killed_rounds(tmp_path, draw, 3))[-1]
    assert [tally.findings for tally in tallies] == [[], [], []]
    assert [tally.rounds for tally in tallies] == [1, 1, 1]


def test_a_stopped_server_that_wakes_changes_nothing(tmp_path: Path, draw: Random) -> None:
    nothing_found(zombie_rounds(tmp_path, draw, 1, patient=False))


def test_a_full_disk_loses_nothing(tmp_path: Path, draw: Random) -> None:
    nothing_found(full_disk_rounds(tmp_path, draw, 1, mounted=False))


def test_an_fsync_that_fails_loses_nothing(tmp_path: Path, draw: Random) -> None:
    nothing_found(failing_fsync_rounds(tmp_path, draw, 1))


def test_a_clock_that_is_set_back_stops_nothing(tmp_path: Path, draw: Random) -> None:
    nothing_found(clock_rounds(tmp_path, draw, 1, (-3_600,)))


def test_clients_that_misbehave_on_stdio_stop_nobody(tmp_path: Path, draw: Random) -> None:
    faults = (partial(stops_reading, calls=50), sends_garbage, sends_half, partial(sends_huge, size=20_000_000))
    nothing_found(client_rounds("misbehaving", tmp_path, draw, 1, *faults, ends_in_half))


def test_clients_that_misbehave_over_http_stop_nobody(tmp_path: Path, draw: Random) -> None:
    faults = (partial(storm, clients=150), partial(bad_requests, size=20_000_000, requests=5))
    nothing_found(network_rounds("misbehaving", tmp_path, draw, 1, *faults))


@pytest.fixture
def ended(tmp_path: Path, draw: Random) -> Iterator[Place]:
    """A place whose one run has ended well, and whose book is right."""
    with opened_place(tmp_path / "ended", draw, Tally("none")) as place:
        server = place.ready_server()
        place.noted_run(server.call("sparc_concurrent", mode="coder", tasks=["A", "B"], wait_s=20))
        server.call("memory_usage", action="store", key="k", value="v")
        place.book.entries["k"] = "v"
        server.hang_up()
        server.wait()
        yield place


def found_after(place: Place, *changes: str) -> list[str]:
    """The findings once somebody has changed the database so; afterwards it is as it was."""
    kept = place.database.read_bytes()
    with closing(sqlite3.connect(place.database)) as file:
        for sql in changes:
            file.execute(sql)
        file.commit()
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    tally = Tally("changed")
    place.inspect(tally, at_rest=True)
    place.database.write_bytes(kept)
    return tally.findings


def test_the_harness_sees_what_it_looks_for(ended: Place) -> None:
    assert found_after(ended) == []
    assert found_after(ended, "DELETE FROM memory") == ["lost: entry k"]
    assert found_after(ended, "UPDATE memory SET value = '\"w\"'") == ["lost: entry k"]
    assert any("lost: artefact" in each for each in found_after(ended, "UPDATE artefact SET sha256 = 'x'"))
    assert "lost: 1 calls without a row" in found_after(ended, "DELETE FROM usage WHERE usage_id = 1")
    counted = "UPDATE agent SET tasks_succeeded = tasks_succeeded + 1"
    assert any("twice: an agent's successes" in each for each in found_after(ended, counted))
    told = "INSERT INTO event (at_ns, kind, project, task_id) SELECT at_ns, kind, project, task_id FROM event"
    assert any("twice: a task's success" in each for each in found_after(ended, told))
    again = "UPDATE run SET status = 'running', finished_ns = NULL"
    assert any("stuck: run" in each for each in found_after(ended, again))
    ended.database.write_bytes(ended.database.read_bytes()[:8_192])
    tally = Tally("cut")
    with pytest.raises(sqlite3.DatabaseError):
        ended.inspect(tally)


def test_a_table_has_a_line_for_each_fault() -> None:
    tally = Tally("a fault", rounds=2, acknowledged=7, lost=["entry k"], remarks=["as it was"])
    last = table([tally, Tally("another", skipped="needs cc")]).splitlines()[-2:]
    assert last[0] == "| a fault | 2 | 7 | 0 | 1 | 0 | 0 | 0 | as it was |"
    assert last[1] == "| another | 0 | | | | | | | skipped: needs cc |"

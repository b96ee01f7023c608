"""Faults of the machine: a full disk, an fsync that fails, a clock that is set."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random

from tests.faults.place import Place, opened_place
from tests.faults.processes import WAIT_S, Gone, Server, View
from tests.faults.tally import Tally
from tests.faults.weather import Disk, LimitedFiles, Machine, no_machine, small_disk

TRIES = 400
"""Values that are stored until one is refused; together they are larger than any room that was left."""


def full_disk_rounds(folder: Path, draw: Random, rounds: int, *, mounted: bool) -> Iterator[Tally]:
    """The disk fills while runs and writes are under way, one time in three the server is killed while it is full, and
    space is freed."""
    tally = Tally("disk full")
    for number in range(rounds):
        name = f"full{number}"
        with ExitStack() as stack:
            if mounted:
                disk: Disk = stack.enter_context(small_disk(folder / f"{name}-disk"))
            else:
                disk = LimitedFiles(folder / name)
            tally.remarks = [disk.kind]
            place = stack.enter_context(opened_place(folder / name, draw, tally, disk.folder / "swarm.db"))
            _fill_and_free(place, disk, tally)
        tally.rounds += 1
        yield tally


def _fill_and_free(place: Place, disk: Disk, tally: Tally) -> None:
    server = place.ready_server()
    place.model.size = 20_000
    begin_runs(place, server)
    disk.fill(place.draw.randrange(200_000), server.pid)
    store_until_refused(place, server, tally, "disk is full")
    if place.draw.random() < 1 / 3:
        server.kill()
        place.reap(server, tally)
        place.inspect(tally)
        disk.free(0)
        server = place.ready_server()
    else:
        place.inspect(tally)
        disk.free(server.pid)
    go_on_after(place, server, tally)


def failing_fsync_rounds(folder: Path, draw: Random, rounds: int) -> Iterator[Tally]:
    """fsync fails for a while, under runs and writes; one time in three the server is killed meanwhile."""
    tally = Tally("fsync fails (EIO)", skipped=no_machine())
    for number in range(0 if tally.skipped else rounds):
        place_folder = folder / f"fsync{number}"
        place_folder.parent.mkdir(parents=True, exist_ok=True)
        tools = folder / f"fsync{number}-tools"
        tools.mkdir()
        machine = Machine(tools)
        with opened_place(place_folder, draw, tally, more=machine.environ) as place:
            server = place.ready_server()
            begin_runs(place, server)
            machine.fail_fsync(True)
            store_until_refused(place, server, tally, "disk I/O error")
            if draw.random() < 1 / 3:
                server.kill()
                place.reap(server, tally)
                machine.fail_fsync(False)
                place.inspect(tally)
                server = place.ready_server()
            else:
                place.inspect(tally)
                machine.fail_fsync(False)
            go_on_after(place, server, tally)
        tally.rounds += 1
        yield tally
    if tally.skipped:
        yield tally


def begin_runs(place: Place, server: Server) -> None:
    """A run on the model, with most of its calls still to come, and some entries."""
    view = server.call("sparc_concurrent", mode="coder", tasks=[f"Task {place.key()}" for _ in range(30)], wait_s=0)
    place.noted_run(view)
    for _ in range(place.draw.randrange(1, 10)):
        store(place, server)
    server.hear_all()


def store(place: Place, server: Server) -> None:
    key, value = place.key(), "x" * place.draw.randrange(20_000, 60_000)

    def note(_: View) -> None:
        place.book.entries[key] = value

    server.ask("memory_usage", note, action="store", key=key, value=value)


def store_until_refused(place: Place, server: Server, tally: Tally, fact: str) -> None:
    """Until an error says `fact`, in one line; what is refused was not acknowledged."""
    server.refused.clear()
    for _ in range(TRIES):
        store(place, server)
        server.hear_all()
        if server.refused:
            break
    told = server.refused.pop() if server.refused else "nothing was refused"
    if fact not in told or "\\n" in told:
        tally.damaged.append(f"told {told!r} where it should say {fact!r}")


def go_on_after(place: Place, server: Server, tally: Tally) -> None:
    """The server must go on where it was, or another with what it left."""
    server.refused.clear()
    store(place, server)
    server.hear_all()
    tally.damaged += [f"afterwards: {told}" for told in server.refused]
    place.end_leases()  # it let go of its runs and could not record that, so they are its own for 15 s more
    place.finish(server, tally)
    server.hang_up()
    place.reap(server, tally)
    place.inspect(tally, at_rest=True)


JUMPS_S = (-86_400, -3_600, 60, 3_600, 86_400)
"""Set back by less than ten minutes, a pause before another attempt lasts that much longer, which is no fault here."""


def clock_rounds(folder: Path, draw: Random, rounds: int, jumps_s: tuple[int, ...] = JUMPS_S) -> Iterator[Tally]:
    """The wall clock is set while two servers execute runs with calls that fail first; in each second round one
    of them is killed after that. What waits for a moment must not wait for as long as the clock was moved."""
    tally = Tally("the clock is set", skipped=no_machine())
    for number in range(0 if tally.skipped else rounds):
        tools = folder / f"clock{number}-tools"
        tools.mkdir(parents=True)
        machine = Machine(tools)
        with opened_place(folder / f"clock{number}", draw, tally, more=machine.environ) as place:
            _set_clock(place, machine, draw.choice(jumps_s), tally)
        tally.rounds += 1
        yield tally
    if tally.skipped:
        yield tally


def _wait_for_a_pause(place: Place) -> None:
    """Until a task waits for the moment of its next attempt."""
    end = time.monotonic() + WAIT_S
    while not place.rows("SELECT 1 FROM task WHERE not_before_ns > 0") and time.monotonic() < end:
        time.sleep(0.01)


def _set_clock(place: Place, machine: Machine, jump_s: int, tally: Tally) -> None:
    first, second = place.server(), place.server()
    first.shake_hands()
    place.model.failing = 2
    place.model.slow_s = 0.5
    begin_runs(place, first)
    _wait_for_a_pause(place)
    machine.move_clock(jump_s)
    killed = tally.rounds % 2 == 1
    if killed:
        first.kill()
        place.reap(first, tally)
        place.inspect(tally)
        first = place.ready_server()
    second.shake_hands()
    begin_runs(place, second)  # which looks for runs whose process is gone
    place.finish(second, tally)
    for server in (first, second):
        with suppress(Gone):
            store(place, server)
            server.hear_all()
        server.hang_up()
        place.reap(server, tally)
    place.inspect(tally, at_rest=True)
    # A clock set forward ends leases before their time; set back it must not make anybody seem dead.
    if jump_s < 0 and not killed:
        taken = place.rows("SELECT run_id FROM event WHERE kind IN ('run.interrupted', 'run.resumed')")
        tally.damaged += [f"a living process lost {run_id}" for (run_id,) in taken]

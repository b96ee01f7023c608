"""SIGSTOP: a server is stopped at a random moment, others take what it held, and it wakes and goes on as if nothing
had been."""

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

from tests.backends.wire import Hold
from tests.faults.place import Place, opened_place
from tests.faults.processes import WAIT_S, Server, View
from tests.faults.tally import Tally

LEASE_S = 15.5
"""How long a lease lasts, and a little more."""


def zombie_rounds(folder: Path, draw: Random, rounds: int, *, patient: bool) -> Iterator[Tally]:
    """`patient`: the stopped server's lease runs out by itself; else it is ended in the database."""
    how = "after its lease ran out (15 s)" if patient else "after its lease was ended"
    tally = Tally(f"SIGSTOP; others take over {how}; it wakes")
    with opened_place(folder / f"zombie{int(patient)}", draw, tally) as place:
        other = place.server()
        for _ in range(rounds):
            _stopped_and_woken(place, other, tally, patient=patient)
            tally.rounds += 1
            yield tally


def _stopped_and_woken(place: Place, other: Server, tally: Tally, *, patient: bool) -> None:
    zombie = place.ready_server()
    packets: list[View] = []
    hold = Hold()
    place.model.hold = hold
    tasks = [f"Task {place.key()}" for _ in range(4)]
    place.noted_run(zombie.call("sparc_concurrent", mode="coder", tasks=tasks, wait_s=0))
    hosted = zombie.call("sparc_concurrent", mode="coder", tasks=tasks[:2], model="host")
    place.noted_run(hosted)
    packets += hosted["packets"]
    place.model.wait_for_requests(1)
    time.sleep(place.draw.random() * 0.1)
    _stop(place, zombie, patient=patient)
    # These it reads when it wakes: a report of a packet that was given to somebody else, and a write like any other.
    late = [place.report(zombie, packet) for packet in packets[:1]]
    zombie.ask("memory_usage", action="store", key="again-late", value="late")
    place.model.hold = None
    place.finish(other, tally)
    place.inspect(tally)
    if tally.rounds % 2 == 0:
        hold.release()  # its calls are answered while it sleeps; else after it woke
        time.sleep(0.1)  # so that the answers lie in its sockets
    zombie.popen.send_signal(signal.SIGCONT)
    hold.release()
    zombie.hear_all()
    _settled(place)
    place.inspect(tally, at_rest=True)
    if len(late) != len([told for told in zombie.refused if "lease" in told or "report" in told]):
        tally.twice.append(f"a late report was not refused: {zombie.refused}")
    # It is as good as any other now.
    place.noted_run(zombie.call("sparc_concurrent", mode="coder", tasks=tasks[:1], wait_s=20))
    zombie.hang_up()
    place.reap(zombie, tally)
    place.inspect(tally, at_rest=True)


def _stop(place: Place, zombie: Server, *, patient: bool) -> None:
    """Stop it; when that was in the middle of its own commit, which nobody can pass, at another moment."""
    while True:
        zombie.popen.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, zombie.pid, os.WSTOPPED | os.WNOWAIT)
        if patient:
            time.sleep(LEASE_S)
        with suppress(sqlite3.OperationalError):
            place.end_packets() if patient else place.end_leases()
            return
        zombie.popen.send_signal(signal.SIGCONT)
        time.sleep(place.draw.random() * 0.01)


def _settled(place: Place) -> None:
    """Wait until no call is under way any more: what the woken server is still told has been recorded or refused."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end and place.rows("SELECT 1 FROM usage WHERE status = 'open'"):
        time.sleep(0.02)

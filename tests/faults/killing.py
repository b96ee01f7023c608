"""kill -9 at random moments: of a server in the middle of its client's calls, of a process that goes on with another's
run, and of a shell command."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Timer

from tests.faults import laws
from tests.faults.load import Load
from tests.faults.place import Place, opened_place
from tests.faults.processes import Gone, Process, Server, View
from tests.faults.tally import Tally

SERVER, WORKER, SHELL = "kill -9 of a server", "kill -9 of a process that resumes a run", "kill -9 of a shell command"

ROUNDS_OF_A_PLACE = 20

STARTS_S = 1.5
"""About how long a process takes until it does something."""

LASTS_S = 8.0
"""How long it may live in any case."""


@dataclass(frozen=True, slots=True)
class Moments:
    """When processes die: while they start, or just after something has happened."""

    draw: Random

    def shortly(self) -> float:
        """Seconds until the kill, once it has happened: none, or as long as a commit or a call takes."""
        return self.draw.choice((0.0, 0.003, 0.03)) * self.draw.random()

    def drawn(self, victim: Process, place: Place) -> None:
        """One time in four while it starts, else when it has asked the model so many times."""
        _kill_after(victim, LASTS_S)
        if self.draw.randrange(4) == 0:
            _kill_after(victim, self.draw.uniform(0, STARTS_S))
        else:
            wait_s = self.shortly()
            place.model.after_calls(self.draw.randint(1, 8), lambda: _kill_after(victim, wait_s))


def _kill_after(victim: Process, wait_s: float) -> None:
    timer = Timer(wait_s, victim.kill)
    timer.daemon = True
    timer.start()


def killed_rounds(folder: Path, draw: Random, rounds: int) -> Iterator[list[Tally]]:
    """The tallies of the three kinds of victims, after each round."""
    tallies = {name: Tally(name) for name in (SERVER, WORKER, SHELL)}
    done = 0
    while done < rounds:
        name = f"killed{done}"
        any_of_them = tallies[SERVER]
        with opened_place(folder / name, draw, any_of_them) as place:
            # In company the shared memory of the file outlives a victim; alone the next process must recover it.
            company = place.server() if done // ROUNDS_OF_A_PLACE % 2 == 0 else None
            for _ in range(min(ROUNDS_OF_A_PLACE, rounds - done)):
                kind = (SERVER, WORKER, SHELL)[done % 3]
                _round(place, kind, tallies[kind], company)
                done += 1
                yield list(tallies.values())


def _round(place: Place, kind: str, tally: Tally, company: Server | None) -> None:
    moments = Moments(Random(place.draw.random()))
    match kind:
        case "kill -9 of a server":
            kill_server(place, tally, moments)
        case "kill -9 of a process that resumes a run":
            kill_worker(place, tally, moments)
        case _:
            kill_shell(place, tally, moments)
    tally.rounds += 1
    place.model.told.clear()
    place.inspect(tally)
    finisher = company or place.server()
    place.finish(finisher, tally)
    place.inspect(tally, at_rest=True)
    if company is None:
        finisher.hang_up()
        place.reap(finisher, tally)


def kill_server(place: Place, tally: Tally, moments: Moments) -> None:
    """Two times in three when it has acknowledged so much, while a dozen further calls are under way."""
    server = place.server()
    acknowledged, wait_s = moments.draw.randint(1, 100), moments.shortly()
    if moments.draw.randrange(3) == 0:
        moments.drawn(server, place)
    with suppress(Gone):
        server.shake_hands()
        Load(place, server, moments.draw).go_on(acknowledged)
        time.sleep(wait_s)
        server.kill()
    with suppress(Gone):
        while True:  # what it had said is in the pipe
            server.hear()
    place.reap(server, tally)


def kill_worker(place: Place, tally: Tally, moments: Moments) -> None:
    """One that begins a run is killed, so that there is one to resume; then one that goes on with it, as any may."""
    _begin_and_leave(place, tally, moments)
    left = laws.unfinished(place.database)
    worker = _worker(place, left[0][0] if left and moments.draw.random() < 0.5 else None)
    moments.drawn(worker, place)
    _hear_shell(place, worker)
    place.reap(worker, tally)


def _begin_and_leave(place: Place, tally: Tally, moments: Moments) -> None:
    tasks = ",".join(f"Task {place.key()}" for _ in range(12))
    first = place.shell("sparc", "concurrent", "coder", tasks)
    place.model.after_calls(moments.draw.randint(1, 6), first.kill)
    first.rest()
    place.reap(first, tally)


def _worker(place: Place, run_id: str | None) -> Process:
    if run_id is not None:
        return place.shell("runs", "resume", run_id)
    # It takes over by itself, as long as nobody closes its stdin.
    return place.server("--adopt")


def kill_shell(place: Place, tally: Tally, moments: Moments) -> None:
    key, value = place.key(), {"number": moments.draw.random()}
    many = ",".join(f"Task {place.key()}" for _ in range(6))
    commands = (
        ("mcp", "memory_usage", "--action", "store", "--key", key, "--value", json.dumps(value)),
        ("mcp", "agent_spawn", "--type", "coder"),
        ("sparc", "concurrent", "coder", many),
        ("mcp", "memory_usage", "--action", "list"),
    )
    command = moments.draw.choice(commands)
    shell = place.shell(*command)
    if command[0] == "sparc":
        moments.drawn(shell, place)
    else:
        _kill_after(shell, moments.draw.uniform(0, 0.8))
    view = _hear_shell(place, shell)
    if view is not None and command is commands[0]:
        place.book.entries[key] = value
    place.reap(shell, tally)


def _hear_shell(place: Place, shell: Process) -> View | None:
    """The document that a command had printed whole, noted."""
    said = shell.rest()
    try:
        view: View = json.loads(said)
    except ValueError:
        return None
    if "run_id" in view:
        place.noted_run(view)
    place.book.agents.update(agent["agent_id"] for agent in view.get("agents") or () if isinstance(agent, dict))
    return view

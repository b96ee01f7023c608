"""A folder with one database, the model its runs call, the processes that use it, and the book of what they said."""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from random import Random

from tests.faults import laws
from tests.faults.book import Book
from tests.faults.model import Model
from tests.faults.processes import Gone, Process, Refused, Server, Silent, View, environ, left_of, program
from tests.faults.tally import Tally

AGENTS = 16

ENDS_S = 30.0
"""How long all runs may take to end, once somebody resumes them: their calls take milliseconds."""


class Place:
    """Made with `opened_place`. `database` may lie elsewhere, such as on a small disk."""

    def __init__(self, folder: Path, model: Model, draw: Random, database: Path, more: Mapping[str, str]) -> None:
        self.folder = folder
        self.model = model
        self.draw = draw
        self.database = database
        self.book = Book()
        self.processes: list[Process] = []
        self._environ = environ(
            folder,
            SWARMTALLY_DB=str(database),
            SWARMTALLY_PROJECT="test",
            SWARMTALLY_MODEL="openai:test",
            SWARMTALLY_BASE_URL=model.base_url,
            **more,
        )
        self._number = 0
        self._counted = 0

    def server(self, *options: str) -> Server:
        """A server on stdio, which has not been spoken to yet."""
        server = Server(program("serve", *options), self.folder, self._environ)
        self.processes.append(server)
        return server

    def ready_server(self, *options: str) -> Server:
        server = self.server(*options)
        server.shake_hands()
        return server

    def http_server(self) -> Process:
        """A server on a free port of loopback; where it listens stands in its log."""
        process = Process(program("serve", "--transport", "http", "--port", "0"), self.folder, self._environ)
        self.processes.append(process)
        return process

    def shell(self, *arguments: str) -> Process:
        shell = Process(program(*arguments), self.folder, self._environ)
        shell.hang_up()
        self.processes.append(shell)
        return shell

    def key(self) -> str:
        """A name that is used once."""
        self._number += 1
        return f"k{self._number}"

    def reap(self, process: Process, tally: Tally) -> None:
        """Wait for the end of a process that was killed or told to end, and see what it left."""
        process.wait()
        tally.orphans += process.orphans()

    def inspect(self, tally: Tally, *, at_rest: bool = False) -> None:
        """See whether all is as it must be. Where nothing is under way any more: `at_rest`."""
        laws.inspect(self.database, self.book, self.model.calls, tally, at_rest=at_rest)
        tally.once()
        tally.acknowledged += self.book.count - self._counted
        self._counted = self.book.count

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        with laws.opened(self.database) as file:
            return file.execute(sql).fetchall()

    def end_leases(self) -> None:
        """Let every lease be over, as 15 seconds of a run's, or 15 minutes of a packet's, would.

        Raises:
            sqlite3.OperationalError: another process has the write lock.
        """
        self._changed("UPDATE run SET lease_expires_ns = 0 WHERE finished_ns IS NULL AND lease_owner IS NOT NULL")
        self.end_packets()

    def end_packets(self) -> None:
        """Let the packets' leases be over; raises as `end_leases`."""
        self._changed("UPDATE attempt SET expires_ns = 1 WHERE status = 'running' AND expires_ns IS NOT NULL")

    def _changed(self, sql: str) -> None:
        # Time is the only thing that the harness changes in the database.
        with closing(sqlite3.connect(self.database, timeout=0.3, isolation_level=None)) as file:
            file.execute(sql)

    def finish(self, server: Server, tally: Tally) -> None:
        """Have a living server bring every run to its end, as its client would; what does not end is stuck."""
        end = time.monotonic() + ENDS_S
        try:
            server.shake_hands()
            while (left := laws.unfinished(self.database)) and time.monotonic() < end:
                for run_id, _, backend in left:
                    if backend == "host":
                        self._do_packets(server, run_id)
                    else:
                        self._go_on(server, run_id)
        except (Gone, Silent) as error:
            tally.stuck.append(f"the server that resumes: {error!r}")

    def _do_packets(self, server: Server, run_id: str) -> None:
        packets = server.call("work_claim", run_id=run_id, limit=10)["packets"]
        if not packets:
            with suppress(sqlite3.OperationalError):
                self.end_packets()  # their client is gone, and nobody waits a quarter of an hour here
        for packet in packets:
            with suppress(Refused):
                self.report(server, packet)
                server.hear_all()

    def _go_on(self, server: Server, run_id: str) -> None:
        with suppress(Refused):  # somebody who lives executes it
            server.call("run_control", run_id=run_id, action="resume")
        with suppress(Refused):
            view = server.call("run_status", run_id=run_id, wait_s=5)
            self.noted_run(view["run"])

    def report(self, server: Server, packet: View) -> None:
        """Ask the server to accept a packet's report."""
        task, output = packet["task_id"], f"report {self.key()}"

        def note(_: View) -> None:
            self.book.reports[task] = output

        server.ask("work_report", note, task_id=task, lease=packet["lease"], output=output)

    def noted_run(self, view: View) -> None:
        """Write down the run that was acknowledged, and what it is said to have made."""
        self.book.runs.add(view["run_id"])
        for artefact in view.get("artefacts") or ():
            self.book.shown[artefact["artefact_id"]] = artefact["sha256"]


@contextmanager
def opened_place(
    folder: Path, draw: Random, tally: Tally, database: Path | None = None, more: Mapping[str, str] | None = None
) -> Iterator[Place]:
    """A place of its own for some rounds; when it is over nothing of it may be left."""
    folder.mkdir(parents=True, exist_ok=True)
    with Model(draw) as model:
        place = Place(folder, model, draw, database or folder / "swarm.db", more or {})
        try:
            yield place
        finally:
            for process in place.processes:
                process.clean_up()
        tally.orphans += left_of(folder)
        tally.damaged += internal_errors(folder)


def internal_errors(folder: Path) -> list[str]:
    """Faults of the program itself that its processes have logged, in the order they came."""
    log = folder / "stderr.log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return [text for text in lines if "internal error" in text or "Traceback" in text]

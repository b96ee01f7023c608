"""Eight `swarmtally serve` on one database file, each called as fast as it answers, beside eight plain sqlite3 programs
that write the same rows (a FULL commit each, busy_timeout 5 s) and one server alone; limits: no error, nothing
acknowledged is missing, the slowest process within twice the fastest."""

import itertools
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypedDict

from benchmarks.tool_calls import Client

PROCESSES = 8
FAIRNESS_LIMIT = 2.0

_ERA = "2025-06-18"
_PROJECT, _NAMESPACE, _VALUE = "p", "default", "a value of some words"
_READ_EVERY = 4
"""One call in so many reads the entry stored last; the others store new ones."""

Kind = Literal["ours", "plain"]


class Drive(TypedDict):
    """What a driver did in one round."""

    stored: int
    latencies_s: list[float]
    errors: dict[str, int]


@dataclass(slots=True)
class _Rounds:
    """What a number of processes did at once, round by round."""

    rates: list[list[float]] = field(default_factory=list)
    """Calls a second, of each process."""
    latencies_s: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    stored: int = 0

    @property
    def total(self) -> float:
        return statistics.median(sum(rates) for rates in self.rates)

    @property
    def unevenness(self) -> list[float]:
        """The fastest process's calls beside the slowest's, in each round."""
        return sorted(max(rates) / max(min(rates), 1e-9) for rates in self.rates)

    def line(self, label: str) -> str:
        p50, p99 = (statistics.quantiles(self.latencies_s, n=100)[percent - 1] * 1e3 for percent in (50, 99))
        return (
            f"{label:34} {self.total:6.0f} calls/s; p50 {p50:6.2f} ms, p99 {p99:7.2f} ms, longest"
            f" {max(self.latencies_s) * 1e3:6.0f} ms; errors {sum(self.errors.values())}"
        )


def run(smoke: bool) -> list[str]:
    rounds, seconds = (1, 0.8) if smoke else (5, 4.0)
    measured = {"together": _Rounds(), "plain": _Rounds(), "alone": _Rounds()}
    with tempfile.TemporaryDirectory() as folder:
        files = {kind: Path(folder, f"{kind}.db") for kind in ("ours", "plain")}
        with ExitStack() as stack:
            ours = [stack.enter_context(_driver("ours", files["ours"], folder, i)) for i in range(PROCESSES)]
            # A server has made the tables that the plain programs write to.
            with _driver("ours", files["plain"], folder, PROCESSES):
                pass
            plain = [stack.enter_context(_driver("plain", files["plain"], folder, i)) for i in range(PROCESSES)]
            for _ in range(rounds):
                _together(ours, seconds, measured["together"])
                _together(plain, seconds, measured["plain"])
                _together(ours[:1], seconds, measured["alone"])
        acknowledged = {
            "ours": measured["together"].stored + measured["alone"].stored,
            "plain": measured["plain"].stored,
        }
        missing = {kind: acknowledged[kind] - _entries(path) for kind, path in files.items()}
    return _report(measured, missing)


def _report(measured: dict[str, _Rounds], missing: dict[str, int]) -> list[str]:
    ours, plain, alone = measured["together"], measured["plain"], measured["alone"]
    uneven = {side: rounds.unevenness for side, rounds in (("ours", ours), ("plain", plain))}
    worst, middle = ({side: pick(ratios) for side, ratios in uneven.items()} for pick in (max, statistics.median))
    failed = {"ours": sum(ours.errors.values()), "plain": sum(plain.errors.values())}
    fair = f"fastest process / slowest, worst round: {worst['ours']:.2f}   limit {FAIRNESS_LIMIT:.0f}"
    others = f"median {middle['ours']:.2f}; plain {worst['plain']:.2f}, median {middle['plain']:.2f}"
    beside = f"{ours.total / alone.total:.2f} of what one alone does, {ours.total / plain.total:.2f} of the plain ones"
    lines = [
        ours.line(f"{PROCESSES} servers, ours"),
        plain.line(f"{PROCESSES} plain sqlite3 programs"),
        alone.line("1 server, ours"),
        f"{fair} {_held(worst['ours'] <= FAIRNESS_LIMIT)} ({others})",
        f"errors: {failed['ours']}   limit 0 {_held(not failed['ours'])} (plain {failed['plain']})",
        f"acknowledged, missing: {missing['ours']}   limit 0 {_held(not missing['ours'])} (plain {missing['plain']})",
        f"{PROCESSES} servers do {beside}",
    ]
    return lines + [f"error, {count} times: {error}" for error, count in [*ours.errors.items(), *plain.errors.items()]]


def _held(held: bool) -> str:
    return "within" if held else "ABOVE"


@contextmanager
def _driver(kind: Kind, database: Path, folder: str, index: int) -> Iterator["subprocess.Popen[str]"]:
    """A process of its own that calls when told to, and its server if it is ours; ready when this yields."""
    command = [sys.executable, "-m", "benchmarks.processes", kind, str(database), folder, str(index)]
    root = Path(__file__).parents[1]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)
    assert process.stdin is not None
    try:
        _told(process)
        yield process
    finally:
        process.stdin.close()
        process.wait(timeout=60)


def _told(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise EOFError("a driver ended early; its error is on stderr")
    return line


def _together(drivers: list["subprocess.Popen[str]"], seconds: float, into: _Rounds) -> None:
    for driver in drivers:
        assert driver.stdin is not None
        driver.stdin.write(f"{seconds}\n")
        driver.stdin.flush()
    drives: list[Drive] = [json.loads(_told(driver)) for driver in drivers]
    into.rates.append([len(drive["latencies_s"]) / seconds for drive in drives])
    for drive in drives:
        into.latencies_s += drive["latencies_s"]
        into.stored += drive["stored"]
        for error, count in drive["errors"].items():
            into.errors[error] = into.errors.get(error, 0) + count


def _entries(path: Path) -> int:
    """How many entries the file holds; it is whole."""
    connection = sqlite3.connect(path)
    (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        raise ValueError(f"{path.name}: {verdict}")
    (count,) = connection.execute("SELECT COUNT(*) FROM memory WHERE key LIKE 'of %'").fetchone()
    connection.close()
    return int(count)


# What follows runs in the drivers' processes.

Store, Read = Callable[[str], object], Callable[[str], object]


def main() -> None:
    kind, database, folder, index = sys.argv[1:]
    with (_ours if kind == "ours" else _plain)(database, folder) as (store, read):
        store(f"first of {index}")
        read(f"first of {index}")
        print("ready", flush=True)
        numbers = itertools.count()
        for line in sys.stdin:
            keys = (f"of {index}, {number}" for number in numbers)
            print(json.dumps(_drive(float(line), keys, store, read)), flush=True)


def _drive(seconds: float, keys: Iterator[str], store: Store, read: Read) -> Drive:
    drive: Drive = {"stored": 0, "latencies_s": [], "errors": {}}
    key = ""
    until = time.perf_counter() + seconds
    for call in itertools.count():
        started = time.perf_counter()
        if started >= until:
            break
        try:
            if (call + 1) % _READ_EVERY:
                store(key := next(keys))
                drive["stored"] += 1
            else:
                read(key)
        except (ValueError, sqlite3.Error) as error:
            text = str(error)
            drive["errors"][text] = drive["errors"].get(text, 0) + 1
        drive["latencies_s"].append(time.perf_counter() - started)
    return drive


@contextmanager
def _ours(database: str, folder: str) -> Iterator[tuple[Store, Read]]:
    command = [sys.executable, "-m", "swarmtally", "serve", "--db", database, "--project", _PROJECT]
    with Path(folder, "stderr.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0, cwd=folder
        )
    client = Client(process, _ERA)
    yield (
        lambda key: client.call("memory_usage", action="store", key=key, value=_VALUE),
        lambda key: client.call("memory_usage", action="retrieve", key=key),
    )
    assert process.stdin is not None
    process.stdin.close()
    process.wait(timeout=30)


@contextmanager
def _plain(database: str, _: str) -> Iterator[tuple[Store, Read]]:
    connection = sqlite3.connect(database, isolation_level=None, timeout=5)
    connection.execute("PRAGMA synchronous = FULL")
    value = json.dumps(_VALUE)

    def store(key: str) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            now_ns = time.time_ns()
            (number,) = connection.execute(
                "INSERT INTO memory (project, namespace, key, value, size_bytes, tags, version, created_ns, updated_ns)"
                " VALUES (?, ?, ?, ?, ?, '[]', 1, ?, ?) RETURNING memory_id",
                (_PROJECT, _NAMESPACE, key, value, len(value), now_ns, now_ns),
            ).fetchone()
            connection.execute(
                "INSERT INTO memory_text (rowid, key, body, tags) VALUES (?, ?, ?, '')", (number, key, _VALUE)
            )
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def read(key: str) -> None:
        row = connection.execute(
            "SELECT value FROM memory WHERE project = ? AND namespace = ? AND key = ?", (_PROJECT, _NAMESPACE, key)
        ).fetchone()
        if row != (value,):
            raise ValueError(f"{key!r} was stored, and {row} read")

    yield store, read
    connection.close()


if __name__ == "__main__":
    main()

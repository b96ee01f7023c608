"""The long run of the faults: `make faults`, or

    python -m tests.faults [--rounds N] [--seed N] [--only WORD] [--folder DIR]

`--rounds` are the kills (500 unless given); the other faults are brought about a twentieth as often, at least twice.
It prints what comes of each round while it goes on, then the table of docs/reliability.md, and ends with 1 when
anything was found.
"""

import argparse
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from random import Random

from tests.faults.clients import Fault as ClientFault
from tests.faults.clients import client_rounds, ends_in_half, sends_garbage, sends_half, sends_huge, stops_reading
from tests.faults.killing import killed_rounds
from tests.faults.machine import clock_rounds, failing_fsync_rounds, full_disk_rounds
from tests.faults.network import Fault as NetworkFault
from tests.faults.network import bad_requests, network_rounds, storm
from tests.faults.tally import Tally, line, table
from tests.faults.zombies import zombie_rounds

KILLS = "kills"

Rounds = Callable[[Path, Random, int], Iterator[Tally]]


def client_faults(name: str, *faults: ClientFault) -> Rounds:
    return lambda folder, draw, rounds: client_rounds(name, folder, draw, rounds, *faults)


def network_faults(name: str, *faults: NetworkFault) -> Rounds:
    return lambda folder, draw, rounds: network_rounds(name, folder, draw, rounds, *faults)


FAULTS: Mapping[str, Rounds] = {
    "zombies": partial(zombie_rounds, patient=False),
    "patient": partial(zombie_rounds, patient=True),
    "disk": partial(full_disk_rounds, mounted=True),
    "fsync": failing_fsync_rounds,
    "clock": clock_rounds,
    "unread": client_faults("a client that stops reading", stops_reading),
    "garbage": client_faults("a client that sends garbage", sends_garbage),
    "half": client_faults("a client that sends half messages", sends_half, ends_in_half),
    "huge": client_faults("a client that sends lines of 100 MB", sends_huge),
    "storm": network_faults("a storm of 300 HTTP connections", storm),
    "requests": network_faults("HTTP garbage, half requests, bodies of 100 MB", bad_requests),
}
"""By the word that `--only` takes."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--rounds", type=int, default=500, help="kills; the other faults a twentieth of that")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32), help="of all random moments")
    parser.add_argument("--only", choices=(KILLS, *FAULTS), help="one of the faults")
    parser.add_argument("--folder", type=Path, help="where to work; what had findings stays there")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    folder = given.folder or Path(tempfile.mkdtemp(prefix="faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    tallies: list[Tally] = []
    for word in (KILLS, *FAULTS):
        if given.only in (None, word):
            tallies += last_of(word, folder / word, Random(f"{given.seed} {word}"), given.rounds)
    found = [f"{tally.fault}: {finding}" for tally in tallies for finding in tally.findings]
    print("\n" + table(tallies), *found, sep="\n")
    if found:
        print(f"\nseed {given.seed}; what was left of it lies in {folder}")
    elif given.folder is None:
        shutil.rmtree(folder)
    return int(bool(found))


def last_of(word: str, folder: Path, draw: Random, kills: int) -> list[Tally]:
    """Bring about one fault and tell of each round."""
    rounds = kills if word == KILLS else max(2, kills // 20)
    tallies: list[Tally] = []
    begun = time.monotonic()
    for number, tallies in enumerate(_tallied(word, folder, draw, rounds), 1):
        found = sum(len(tally.findings) for tally in tallies)
        print(f"{word} {number}/{rounds}: {time.monotonic() - begun:.0f} s, {found} findings", flush=True)
    # Should a later one be cut short, this one is told.
    print(*map(line, tallies), sep="\n", flush=True)
    return tallies


def _tallied(word: str, folder: Path, draw: Random, rounds: int) -> Iterator[list[Tally]]:
    if word == KILLS:
        yield from killed_rounds(folder, draw, rounds)
    else:
        yield from ([tally] for tally in FAULTS[word](folder, draw, rounds))


if __name__ == "__main__":
    sys.exit(main())

"""Run `make bench-peers`, or `python -m benchmarks.peers [ROUNDS]` once .venv-peers is there: 1,000 tasks at once that
do nothing, ours written down for good, beside those of systems that write nothing down. Microseconds a task."""

import argparse
import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path

AGENTS = 1_000
"""Tasks at once."""

TASKS = 10_000
"""Of ours, a round: ten times as many as there are agents."""

WAVES = 5
"""Of each peer, a round."""

OURS = "ours, durable"

LIMIT_US = 1e6 / 6_000
"""What one of our tasks may take."""

PYTHON = Path(".venv-peers", "Scripts" if sys.platform == "win32" else "bin", "python")

_NULL_TASKS = Path(__file__).with_name("null_tasks.py")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("rounds", type=int, nargs="?", default=5)
    rounds = parser.parse_args().rounds
    if not PYTHON.exists():
        parser.error(f"{PYTHON} is not there; make bench-peers makes it")
    sides = [[sys.executable, "-m", "benchmarks.peers.ours", str(TASKS), str(AGENTS)]]
    sides += [
        [str(PYTHON), str(_NULL_TASKS), peer, str(AGENTS), str(WAVES)]
        for peer in ("asyncio", "langgraph", "autogen", "agno")
    ]
    print(f"Python {platform.python_version()}, {platform.machine()}; {versions()}")
    print(f"{rounds} rounds in turn, {AGENTS} tasks at once; median (lowest) of the rounds' medians")
    for line in report(measured(sides, rounds)):
        print(f"  {line}")
    return 0


def measured(sides: list[list[str]], rounds: int) -> dict[str, list[float]]:
    """The seconds a task of each name, one figure a round: the median of its waves."""
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        # Each first in turn: what the machine does besides changes slowly.
        for side in sides[number % len(sides) :] + sides[: number % len(sides)]:
            done = subprocess.run(side, check=True, stdout=subprocess.PIPE, text=True)
            waves: dict[str, list[float]] = {}
            for line in done.stdout.splitlines():
                wave = json.loads(line)
                waves.setdefault(wave["name"], []).append(wave["s"])
            for name, seconds in waves.items():
                found.setdefault(name, []).append(statistics.median(seconds))
    return found


def report(found: dict[str, list[float]]) -> list[str]:
    middle = {name: statistics.median(seconds) for name, seconds in found.items()}
    lines = []
    for name in sorted(found, key=lambda name: (name != OURS, middle[name])):
        told = (
            f"{name:36} {middle[name] * 1e6:7.1f} ({min(found[name]) * 1e6:7.1f}) µs, {1 / middle[name]:8.0f} tasks/s"
        )
        if name == OURS:
            judged = "within" if middle[name] * 1e6 <= LIMIT_US else "ABOVE"
            lines.append(f"{told}; limit {LIMIT_US:.0f} µs {judged}")
        else:
            lines.append(f"{told}; ours takes {middle[OURS] / middle[name]:6.2f} times as long")
    return lines


def versions() -> str:
    """What is compared, as installed."""
    names = ("langgraph", "autogen-core", "agno")
    program = f"import importlib.metadata as m; print(', '.join(f'{{n}} {{m.version(n)}}' for n in {names!r}))"
    return subprocess.run([str(PYTHON), "-c", program], check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())

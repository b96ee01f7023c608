"""Run the benchmarks: `python -m benchmarks [--smoke] [--seed N] [NAME ...]`. `--smoke` makes each short, to see that
it runs; `--seed` repeats one of generated worlds with others of them."""

import argparse
import platform
import sqlite3
import sys
from collections.abc import Callable

from benchmarks import (
    bottleneck,
    budgets,
    completions,
    durable_tasks,
    http_clients,
    learning,
    learning_sizes,
    learning_training,
    learning_worlds,
    ledger,
    load_balance,
    log_templates,
    memory_entries,
    memory_store,
    memory_use,
    messages,
    processes,
    quality_calibration,
    recording,
    report,
    scalability_law,
    scaling,
    schedule_quality,
    serve_start,
    shell_start,
    soak,
    speed_multiplier,
    tokens,
    tool_calls,
    tracing,
)
from swarmtally.mcp.process import keep_what_was_imported

BENCHMARKS: dict[str, Callable[[bool], list[str]]] = {
    "shell_start": shell_start.run,
    "serve_start": serve_start.run,
    "memory_store": memory_store.run,
    "memory_entries": memory_entries.run,
    "durable_tasks": durable_tasks.run,
    "budgets": budgets.run,
    "speed_multiplier": speed_multiplier.run,
    "load_balance": load_balance.run,
    "scaling": scaling.run,
    "schedule_quality": schedule_quality.run,
    "recording": recording.run,
    "bottleneck": bottleneck.run,
    "report": report.run,
    "ledger": ledger.run,
    "learning": learning.run,
    "learning_sizes": learning_sizes.run,
    "learning_training": learning_training.run,
    "learning_worlds": learning_worlds.run,
    "tokens": tokens.run,
    "memory_use": memory_use.run,
    "messages": messages.run,
    "soak": soak.run,
    "tool_calls": tool_calls.run,
    "tracing": tracing.run,
    "completions": completions.run,
    "processes": processes.run,
    "http_clients": http_clients.run,
    "quality_calibration": quality_calibration.run,
    "log_templates": log_templates.run,
    "scalability_law": scalability_law.run,
}


SEEDED: dict[str, Callable[[bool, int], list[str]]] = {"learning_worlds": learning_worlds.run}
"""Those that take a seed."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--seed", type=int, help=f"of {', '.join(SEEDED)}; 0 is the usual one")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    options = parser.parse_args()
    keep_what_was_imported()  # as a server does
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    if options.seed is not None and (not options.names or set(options.names) - SEEDED.keys()):
        parser.error(f"--seed is for {', '.join(SEEDED)}: name it")
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.machine()}, ", end="")
    print(f"{'short runs' if options.smoke else 'full runs'}; medians")
    for name in options.names or BENCHMARKS:
        print(f"\n{name}: {sys.modules[BENCHMARKS[name].__module__].__doc__}".rstrip())
        lines = BENCHMARKS[name](options.smoke) if options.seed is None else SEEDED[name](options.smoke, options.seed)
        for line in lines:
            print(f"  {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The ecosystem's own validators: `make validators`, or

    python -m tests.validators [--at-once N] [NAME ...]

One line each: name, version, figure, limit; below it what failed, and what was not counted with the reason. Ends with
1 when one is below its limit, and with 3 when one is not there and could not be installed.
"""

import argparse
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from tests.validators import conformance, fuzzing, inspector, listing, score
from tests.validators.installed import Installed, Missing, install
from tests.validators.verdict import Validator, Verdict

VALIDATORS: Mapping[str, Validator] = {
    "fuzzer-stdio": fuzzing.over_stdio,
    "fuzzer-http": fuzzing.over_the_network,
    "inspector": inspector.run,
    "score-stdio": score.over_stdio,
    "score-http": score.over_the_network,
    "conformance": conformance.ours,
    "conformance-latest": conformance.latest,
    "conformance-next": conformance.upcoming,
    "definitions": listing.run,
}
"""The longest first."""

_BELOW, _MISSING = 1, 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.validators")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(VALIDATORS))
    parser.add_argument("--at-once", type=int, default=2, metavar="N", help="how many run at once (2)")
    asked = parser.parse_args()
    names = asked.names or list(VALIDATORS)
    if unknown := [name for name in names if name not in VALIDATORS]:
        parser.error(f"no validator {unknown[0]!r}; there are {', '.join(VALIDATORS)}")
    started = time.monotonic()
    try:
        installed = install()
    except Missing as missing:
        print(f"validators: {missing}", file=sys.stderr)
        return _MISSING
    ready = time.monotonic()
    with ThreadPoolExecutor(asked.at_once) as pool:
        verdicts = list(pool.map(lambda name: _told(name, installed), names))
    took = f"installed in {ready - started:.0f} s, ran in {time.monotonic() - ready:.0f} s"
    below = [verdict.name for verdict in verdicts if not verdict.passed]
    print(f"{len(verdicts) - len(below)} of {len(verdicts)} validators satisfied; {took}")
    return _BELOW if below else 0


def _told(name: str, installed: Installed) -> Verdict:
    started = time.monotonic()
    try:
        verdict = VALIDATORS[name](installed)
    except Exception as error:  # noqa: BLE001 # one that cannot run must not keep the others from being heard
        verdict = Verdict(name, "?", f"did not run: {type(error).__name__}: {error}", "runs", passed=False)
    print("\n     ".join((f"{verdict.line} ({time.monotonic() - started:.0f} s)", *verdict.notes)), flush=True)
    return verdict


if __name__ == "__main__":
    sys.exit(main())

"""The protocol's own conformance suite, its latest release and the next one.

What it asks of any server, it asks ours. What it asks of tools, resources and prompts that it knows by name, it asks
the same server with those beside ours (`fixtures`).
"""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.validators.installed import Installed
from tests.validators.serving import FIXTURE, REAL, over_http, place
from tests.validators.verdict import Verdict

LATEST, NEXT = "@modelcontextprotocol/conformance", "conformance-next"
EXPECTED = Path(__file__).with_name("expected_failures.json")
REVISIONS = ("2025-11-25", "2026-07-28")

OF_ANY_SERVER = {
    LATEST: ("server-initialize", "ping", "tools-list", "server-sse-multiple-streams", "dns-rebinding-protection"),
    NEXT: ("server-session-lifecycle", "http-header-validation"),
}
"""Scenarios that need nothing of a server but itself."""

_AT_MOST_S = 120
_SCENARIO = re.compile(r"^[✓✗⚠] ([\w-]+): (\d+) passed, (\d+) failed", re.MULTILINE)
_CHECKS = re.compile(r"^Passed: (\d+)/(\d+), (\d+) failed", re.MULTILINE)

Counts = Mapping[str, tuple[int, int]]
"""By scenario, how many checks passed and how many failed."""


def ours(installed: Installed) -> Verdict:
    """Our server, as it is."""
    with place() as folder, over_http(folder, REAL) as served:
        found = {
            name: counts
            for package, names in OF_ANY_SERVER.items()
            for scenario in names
            for name, counts in _run(installed, package, served.url, folder, "--scenario", scenario).items()
        }
        missing = [name for names in OF_ANY_SERVER.values() for name in names if name not in found]
        return _judged("conformance, our server", _versions(installed), found, [*missing, *served.trouble()])


def latest(installed: Installed) -> Verdict:
    with place() as folder, over_http(folder, FIXTURE) as served:
        found = _run(installed, LATEST, served.url, folder)
        return _judged("conformance, latest", installed.version(LATEST), found, served.trouble())


def upcoming(installed: Installed) -> Verdict:
    """The next release, which knows of each revision what it requires; a scenario of both runs in both."""
    found: dict[str, tuple[int, int]] = {}
    with place() as folder, over_http(folder, FIXTURE) as served:
        for revision in REVISIONS:
            counts = _run(installed, NEXT, served.url, folder, "--requirements", revision)
            found |= {f"{revision} {name}": count for name, count in counts.items()}
        return _judged("conformance, next", installed.version(NEXT), found, served.trouble())


def _versions(installed: Installed) -> str:
    return f"{installed.version(LATEST)}, next"


def _run(installed: Installed, package: str, url: str, folder: Path, *options: str) -> Counts:
    command = [*installed.node_tool(package, "dist/index.js"), "server", "--url", url, *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_AT_MOST_S)
    found = {name: (int(passed), int(failed)) for name, passed, failed in _SCENARIO.findall(done.stdout)}
    if not found and (single := _CHECKS.search(done.stdout)):
        return {options[-1]: (int(single[1]), int(single[3]))}
    if not found:
        raise RuntimeError((done.stderr or done.stdout).strip()[-500:])
    return found


def _judged(name: str, version: str, found: Counts, trouble: Sequence[str]) -> Verdict:
    expected: Mapping[str, str] = json.loads(EXPECTED.read_text())
    failed = {scenario for scenario, (_, fails) in found.items() if fails}
    excused = {scenario: expected[_bare(scenario)] for scenario in failed if _bare(scenario) in expected}
    faults = sorted(failed - excused.keys())
    counted = {scenario: counts for scenario, counts in found.items() if scenario not in excused and any(counts)}
    checks = sum(passed for passed, _ in counted.values())
    return Verdict(
        name,
        version,
        f"{len(counted) - len(faults)} of {len(counted)} scenarios, {checks} checks",
        "all",
        not faults and not trouble and bool(counted),
        (
            *(f"{scenario}: {found[scenario][1]} checks failed" for scenario in faults),
            *trouble,
            *(f"expected to fail: {scenario}: {reason}" for scenario, reason in sorted(excused.items())),
            *(f"found nothing to check: {scenario}" for scenario, counts in sorted(found.items()) if not any(counts)),
            *(
                f"passes now, take it out of {EXPECTED.name}: {scenario}"
                for scenario in sorted(found)
                if _bare(scenario) in expected and scenario not in failed
            ),
        ),
    )


def _bare(scenario: str) -> str:
    return scenario.rpartition(" ")[2]

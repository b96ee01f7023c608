"""mcp-fuzzer: arguments and messages nobody should send, from a fixed seed."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema

from swarmtally_tools import registry
from tests.validators.installed import Installed, python_versions
from tests.validators.serving import over_http, place, stdio_command, trouble
from tests.validators.verdict import Verdict

SEED = 20260728
_LAUNCHER = Path(__file__).with_name("patient_fuzzer.py")
_AT_MOST_S = 120
_TIMEOUT_S = 4

THE_FUZZERS_OWN: Mapping[str, str] = {
    "Out of range float values are not JSON compliant": "it made a number JSON cannot say, and could not send it",
}
"""What a run of it can end with before anything is sent."""

WAITS = ("swarm_monitor", "run_status", "sparc_run", "sparc_batch", "sparc_concurrent", "sparc_pipeline")
"""Tools that may be told to wait for longer than the fuzzer does."""

_LEAK = re.compile(r"-32603|Traceback \(most recent|internal error|File \\?\"/")

_UNANSWERED = re.compile(r"timed out|^No response received")

_TOOLS = ("--mode", "tools", "--phase", "both", "--runs", "4")
_MESSAGES = ("--mode", "protocol", "--protocol-phase", "aggressive", "--runs-per-type", "3", "--stateful")


def over_the_network(installed: Installed) -> Verdict:
    with place() as folder, over_http(folder) as served:
        endpoint = ("--protocol", "streamablehttp", "--endpoint", served.url)
        reports = [_report(installed, folder, what, *endpoint) for what in (_TOOLS, _MESSAGES)]
        gone = [] if served.alive else ["the server ended"]
        return _judged("mcp-fuzzer, HTTP", reports, [*gone, *served.trouble()])


def over_stdio(installed: Installed) -> Verdict:
    with place() as folder:
        endpoint = ("--protocol", "stdio", "--endpoint", stdio_command(folder)[0])
        reports = [_report(installed, folder, what, *endpoint) for what in (_TOOLS, _MESSAGES)]
        return _judged("mcp-fuzzer, stdio", reports, trouble(folder / "stderr.log"))


def _report(installed: Installed, folder: Path, what: tuple[str, ...], *endpoint: str) -> Path:
    """The folder of what it found."""
    written = folder / what[1]
    bounds = ("--timeout", str(_TIMEOUT_S), "--seed", str(SEED), "--no-network", "--no-corpus", "--fail-if-no-tools")
    places = ("--fs-root", str(folder / "files"), "--output-dir", str(written))
    command = [installed.python_tool("python"), str(_LAUNCHER), *what, *endpoint, *bounds, *places]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_AT_MOST_S)
    if done.returncode or not (written / "run_summary.json").exists():
        raise RuntimeError(f"exit {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}")
    return written


def _judged(name: str, reports: list[Path], logged: list[str]) -> Verdict:
    tools, messages = (json.loads((report / "run_summary.json").read_text()) for report in reports)
    by_tool = tools["tools"]["by_name"]
    unasked = sorted(registry.MODULES.keys() - by_tool.keys())
    calls = sum(tool["total_runs"] for tool in by_tool.values())
    sent = messages["protocols"]["total_runs"]
    ended, notes = _ended(reports[0])
    faults = [
        *logged,
        *(f"{tool} was not called" for tool in unasked),
        *(
            f"{tool}: {count} {kind}"
            for tool, found in by_tool.items()
            for kind in ("crashed", "anomaly")
            if (count := found["outcomes"][kind])
        ),
        *ended,
        *(leak for report in reports for leak in _leaks(report)),
        *_accepted(reports[0]),
    ]
    return Verdict(
        name,
        python_versions("mcp-fuzzer")["mcp-fuzzer"],
        f"{calls} calls of {len(by_tool)} tools and {sent} messages, seed {SEED}: {len(faults)} crashes, hangs, "
        "internal errors, leaked traces or arguments taken against the schema",
        "0",
        not faults and calls > 0 and sent > 0,
        (*faults, *dict.fromkeys(notes)),
    )


def _ended(report: Path) -> tuple[list[str], list[str]]:
    """Runs without an answer, and of these those that say nothing about us."""
    faults, notes = [], []
    for file in report.glob("sessions/*/*_fuzzing_results.json"):
        for tool in json.loads(file.read_text())["data"]["tools_tested"]:
            for ended in tool["exception_details"]:
                message = str(ended["message"])
                if message in THE_FUZZERS_OWN:
                    notes.append(f"not sent: {tool['name']}: {THE_FUZZERS_OWN[message]}")
                elif _UNANSWERED.search(message) and tool["name"] in WAITS:
                    notes.append(f"not waited for: {tool['name']} was told to wait: {str(ended['arguments'])[:80]}")
                else:
                    faults.append(f"{tool['name']}: {message[:200]}")
    return faults, notes


def _leaks(report: Path) -> Iterator[str]:
    for file in report.rglob("*.json"):
        for found in _LEAK.finditer(text := file.read_text()):
            yield f"{file.name}: {text[max(found.start() - 100, 0) : found.end() + 100]}"


def _accepted(report: Path) -> Iterator[str]:
    """Arguments a tool took although its schema does not allow them. The fuzzer counts others too: texts that look
    like attacks, which are data here."""
    for finding in json.loads((report / "findings.json").read_text())["findings"]:
        if finding["category"] == "accepted_malformed":
            given: Any = finding["evidence"]["input"]
            schema = registry.load(finding["target"]).input_schema
            wrong = next(iter(jsonschema.Draft202012Validator(schema).iter_errors(given)), None)
            if wrong is not None:
                yield f"{finding['target']} took what its schema refuses: {wrong.message[:200]}"

"""mcpscore: rules of the protocol, of security and of good manners, each with points."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.validators.installed import Installed, python_versions
from tests.validators.serving import over_http, place, stdio_command
from tests.validators.verdict import Verdict

NOT_APPLICABLE: Mapping[str, str] = {
    "capability_tools_list_changed": "our tools do not change while the server runs, and the rule allows for that",
    "capability_prompts_list_changed": "our prompts change only with the files of modes, which nobody watches",
    "security_tls_enabled": "the server listens on loopback; off it a proxy speaks TLS (docs/http.md)",
    "transport_invalid_request_error_code": "the SDK answers; refused with 400 as it must be, but with -32602",
}
"""Rules that fail and say nothing about us, each with why. All others must pass."""

_NOBODY = {"not-applicable": "has nothing to look at here", "insufficient-data": "asks what no client may see here"}
_AT_MOST_S = 120


def over_stdio(installed: Installed) -> Verdict:
    with place() as folder:
        return _judged("mcpscore, stdio", _report(installed, folder, "--stdio", *stdio_command(folder)))


def over_the_network(installed: Installed) -> Verdict:
    with place() as folder, over_http(folder) as served:
        return _judged("mcpscore, HTTP", _report(installed, folder, served.url))


def _report(installed: Installed, folder: Path, *target: str) -> dict[str, Any]:
    """The audit, and the calls of tools that only read."""
    command = [installed.python_tool("mcpscore"), "--no-config", "--json", "--smoke", "--call-all", *target]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_AT_MOST_S)
    if not done.stdout:
        raise RuntimeError(done.stderr.strip()[-500:])
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _judged(name: str, report: dict[str, Any]) -> Verdict:
    rules = [*report["results"], *report["readiness"]["results"]]
    failed = [rule for rule in rules if not rule["passed"]]
    excused = [rule for rule in failed if rule["rule_id"] in NOT_APPLICABLE]
    most = report["max_score"] - sum(rule["severity_value"] for rule in excused)
    smoke = report["smoke"]["checks"]
    smoked = [check for check in smoke if check["verdict"] == "fail"]
    calls = sum(check["verdict"] == "pass" for check in smoke)
    skipped = [rule["reason"] for rule in report["skipped_rules"]]
    version = python_versions("mcpscore")["mcpscore"]
    return Verdict(
        name,
        version,
        f"{report['score']} of {most} points, {len(rules) - len(excused)} rules; "
        f"{calls} of {calls + len(smoked)} trial calls as they should",
        "all of both",
        report["score"] == most and not smoked and calls > 0,
        (
            *(rule["message"].lstrip("❌ ") for rule in failed if rule not in excused),
            *(f"{check['check_id']} {check['tool_name']}: {check['message']}" for check in smoked),
            *(f"not counted: {rule['rule_id']}: {NOT_APPLICABLE[rule['rule_id']]}" for rule in excused),
            *(f"{skipped.count(reason)} rules: mcpscore itself {_NOBODY.get(reason, reason)}" for reason in _NOBODY),
        ),
    )

"""How the validators' reports are judged; the validators themselves run with `make validators`."""

from pathlib import Path
from typing import Any

import pytest

from tests.validators import conformance, fuzzing, score
from tests.validators.serving import trouble


def audited(*failed: str) -> dict[str, Any]:
    rules = [
        {"rule_id": name, "passed": name not in failed, "severity_value": 3, "message": f"❌ {name}"}
        for name in ("server_name_present", "security_tls_enabled")
    ]
    return {
        "score": sum(rule["severity_value"] for rule in rules if rule["passed"]),
        "max_score": 6,
        "results": rules,
        "readiness": {"results": []},
        "smoke": {"checks": [{"verdict": "pass"}]},
        "skipped_rules": [],
    }


def test_a_rule_that_fails_costs_the_full_marks() -> None:
    verdict = score._judged("mcpscore", audited("server_name_present"))
    assert not verdict.passed
    assert "server_name_present" in verdict.notes


def test_a_rule_that_does_not_apply_is_named_with_its_reason() -> None:
    verdict = score._judged("mcpscore", audited("security_tls_enabled"))
    assert verdict.passed
    assert verdict.figure.startswith("3 of 3 points, 1 rules")
    assert any(note.startswith("not counted: security_tls_enabled: the server listens") for note in verdict.notes)


@pytest.mark.parametrize(
    ("counts", "trouble", "passed"),
    [((2, 0), [], True), ((2, 1), [], False), ((2, 0), ["Traceback"], False), ((0, 0), [], False)],
)
def test_a_scenario_passes_when_every_check_does_and_the_server_is_quiet(
    counts: tuple[int, int], trouble: list[str], passed: bool
) -> None:
    assert conformance._judged("conformance", "1", {"ping": counts}, trouble).passed is passed


def test_a_failure_that_is_expected_is_told_with_its_reason() -> None:
    found = {"ping": (1, 0), "2026-07-28 tasks-mrtr-input": (1, 7)}
    verdict = conformance._judged("conformance", "1", found, [])
    assert verdict.passed
    assert any(note.startswith("expected to fail: 2026-07-28 tasks-mrtr-input: ") for note in verdict.notes)


def test_what_the_server_did_not_expect_is_found_in_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("level=info event=tool.call outcome=ok\nlevel=error event=tool.failed id=1\n")
    assert trouble(log) == ["level=error event=tool.failed id=1"]


def test_an_internal_error_in_what_the_fuzzer_wrote_is_a_leak(tmp_path: Path) -> None:
    (tmp_path / "findings.json").write_text('{"code": -32602}')
    assert not list(fuzzing._leaks(tmp_path))
    (tmp_path / "findings.json").write_text('{"code": -32603}')
    assert len(list(fuzzing._leaks(tmp_path))) == 1

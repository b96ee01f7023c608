"""Budgets and dry runs in the shell."""

from io import StringIO

from rich.console import Console

from swarmtally.cli import terminal
from swarmtally_tools.run_views import RunView
from tests.backends.wire import OpenAIWire, answer, tokens
from tests.cli.conftest import Shell


def on(wire: OpenAIWire) -> tuple[str, ...]:
    return ("--model", "openai:m1", "--base-url", wire.base_url, "--max-parallel", "1", "--max-output-tokens", "1000")


def test_a_run_that_pauses_for_its_budget_is_resumed_with_a_higher_one(shell: Shell, wire: OpenAIWire) -> None:
    wire.script(answer("done", tokens(500, 100)), answer("done", tokens(500, 100)))
    paused = shell("sparc", "batch", "coder", "Login,Logout", "--budget-tokens", "2000", *on(wire))
    assert (paused.status, paused.document["status"]) == (1, "paused")
    run_id = paused.document["run_id"]
    refused = shell("runs", "resume", run_id, *on(wire)).complaint
    assert refused.startswith(f"run {run_id} would pause again: 600 of 2000 tokens are spent or held")
    assert "budget_tokens is 0" in shell("runs", "resume", run_id, "--budget-tokens", "0", *on(wire)).complaint
    resumed = shell("runs", "resume", run_id, "--budget-tokens", "5000", *on(wire))
    assert (resumed.status, resumed.document["status"]) == (0, "succeeded")
    assert resumed.document["budget"]["spent_tokens"] == 1_200


def test_a_dry_run_shows_the_estimate_and_calls_nothing(shell: Shell, wire: OpenAIWire) -> None:
    shown = shell("sparc", "pipeline", "A shop with cart, checkout", "--dry-run", *on(wire))
    assert (shown.status, shown.document["status"]) == (0, "planned")
    assert shown.document["estimate"]["input_tokens"] > 0
    assert wire.requests == []


def test_a_terminal_shows_what_became_of_a_budget(shell: Shell, wire: OpenAIWire) -> None:
    wire.script(answer("done", tokens(500, 3_000)))
    paused = shell("sparc", "batch", "coder", "Login,Logout", "--budget-tokens", "2000", *on(wire))
    console = Console(file=StringIO(), width=100, highlight=False)
    terminal.show(RunView.model_validate(paused.document), console)
    assert isinstance(console.file, StringIO)
    rows = dict(line.split(maxsplit=1) for line in console.file.getvalue().splitlines() if line.startswith("budget."))
    assert {name: value.strip() for name, value in rows.items()} == {
        "budget.tokens": "2000",
        "budget.spent_tokens": "3500",
        "budget.reserved_tokens": "0",
        "budget.over_tokens": "1500",
        "budget.calls_over": "1",
    }


def test_a_dry_run_says_that_a_budget_has_room_for_no_call(shell: Shell, wire: OpenAIWire) -> None:
    asked = ("sparc", "run", "coder", "Login", "--dry-run", *on(wire))
    enough = shell(*asked).document["estimate"]["reserved_tokens"]
    for budget, warned in ((enough, False), (enough - 1, True)):
        step = shell(*asked, "--budget-tokens", str(budget)).document["next_step"]
        assert (f"would pause before its first call: the least that is held for one is {enough} " in step) == warned
        assert step.endswith("do the same without dry_run to start it.")

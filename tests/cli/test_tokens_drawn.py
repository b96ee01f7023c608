"""The count of tokens on a terminal."""

from io import StringIO

from rich.console import Console

from swarmtally.cli import terminal
from swarmtally_tools.tokens import TokensView
from tests.backends.wire import OpenAIWire, answer
from tests.cli.conftest import Shell


def drawn(shell: Shell, *arguments: str, width: int = 140) -> str:
    console = Console(file=StringIO(), width=width, highlight=False)
    terminal.show(TokensView.model_validate(shell("mcp", "token_usage", *arguments).document), console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_groups_stand_above_their_sum_and_what_is_null_has_its_reason(shell: Shell, wire: OpenAIWire) -> None:
    for output in (2, 3):
        wire.script(answer("done", {"prompt_tokens": 10, "completion_tokens": output, "total_tokens": 10 + output}))
    shell("sparc", "batch", "coder,tester", "Login")
    lines = [line.split() for line in drawn(shell, "--group-by", "mode").splitlines()]
    rows = {line[0]: line[1:] for line in lines if line[0] in ("coder", "tester", "all")}
    assert {rows["coder"][1], rows["tester"][1]} == {"12", "13"}
    assert rows["all"] == ["2", "25", "–", "–", "0.0%", "–", "–", "0"]
    assert any(" ".join(line).startswith("billed_tokens, cost_usd: no price list knows") for line in lines)


def test_on_nothing_only_reasons_are_drawn(shell: Shell) -> None:
    text = drawn(shell)
    assert "no call was made in this time" in " ".join(text.split())
    assert "%" not in text


def test_a_narrow_terminal_gets_whole_figures_of_whole_groups_and_is_told_what_is_not_there(
    shell: Shell, wire: OpenAIWire
) -> None:
    agent = shell("sparc", "run", "coder", "Login").document["timeline"][0]["agent_id"]
    rows = {line.split()[0]: line.split()[1:] for line in drawn(shell, "--group-by", "agent").splitlines()}
    for width in (20, 40, 60, 80):
        text = drawn(shell, "--group-by", "agent", width=width)
        assert max(map(len, text.splitlines())) <= width
        narrow = next(line.split() for line in text.splitlines() if line.startswith(agent))
        assert narrow[1:] == rows[agent][: len(narrow) - 1]
        assert "…" not in text
        assert ("Too narrow for" in text) == (len(narrow) <= len(rows[agent]))
        assert width < 80 or len(narrow) > 6

"""What bottleneck_analyze finds is shown on a terminal too: causes hold views of their own."""

from io import StringIO

from rich.console import Console

from swarmtally.cli import terminal
from swarmtally_tools.bottleneck import BottleneckView
from tests.backends.wire import OpenAIWire
from tests.cli.conftest import Shell


def test_causes_are_shown_on_a_terminal(shell: Shell, wire: OpenAIWire) -> None:
    shell("mcp", "swarm_init", "--max-agents", "1")
    shell("sparc", "concurrent", "coder", "A,B,C,D")
    view = BottleneckView.model_validate(shell("mcp", "bottleneck_analyze", "--timeframe", "1h").document)
    assert view.causes, "one agent for four tasks must be seen"
    console = Console(file=StringIO(), width=80, highlight=False)
    terminal.show(view, console)
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    assert view.causes[0].cause in text
    assert "evidence" in text
    commands = [cause.what_if.command for cause in view.causes if cause.what_if and cause.what_if.command]
    assert commands
    shown = "".join(text.split())
    assert "".join(commands[0].split()) in shown, "no other column stands between its lines"

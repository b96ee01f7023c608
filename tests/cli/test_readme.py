"""The README's shell commands, one after the other, as they stand there."""

import re
import shlex
from pathlib import Path

from tests.backends.wire import OpenAIWire
from tests.cli.conftest import Shell

README = Path(__file__).parents[2] / "README.md"


def test_the_readmes_commands_run(shell: Shell, wire: OpenAIWire, place: Path) -> None:
    (place / "work" / "app.py").write_text("print('hello')\n")
    (place / "work" / ".git").mkdir()
    lines = re.findall(r"^swarmtally ((?!.*--model).*)$", README.read_text(), re.MULTILINE)
    assert len(lines) >= 5
    for line in lines:
        result = shell(*shlex.split(line, comments=True))
        assert result.status == 0, (line, result)
    assert list((place / "work" / "out").rglob("*.md")), "--out-dir was named and nothing lies there"

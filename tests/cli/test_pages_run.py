"""The shell examples of the documentation pages, one after the other in a new project, as they stand there."""

import json
import re
import shlex

from swarmtally_tools import pages, registry
from tests.backends.wire import OpenAIWire
from tests.cli.conftest import Shell


def test_the_examples_run_and_give_what_they_say(shell: Shell, wire: OpenAIWire) -> None:
    made = pages.pages()
    for name in registry.MODULES:
        block = re.search(r"```sh\n(.*?)\n```", made[f"{name}.md"], re.DOTALL)
        assert block is not None
        program, *arguments = shlex.split(block[1])
        assert program == "swarmtally"
        result = shell(*arguments)
        assert result.status == 0, result
        assert isinstance(json.loads(result.out), dict)
    found = shell("mcp", "memory_usage", "--action", "retrieve", "--key", "project_context").document
    assert (found["value"], found["tags"]) == ({"language": "Python"}, ["context"])

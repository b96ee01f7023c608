"""The shell examples of the documentation pages, one after the other in a new project, as they stand there."""

import json
import re
import shlex

from swarmtally_tools import pages, registry
from tests.backends.wire import OpenAIWire
from tests.cli.conftest import Shell


def test_the_examples_run_and_give_what_they_say(shell: Shell, wire: OpenAIWire) -> None:
    made = pages.pages()
    known = {}
    for name in registry.MODULES:
        block = re.search(r"```sh\n(.*?)\n```", made[f"{name}.md"], re.DOTALL)
        assert block is not None
        if name == "work_claim":
            hosted = shell("sparc", "batch", "coder", "Login,Logout,Sign-up,Profile", "--model", "host").document
            packet = hosted["packets"][0]
            known = {pages.RUN_ID: hosted["run_id"], pages.TASK_ID: packet["task_id"], pages.LEASE: packet["lease"]}
        program, *arguments = shlex.split(block[1])
        assert program == "swarmtally"
        result = shell(*(known.get(word, word) for word in arguments))
        assert result.status == 0, result
        assert isinstance(json.loads(result.out), dict)
    ended = shell("runs", "show", known[pages.RUN_ID]).document
    assert (ended["status"], ended["tasks"]["succeeded"], ended["tasks"]["cancelled"]) == ("cancelled", 1, 3)
    found = shell("mcp", "memory_usage", "--action", "retrieve", "--key", "project_context").document
    assert (found["value"], found["tags"]) == ({"language": "Python"}, ["context"])

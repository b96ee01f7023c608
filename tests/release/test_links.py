"""The install links add what the documents say they add."""

import base64
import json
import os
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from release import links

ROOT = Path(__file__).parents[2]
INSTALL = (ROOT / "docs" / "install.md").read_text()


def query(link: str) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(urlsplit(link).query, strict_parsing=True).items()}


def test_every_link_decodes_to_the_entry_that_the_documents_show() -> None:
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", INSTALL, re.DOTALL)]
    (shown,) = [block for block in blocks if list(block) == [links.NAME]]
    vscode, cursor, deeplink = query(links.vscode()), query(links.cursor_redirect()), query(links.cursor())
    assert vscode["name"] == cursor["name"] == deeplink["name"] == links.NAME
    assert json.loads(vscode["config"]) == shown[links.NAME]
    assert json.loads(base64.b64decode(cursor["config"], validate=True)) == shown[links.NAME]
    assert deeplink == cursor
    direct = links.vscode_direct().removeprefix("vscode:mcp/install?")
    assert json.loads(unquote(direct)) == {"name": links.NAME, **shown[links.NAME]}


def test_the_entry_starts_a_command_that_is_installed() -> None:
    command, arguments = links.CONFIG["command"], links.CONFIG["args"]
    assert shutil.which(str(command), path=os.path.dirname(sys.executable))  # noqa: PTH120 - a search path is text
    assert list(arguments) == ["serve"]


def test_the_documents_show_these_links() -> None:
    assert links.markdown() in INSTALL
    assert links.markdown() in (ROOT / "README.md").read_text()
    assert links.vscode_direct() in INSTALL
    assert links.cursor() in INSTALL

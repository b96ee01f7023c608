"""Links that have an editor add swarmtally's server, and the Markdown that shows them.

    python -m release.links

A link names no path of a machine, so what it adds starts the `swarmtally` that is found on PATH: not `uvx swarmtally`,
which would run whatever the package index has under that name.
"""

import base64
import json
import sys
from collections.abc import Mapping, Sequence
from urllib.parse import quote

NAME = "swarmtally"
CONFIG: Mapping[str, str | Sequence[str]] = {"command": NAME, "args": ["serve"]}


def vscode() -> str:
    """VS Code's own redirect: pages such as a README may not link to `vscode:` themselves."""
    return f"https://insiders.vscode.dev/redirect/mcp/install?name={NAME}&config={quote(_json(), safe='')}"


def vscode_direct() -> str:
    return f"vscode:mcp/install?{quote(json.dumps({'name': NAME, **CONFIG}, separators=(',', ':')), safe='')}"


def cursor() -> str:
    return f"cursor://anysphere.cursor-deeplink/mcp/install?{_cursor_query()}"


def cursor_redirect() -> str:
    """Cursor's own page, for the same reason."""
    return f"https://cursor.com/en/install-mcp?{_cursor_query()}"


def markdown() -> str:
    """The buttons as README.md and docs/install.md have them."""
    return f"[**Install in VS Code**]({vscode()}) · [**Install in Cursor**]({cursor_redirect()})"


def _cursor_query() -> str:
    return f"name={NAME}&config={quote(base64.b64encode(_json().encode()).decode(), safe='')}"


def _json() -> str:
    return json.dumps(CONFIG, separators=(",", ":"))


if __name__ == "__main__":
    sys.stdout.write("\n".join((markdown(), vscode_direct(), cursor(), "")))

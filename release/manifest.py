"""What the bundle tells Claude Desktop of itself: `manifest.json`, and the project that uv makes an environment of.

The bundle holds the wheel and no dependencies. They are compiled for each system, so the host's uv fetches them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from release.artefacts import ROOT
from swarmtally.version import __version__
from swarmtally_tools import registry

ICON = ROOT / "server" / "swarmtally" / "mcp" / "icon.png"
START = "start.py"
EXTRAS = "anthropic,google,openai"

_UNSET = ""
"""What an answer is that the user did not give; a host leaves the placeholder itself where there is no default."""


def _text(title: str, description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "title": title, "description": description, "required": False, "default": _UNSET, **more}


ASKED: Mapping[str, tuple[str, dict[str, Any]]] = {
    "project": (
        "SWARMTALLY_PROJECT",
        {
            "type": "directory",
            "title": "Project folder",
            "description": "The folder you work on: runs and memory belong to it, deliverables are written inside it.",
            "required": True,
        },
    ),
    "database": (
        "SWARMTALLY_DB",
        _text("Database", "The SQLite file that keeps everything, as an absolute path. Empty: in your data folder."),
    ),
    "model": (
        "SWARMTALLY_MODEL",
        _text("Model", "Empty: Claude does the work. Or a provider's model, such as anthropic:claude-haiku-4-5."),
    ),
    "toolsets": (
        "SWARMTALLY_TOOLSETS",
        _text("Toolsets", "Offer only these groups of tools, with commas between. Empty: all."),
    ),
    "read_only": (
        "SWARMTALLY_READ_ONLY",
        {
            "type": "boolean",
            "title": "Read only",
            "description": "Offer only tools that change nothing.",
            "required": False,
            "default": False,
        },
    ),
    "anthropic_api_key": ("ANTHROPIC_API_KEY", _text("Anthropic key", "For anthropic:… models.", sensitive=True)),
    "openai_api_key": ("OPENAI_API_KEY", _text("OpenAI key", "For openai:… models.", sensitive=True)),
    "gemini_api_key": ("GEMINI_API_KEY", _text("Gemini key", "For google:… models.", sensitive=True)),
}
"""What the user is asked → the variable that the server reads it from, and how it is asked."""


def manifest() -> dict[str, Any]:
    placeholders = {variable: f"${{user_config.{name}}}" for name, (variable, _) in ASKED.items()}
    return {
        "manifest_version": "0.4",
        "name": "swarmtally",
        "display_name": "swarmtally",
        "version": __version__,
        "description": "Runs swarms of AI agents and counts everything they do.",
        "author": {"name": "The swarmtally authors"},
        "license": "Apache-2.0",
        "icon": ICON.name,
        "icons": [{"src": ICON.name, "size": "96x96"}],
        "keywords": ["agents", "swarm", "sparc", "llm"],
        "server": {
            "type": "uv",
            "entry_point": START,
            "mcp_config": {
                "command": "uv",
                "args": ["run", "--directory", "${__dirname}", START, "serve"],
                "env": {**placeholders, "SWARMTALLY_ALLOW": placeholders["SWARMTALLY_PROJECT"]},
            },
        },
        "tools": [{"name": tool.name, "description": tool.title} for tool in registry.load_all()],
        "prompts_generated": True,
        "user_config": {name: asked for name, (_, asked) in ASKED.items()},
        "compatibility": {"platforms": ["darwin", "linux", "win32"], "runtimes": {"python": ">=3.11"}},
    }


def project(wheel: Path) -> str:
    return f"""\
[project]
name = "swarmtally-bundle"
version = "{__version__}"
requires-python = ">=3.11"
dependencies = ["swarmtally[{EXTRAS}]"]

[tool.uv]
package = false

[tool.uv.sources]
swarmtally = {{ path = "{wheel.name}" }}
"""


PROGRAM = '''\
"""What the host starts: the wheel's command."""

from swarmtally.cli.main import main

main()
'''

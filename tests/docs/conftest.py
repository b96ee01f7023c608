from tests.cli.conftest import place, shell, wire
from tests.mcp.conftest import mode

__all__ = ["mode", "place", "shell", "wire"]

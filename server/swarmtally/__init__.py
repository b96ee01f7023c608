"""swarmtally: an MCP server that runs swarms of AI agents and counts everything they do."""

from swarmtally.version import __version__

__all__ = ["__version__"]

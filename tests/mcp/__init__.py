"""The MCP front, driven by the real client."""

"""The MCP front: the only package that imports the SDK, and only in the modules that need it."""

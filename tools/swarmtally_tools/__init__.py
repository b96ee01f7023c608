"""The tools: one module per family, each function the only definition of its MCP tool, shell command and page."""

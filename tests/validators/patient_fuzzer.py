"""mcp-fuzzer, run with its own Python, reading lines longer than asyncio's 64 KiB: our list of tools is one."""

import asyncio
import sys

from mcp_fuzzer.__main__ import run

asyncio.create_subprocess_exec.__kwdefaults__["limit"] = 1 << 20
sys.exit(run())

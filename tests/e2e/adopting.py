"""A program that takes over interrupted runs: its standard input is kept open until it shall end.

usage: python -m tests.e2e.adopting DATABASE PROJECT BASE_URL
"""

import sys

import anyio
import anyio.to_thread

from swarmtally.app import Settings, open_app


async def main(settings: Settings) -> None:
    async with open_app(settings):
        await anyio.to_thread.run_sync(sys.stdin.read)


if __name__ == "__main__":
    database, project, base_url = sys.argv[1:]
    chosen = {"model": "openai:test", "base_url": base_url, "adopt": True}
    anyio.run(main, Settings.gather("mcp", db=database, project=project, **chosen))

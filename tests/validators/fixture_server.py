"""`swarmtally serve` with what a validator of the protocol wants to find besides: see `fixtures`."""

from swarmtally.cli.main import main
from swarmtally.mcp import http
from swarmtally.mcp.calling import OpenApp
from swarmtally.mcp.server import McpServer
from swarmtally_tools.toolsets import Offer
from tests.validators.fixtures import fixed
from tests.validators.task_fixtures import serve_tasks

made = http.make_server


def make_server(open_app: OpenApp, offer: Offer) -> McpServer:
    server = made(open_app, offer)
    serve_tasks(server, open_app)
    return fixed(server)


http.make_server = make_server
main()

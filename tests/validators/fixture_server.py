"""`swarmtally serve` with what a validator of the protocol wants to find besides: see `fixtures`."""

from swarmtally.cli.main import main
from swarmtally.mcp import http
from tests.validators.fixtures import fixed

made = http.make_server
http.make_server = lambda open_app, offer: fixed(made(open_app, offer))
main()

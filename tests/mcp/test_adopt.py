"""`serve --adopt`: a server that takes over what another left behind."""

from pathlib import Path

from tests.backends.wire import Hold, OpenAIWire, held
from tests.cli.conftest import finish, start
from tests.mcp.conftest import RawServer, answered, connected, on_wire, serve_command


async def test_a_killed_servers_run_is_taken_over_by_one_that_adopts(tmp_path: Path, wire: OpenAIWire) -> None:
    wire.script(held(Hold()))
    server = RawServer(serve_command(tmp_path, *on_wire(wire)), tmp_path)
    try:
        server.shake_hands()
        run = server.call("sparc_run", mode="coder", task="Login", wait_s=0)["structuredContent"]
        wire.wait_for_requests(1)
        server.process.kill()
        server.process.wait()
    finally:
        server.clean_up()
    async with connected(tmp_path, "auto", *on_wire(wire), "--adopt") as client:
        view = answered(await client.call_tool("run_status", {"run_id": run["run_id"], "wait_s": 45}))
        while view["run"]["status"] in ("interrupted", "running"):  # it is seen before and while it is taken over
            view = answered(await client.call_tool("run_status", {"run_id": run["run_id"], "wait_s": 45}))
    assert (view["run"]["status"], view["run"]["tasks"]["succeeded"]) == ("succeeded", 1)


def test_adopting_needs_a_model_of_its_own(tmp_path: Path) -> None:
    refused = finish(start("serve", "--adopt", "--db", str(tmp_path / "s.db")))
    assert (refused.status, refused.out) == (2, "")
    assert refused.err.startswith("swarmtally: --adopt needs --model")

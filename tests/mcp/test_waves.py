"""Rounds of a client that lends its model in the protocol of 2026: what is asked, and what comes back in odd ways."""

import json
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from mcp_types import (
    INVALID_PARAMS,
)

from mcp import MCPError
from swarmtally.app import open_app
from swarmtally.domain.run import RunKind
from swarmtally.mcp.waves import Waves
from swarmtally.requests import SparcRequest
from swarmtally.settings import Settings
from tests.mcp.conftest import answered
from tests.mcp.lending import (
    Person,
    all_said,
    call,
    first_round,
    lending,
    next_round,
    rows,
    said,
    serving,
    unchecked,
)

__all__ = ["unchecked"]


async def test_one_wave_asks_for_all_that_is_ready(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, lending(server, "auto", Person()) as client:
        await call(client, "swarm_init", max_agents=15)
        tasks = [f"task {number}" for number in range(20)]
        asked = await first_round(client, "sparc_concurrent", mode="coder", tasks=tasks)
        assert len(asked.input_requests or {}) == 15
        rest = await next_round(client, asked, all_said(asked), "sparc_concurrent", mode="coder", tasks=tasks)
        assert len(rest.input_requests) == 5


async def test_a_round_that_comes_twice_counts_once(tmp_path: Path) -> None:
    asking = {"mode": "coder", "tasks": ["A", "B"], "wait_s": 0}
    async with serving(tmp_path) as server, lending(server, "auto", Person()) as client:
        asked = await first_round(client, "sparc_concurrent", **asking)
        first = answered(await next_round(client, asked, all_said(asked), "sparc_concurrent", **asking))
        again = answered(await next_round(client, asked, all_said(asked), "sparc_concurrent", **asking))
        assert (first["status"], again["status"]) == ("succeeded", "succeeded")
        assert first["run_id"] == again["run_id"]
    assert rows(tmp_path, "SELECT COUNT(*) FROM run") == [(1,)]
    assert rows(tmp_path, "SELECT COUNT(*), SUM(status = 'succeeded') FROM attempt") == [(2, 2)]


async def test_who_finds_every_agent_busy_for_others_is_told_what_to_do(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, lending(server, "auto", Person()) as client:
        await call(client, "swarm_init", max_agents=2)
        # Whoever asked for these has gone.
        left = await first_round(client, "sparc_concurrent", mode="coder", tasks=["A", "B"])
        assert len(left.input_requests or {}) == 2
        run = await call(client, "sparc_run", mode="coder", task="C", wait_s=0)
        assert "raise its size with swarm_scale, or cancel with run_control" in run["next_step"]
        (other,) = [each for each in (await call(client, "run_status"))["runs"] if each["run_id"] != run["run_id"]]
        await call(client, "run_control", run_id=other["run_id"], action="cancel")
        ended = (await call(client, "run_status", run_id=run["run_id"], wait_s=45))["run"]
        assert ended["status"] == "succeeded"
        assert "swarm_scale" not in ended["next_step"]


async def test_what_a_round_leaves_out_is_asked_again(tmp_path: Path) -> None:
    asking = {"mode": "coder", "tasks": ["A", "B"]}
    async with serving(tmp_path) as server, lending(server, "auto", Person()) as client:
        asked = await first_round(client, "sparc_concurrent", **asking)
        one, other = asked.input_requests or {}
        rest = await next_round(client, asked, {one: said("# one")}, "sparc_concurrent", **asking)
        assert list(rest.input_requests) == [other]
        run = answered(await next_round(client, rest, all_said(rest), "sparc_concurrent", **asking))
        assert run["status"] == "succeeded"
        # The lease that was given back is nobody's any more.
        late = await next_round(client, asked, {other: said("# late")}, "sparc_concurrent", **asking)
        assert answered(late)["status"] == "succeeded"
    assert rows(tmp_path, "SELECT COUNT(*) FROM artefact WHERE text = '# late'") == [(0,)]
    assert ("its packet was given back before an answer came",) in rows(tmp_path, "SELECT reason FROM usage")


async def test_a_wave_that_cannot_be_asked_is_given_back(tmp_path: Path) -> None:
    gather = partial(Settings.gather, "mcp", db=str(tmp_path / "swarm.db"), project="test", cwd=tmp_path)
    async with open_app(await anyio.to_thread.run_sync(gather)) as app:
        request = SparcRequest(RunKind.RUN, ("coder",), ("A",), model="sampling")
        run_id = (await app.start(request)).run_id
        waves = Waves(app)
        with suppress(ArithmeticError):
            async with waves.lent():
                await waves.work(run_id, 0)
                assert waves.asked() is not None
                raise ArithmeticError
        assert len((await (await app.packets()).claim(1, run_id=run_id)).packets) == 1


async def test_a_state_tampered_with_or_of_another_call_is_refused(tmp_path: Path) -> None:
    asking = {"mode": "coder", "task": "A"}
    async with serving(tmp_path) as server, lending(server, "auto", Person()) as client:
        asked = await first_round(client, "sparc_run", **asking)
        other = await first_round(client, "sparc_run", mode="coder", task="B")
        sealed = asked.request_state
        assert sealed is not None
        assert asked.input_requests is not None
        # A client can read nothing of it.
        assert next(iter(asked.input_requests)) not in sealed
        place = len(sealed) // 2
        flipped = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
        plain = json.dumps({"run_id": "r_1", "rounds": 0, "notes": "", "leases": {}})
        before = rows(tmp_path, "SELECT * FROM attempt")
        for state in (flipped, plain, sealed[:-1], other.request_state, ""):
            with pytest.raises(MCPError) as refused:
                await client.session.call_tool(
                    "sparc_run",
                    asking,
                    input_responses={key: said("# forged") for key in asked.input_requests},
                    request_state=state,
                    allow_input_required=True,
                )
            assert refused.value.code == INVALID_PARAMS
        with pytest.raises(MCPError, match="without the requestState"):
            await client.session.call_tool(
                "sparc_run", asking, input_responses={"t": said("# forged")}, allow_input_required=True
            )
        assert rows(tmp_path, "SELECT * FROM attempt") == before
        assert answered(await next_round(client, asked, all_said(asked), "sparc_run", **asking))["status"] == (
            "succeeded"
        )


async def test_a_state_of_another_process_is_refused(tmp_path: Path) -> None:
    asking = {"mode": "coder", "task": "A"}
    async with serving(tmp_path) as server, lending(server, "auto", Person()) as client:
        asked = await first_round(client, "sparc_run", **asking)
    async with serving(tmp_path) as server, lending(server, "auto", Person()) as client:
        with pytest.raises(MCPError, match="Invalid or expired"):
            await next_round(client, asked, all_said(asked), "sparc_run", **asking)


async def test_a_call_stops_asking_before_a_client_s_own_limit_and_the_next_goes_on(tmp_path: Path) -> None:
    person = Person()
    tasks = [f"task {number}" for number in range(12)]
    async with serving(tmp_path, max_parallel=1) as server, lending(server, "auto", person) as client:
        run = await call(client, "sparc_concurrent", mode="coder", tasks=tasks)
        assert (run["status"], run["tasks"]["succeeded"], len(person.asked)) == ("waiting_for_host", 9, 9)
        assert "call run_status with run_id" in run["next_step"]
        run = (await call(client, "run_status", run_id=run["run_id"], wait_s=45))["run"]
        assert (run["status"], len(person.asked)) == ("succeeded", 12)

"""Completions of prompts' arguments and of resource templates' variables."""

from pathlib import Path

import pytest
from mcp_types import INVALID_PARAMS, Completion, PromptReference, ResourceTemplateReference

from mcp import Client, MCPError
from swarmtally.mcp.exercises import TOPOLOGIES
from tests.mcp.conftest import Mode, answered, in_memory

RUN = "swarm://runs/{id}"
ARTEFACT = "swarm://runs/{id}/artifacts/{name}"
ENTRY = "memory://{namespace}/{key}"


async def of_template(client: Client, uri: str, name: str, typed: str, **known: str) -> Completion:
    ref = ResourceTemplateReference(uri=uri)
    return (await client.complete(ref, {"name": name, "value": typed}, known or None)).completion


async def of_prompt(client: Client, prompt: str, name: str, typed: str) -> list[str]:
    return (await client.complete(PromptReference(name=prompt), {"name": name, "value": typed})).completion.values


async def store(client: Client, key: str, namespace: str = "default", **more: float) -> None:
    answered(
        await client.call_tool(
            "memory_usage", {"action": "store", "key": key, "value": 1, "namespace": namespace, **more}
        )
    )


async def test_runs_agents_and_swarms_are_completed_newest_first(tmp_path: Path, mode: Mode) -> None:
    async with in_memory(tmp_path, mode) as client:
        swarms = [answered(await client.call_tool("swarm_init", {}))["swarm_id"] for _ in range(2)]
        runs = [
            answered(await client.call_tool("sparc_run", {"mode": "coder", "task": "x"}))["run_id"] for _ in range(3)
        ]
        spawned = answered(await client.call_tool("agent_spawn", {"type": "tester"}))
        found = await of_template(client, RUN, "id", "")
        assert (found.values, found.total, found.has_more) == (runs[::-1], 3, False)
        assert (await of_template(client, RUN, "id", runs[0])).values == [runs[0]]
        assert (await of_template(client, RUN, "id", runs[1][4:].upper())).values == [runs[1]]
        assert (await of_prompt(client, "work_on_run", "run_id", "r_"))[0] == runs[2]
        assert await of_prompt(client, "sparc_coder", "swarm_id", "s_") == swarms[::-1]
        assert (await of_prompt(client, "agent_report", "agent_id", "a_"))[0] == spawned["agents"][0]["agent_id"]
        assert await of_prompt(client, "work_on_run", "role", "test") == ["tester"]


async def test_deliverables_of_the_run_named_beside_are_completed(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        started = answered(await client.call_tool("sparc_run", {"mode": "coder", "task": "x"}))
        packet = started["packets"][0]
        report = {"task_id": packet["task_id"], "lease": packet["lease"], "output": "# Done"}
        answered(await client.call_tool("work_report", report))
        shown = answered(await client.call_tool("run_status", {"run_id": started["run_id"]}))["run"]
        names = [artefact["name"] for artefact in shown["artefacts"]]
        assert (await of_template(client, ARTEFACT, "name", "", id=started["run_id"])).values == names
        assert (await of_template(client, ARTEFACT, "name", "", id="r_000000000000")).values == []
        assert (await of_template(client, ARTEFACT, "name", "")).values == []


async def test_keys_begin_as_typed_or_hold_it_in_the_namespace_named_beside(tmp_path: Path, mode: Mode) -> None:
    async with in_memory(tmp_path, mode) as client:
        for key in ("api_specs", "my_API", "api_keys", "other"):
            await store(client, key)
        await store(client, "api_elsewhere", "second")
        inside = await of_template(client, ENTRY, "key", "api", namespace="default")
        assert (inside.values, inside.total) == (["api_keys", "api_specs", "my_API"], 3)
        anywhere = await of_template(client, ENTRY, "key", "api")
        assert anywhere.values == ["api_elsewhere", "api_keys", "api_specs", "my_API"]
        assert (await of_template(client, ENTRY, "namespace", "")).values == ["second", "default"]
        assert (await of_template(client, ENTRY, "namespace", "eco")).values == ["second"]
        for nowhere in ("p%s", "\0", "api\0"):
            assert (await of_template(client, ENTRY, "key", nowhere, namespace="default")).values == []


async def test_at_most_100_values_are_given_and_the_rest_counted(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        await client.call_tool("swarm_init", {"max_agents": 2_000})
        answered(await client.call_tool("agent_spawn", {"type": "coder", "count": 150}))
        ref = PromptReference(name="agent_report")
        found = (await client.complete(ref, {"name": "agent_id", "value": "a_"})).completion
        assert (len(found.values), found.total, found.has_more) == (100, 150, True)
        answered(await client.call_tool("agent_spawn", {"type": "coder", "count": 1_500}))
        found = (await client.complete(ref, {"name": "agent_id", "value": "a_"})).completion
        assert (len(found.values), found.total, found.has_more) == (100, None, True)


async def test_other_projects_are_not_told_of(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        await store(client, "secret_key", "secret_namespace")
        await client.call_tool("swarm_init", {})
        answered(await client.call_tool("sparc_run", {"mode": "coder", "task": "x"}))
    async with in_memory(tmp_path, project="another") as client:
        assert (await of_template(client, ENTRY, "key", "secret")).values == []
        assert (await of_template(client, ENTRY, "namespace", "")).values == []
        assert (await of_template(client, RUN, "id", "")).values == []
        assert await of_prompt(client, "agent_report", "agent_id", "") == []


async def test_choices_are_completed_and_free_text_is_not(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        assert await of_prompt(client, "tutorial_ecommerce", "topology", "") == list(TOPOLOGIES)
        assert await of_prompt(client, "tutorial_ecommerce", "topology", "r") == ["ring", "star", "hierarchical"]
        assert await of_prompt(client, "sparc_coder", "task", "Log") == []


async def test_modes_and_roles_are_completed_in_lists_too(tmp_path: Path, mode: Mode) -> None:
    async with in_memory(tmp_path, mode) as client:
        modes = await of_prompt(client, "tutorial_api_development", "modes", "")
        assert {"architect", "coder", "tester"} < set(modes)
        assert await of_prompt(client, "tutorial_data_analysis", "mode", "data-p") == ["data-pipeline"]
        begun = await of_prompt(client, "tutorial_api_development", "modes", "coder,  my, archi")
        assert begun == ["coder,  my, architect"]
        assert await of_prompt(client, "tutorial_parallel_execution", "modes", "coder,") == [
            f"coder, {m}" for m in modes
        ]
        assert await of_prompt(client, "tutorial_agent_coordination", "roles", "tester,cod") == ["tester, coder"]
        assert await of_prompt(client, "tutorial_data_analysis", "mode", "coder, archi") == []
        given = await client.get_prompt("tutorial_api_development", {"modes": "coder, tester"})
    assert '"coder","tester"' in str(given.messages[0].content).replace(" ", "").replace("\\n", "")


WRONG = (
    (PromptReference(name="sparc_codr"), "task", "did you mean 'sparc_coder'"),
    (PromptReference(name="sparc_coder"), "tsk", "did you mean 'task'"),
    (ResourceTemplateReference(uri="swarm://run/{id}"), "id", "did you mean 'swarm://runs/{id}'"),
    (ResourceTemplateReference(uri=RUN), "name", "it takes id"),
)


async def test_what_there_is_not_is_refused(tmp_path: Path, mode: Mode) -> None:
    async with in_memory(tmp_path, mode) as client:
        for ref, argument, line in WRONG:
            with pytest.raises(MCPError) as caught:
                await client.complete(ref, {"name": argument, "value": ""})
            assert caught.value.error.code == INVALID_PARAMS
            assert line in caught.value.error.message


async def test_an_entry_that_has_expired_is_not_suggested(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        await store(client, "gone", "brief", ttl=1e-6)
        await store(client, "here")
        assert (await of_template(client, ENTRY, "key", "")).values == ["here"]
        assert (await of_template(client, ENTRY, "namespace", "")).values == ["default"]

"""Estimates of input: recorded with each call, learned from what was reported, and next to free."""

from dataclasses import replace
from pathlib import Path

from swarmtally.core.counting import LEAST_CALLS, Counter
from swarmtally.core.ports import BackendInfo, Prompt
from swarmtally.domain.usage import TokenUsage
from swarmtally.store import usage
from swarmtally.store.connection import Connection
from tests.core.harness import ScriptedBackend, Swarmed, swarmed, task

PROMPT = Prompt("", ("x" * 998,))
"""Of 1,000 bytes with what joins its parts."""


async def estimated(swarm: Swarmed, counter: Counter | None = None) -> int:
    return (await (counter or Counter()).estimate(swarm.database, swarm.backend.info, PROMPT)).tokens


async def test_calls_are_estimated_from_what_earlier_ones_reported(tmp_path: Path) -> None:
    # Prompts of 9 bytes with 3 tokens: 3 bytes a token.
    backend = ScriptedBackend(max_parallel=1, usage=TokenUsage(3, 5))
    async with swarmed(tmp_path, backend) as swarm:
        await swarm.run(*[task(key) for key in "abcdefgh"])
        rows = await swarm.rows("SELECT estimated_tokens FROM usage ORDER BY usage_id")
        assumed, learned = [row["estimated_tokens"] for row in rows][:LEAST_CALLS], rows[-1]["estimated_tokens"]
        assert (assumed, learned) == ([5] * LEAST_CALLS, 3)
        estimate = await Counter().estimate(swarm.database, backend.info, PROMPT)
        assert (estimate.tokens, estimate.n, estimate.error, estimate.reason) == (334, 8, 0.0, None)
        assert estimate.basis == "3.00 bytes a token, the median of the model's last 8 calls"


async def test_nothing_is_learned_from_clients_failures_or_other_models(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(usage=TokenUsage(3, 5))) as swarm:
        await swarm.run(*[task(key) for key in "abcdefgh"])
        for other in ("source = 'client'", "status = 'unknown'", "model = 'another'"):
            assert await estimated(swarm) == 334

            async def unit(tx: Connection, other: str = other) -> None:
                await tx.rows(f"UPDATE usage SET {other} WHERE usage_id <= 4")

            await swarm.database.write(unit)
            estimate = await Counter().estimate(swarm.database, swarm.backend.info, PROMPT)
            assert (estimate.tokens, estimate.error) == (500, None)
            assert estimate.reason == "4 calls of this model reported tokens; an error needs at least 5"
            await swarm.database.write(
                lambda tx: tx.rows("UPDATE usage SET source = 'reported', status = 'reported', model = 'scripted'")
            )


async def test_the_database_is_not_asked_for_each_call(tmp_path: Path) -> None:
    async with swarmed(tmp_path, ScriptedBackend(usage=TokenUsage(3, 5))) as swarm:
        await swarm.run(task("a"))
        reads = 0
        read = swarm.database.read

        async def counted(unit):
            nonlocal reads
            reads += 1
            return await read(unit)

        swarm.database.read = counted
        counter = Counter()
        for _ in range(3_000):
            await estimated(swarm, counter)
        assert reads < 40


async def test_a_tokenizer_counts_where_a_backend_has_one(tmp_path: Path) -> None:
    class Words:
        name = "words"

        def count(self, text: str) -> int:
            return len(text.split())

    class Exact(ScriptedBackend):
        @property
        def info(self) -> BackendInfo:
            return replace(super().info, tokenizer=Words())

    async with swarmed(tmp_path, Exact()) as swarm:
        await swarm.run(task("two words"))
        (row,) = await swarm.rows("SELECT estimated_tokens FROM usage")
        assert row["estimated_tokens"] == 3
        estimate = await Counter().estimate(swarm.database, swarm.backend.info, PROMPT)
        assert (estimate.n, estimate.error, estimate.basis) == (None, None, "counted by tokenizer words")


async def test_only_the_newest_calls_of_a_model_that_never_reports_are_looked_at(tmp_path: Path) -> None:
    async with swarmed(tmp_path) as swarm:
        await swarm.run(task("a"))
        columns = "run_id, task_id, number, agent_id, backend, model, opened_ns, prompt_bytes, prompt_sha256, digested"
        more = (
            f"INSERT INTO usage ({columns}, closed_ns, status) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1"
            f" FROM n WHERE i < {usage.NEWEST_CALLS}) SELECT {columns}, closed_ns + i, 'unknown' FROM usage, n"
        )
        await swarm.database.write(lambda tx: tx.rows(more))
        found = await swarm.database.read(lambda tx: usage.reported_sizes(tx, "scripted", "scripted", 200))
        assert found == []

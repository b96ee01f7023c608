"""A plan is added whole, however many pieces its rows are written in."""

from swarmtally.domain.ids import task_id
from swarmtally.store import tasks
from swarmtally.store.connection import Connection, Row
from swarmtally.store.database import Database
from swarmtally.store.tasks import RunScope
from tests.core.harness import task

SCOPE = RunScope("r", "p", "s")


async def test_a_plan_of_several_pieces_is_one_run(database: Database) -> None:
    size = 2 * tasks.INSERTED + 1
    # Each needs the one that comes as far from the end as it does from the beginning: across all borders, both ways.
    plan = [task(f"k{number}", *([f"k{size - number}"] if number > size // 2 else [])) for number in range(size)]
    await database.write(_run)
    await database.write(lambda tx: tasks.insert(tx, SCOPE, plan[:1], 7))
    await database.write(lambda tx: tasks.insert(tx, SCOPE, plan[1:], 8))
    made, events, edges = await database.read(_rows)
    assert [(row["ordinal"], row["key"], row["task_id"]) for row in made] == [
        (ordinal, each.key, task_id("r", ordinal)) for ordinal, each in enumerate(plan)
    ]
    assert [row["status"] for row in made] == ["blocked" if each.depends_on else "ready" for each in plan]
    assert [row["pending"] for row in made] == [len(each.depends_on) for each in plan]
    assert [(row["task_id"], row["kind"]) for row in events] == [
        (row["task_id"], f"task.{row['status']}") for row in made
    ]
    assert edges == {(f"k{number}", f"k{size - number}") for number in range(size // 2 + 1, size)}


async def _run(tx: Connection) -> None:
    await tx.rows("INSERT INTO project (project, created_ns) VALUES ('p', 1)")
    await tx.rows(
        "INSERT INTO run (run_id, project, swarm_id, kind, task, context, backend, status, created_ns, lease_epoch,"
        " lease_expires_ns) VALUES ('r', 'p', 's', 'batch', '', '[]', '{}', 'queued', 1, 1, 0)"
    )


async def _rows(tx: Connection) -> tuple[list[Row], list[Row], set[tuple[str, str]]]:
    edges = await tx.rows(
        "SELECT one.key AS key, other.key AS needs FROM dependency JOIN task AS one USING (task_id)"
        " JOIN task AS other ON other.task_id = depends_on"
    )
    return (
        await tx.rows("SELECT * FROM task ORDER BY ordinal"),
        await tx.rows("SELECT * FROM event ORDER BY event_id"),
        {(row["key"], row["needs"]) for row in edges},
    )

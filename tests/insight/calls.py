"""Calls that a test makes up, and what is counted of them."""

import tempfile
from pathlib import Path
from typing import Any

from swarmtally.domain.clock import NS_PER_S
from swarmtally.domain.run import RunKind
from swarmtally.insight import tokens
from swarmtally.insight.tokens import Tokens
from swarmtally.insight.window import Window
from swarmtally.store.tokens import Group
from tests.insight.history import NOW_NS, Given, History, database_of

BEGUN_NS = NOW_NS - 3_600 * NS_PER_S

ALWAYS = Window(0, NOW_NS)


def past(*projects: str) -> History:
    """Projects with a swarm each, `s_` and its name, and no calls."""
    made = History()
    for project in projects or ("p",):
        made.project(project)
        made.swarm(f"s_{project}", project)
    return made


def a_run(made: History, run_id: str, project: str = "p", kind: str = "pipeline", **given: Any) -> None:
    made.run(run_id, project, given.pop("swarm_id", f"s_{project}"), BEGUN_NS, kind=kind, **given)


def a_task(made: History, task_id: str, run_id: str, mode: str) -> None:
    made.task(task_id, run_id, "succeeded")
    made.rows[-1][1]["mode"] = mode


def a_call(made: History, run_id: str, task_id: str, second: float, **given: Any) -> None:
    """A call opened so many seconds after the beginning, answered in one; priced unless the test says otherwise."""
    opened_ns = BEGUN_NS + round(second * NS_PER_S)
    priced: Given = {"cost_nanousd": 1_000, "output_weight": 5.0, "cache_read_weight": 0.1, "price_date": "2026-11-09"}
    given = {"opened_ns": opened_ns, "source": "reported", "delivered": 1, **priced, **given}
    made.call(run_id, task_id, given.pop("number", 1), given.pop("closed_ns", opened_ns + NS_PER_S), **given)


UNKNOWN: Given = {
    "status": "unknown",
    "delivered": 0,
    **dict.fromkeys(("input_tokens", "output_tokens", "source", "cost_nanousd", "output_weight", "price_date")),
    "cache_read_weight": None,
}

UNPRICED: Given = dict.fromkeys(("cost_nanousd", "output_weight", "price_date", "cache_read_weight"))


async def counted(
    made: History,
    empty: Path,
    *,
    project: str = "p",
    swarm_id: str | None = None,
    window: Window = ALWAYS,
    kind: RunKind | None = None,
    group: Group = Group.OPERATION,
) -> Tokens:
    with tempfile.TemporaryDirectory() as folder:
        async with database_of(made, empty, Path(folder, "swarm.db")) as database:
            return await tokens.usage(database, project, swarm_id, window, kind, group)

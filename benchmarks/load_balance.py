"""Planning tasks for agents: how long it takes, and the makespan beside its limit, of plain list and plan."""

import random
import time

from swarmtally.insight.balance import Item, Worker
from swarmtally.insight.swapping import Plan, plan

ROLES = ("researcher", "coder", "tester", "reviewer")

SIZES = ((12, 4), (50, 8), (200, 20), (1_000, 100), (10_000, 100))
"""(tasks, agents)."""


def run(smoke: bool) -> list[str]:
    instances = 2 if smoke else 10
    lines = ["makespan / limit: the limit is work, chains and each role's own agents; 1 is the least there can be"]
    for tasks, agents in SIZES:
        plans, elapsed = [], []
        for seed in range(instances):
            items, workers = _instance(tasks, agents, seed)
            started = time.perf_counter()
            plans.append(plan(items, workers))
            elapsed.append(time.perf_counter() - started)
        took = f"{_median(elapsed) * 1e3:5.0f} ms (longest {max(elapsed) * 1e3:5.0f})"
        plain = [one.list_makespan_ns / one.bounds.floor_ns for one in plans]
        ours = [one.makespan_ns / one.bounds.floor_ns for one in plans]
        lines.append(
            f"{tasks:6,} tasks x {agents:3} agents   {took}"
            f"   list {_median(plain):.4f} (worst {max(plain):.4f})   plan {_median(ours):.4f} (worst {max(ours):.4f})"
            f"   shorter by {max(map(_gain, plans)):.1%} at most"
        )
    return lines


def _instance(tasks: int, agents: int, seed: int) -> tuple[list[Item], list[Worker]]:
    """Tasks of 1 to 60 s that wait for up to two earlier ones, and agents of each role in turn, all free."""
    draw = random.Random(seed)
    items = [
        Item(
            f"t{number:05}",
            draw.choice(ROLES),
            round(draw.uniform(1, 60) * 1e9),
            0,
            tuple(f"t{other:05}" for other in draw.sample(range(number), min(number, draw.randint(0, 2)))),
        )
        for number in range(tasks)
    ]
    return items, [Worker(f"a{number}", ROLES[number % len(ROLES)]) for number in range(agents)]


def _gain(made: Plan) -> float:
    return 1 - made.makespan_ns / made.list_makespan_ns


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]

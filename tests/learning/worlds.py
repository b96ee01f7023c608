"""Rows of a world whose law a test knows."""

import random

from swarmtally.learning.rows import TrainingRow


def speed_up(agents: int) -> float:
    return agents / (1 + 0.1 * (agents - 1) + 0.02 * agents * (agents - 1))


def world(n: int, seed: int = 1, source: str = "given", level: str = "run") -> list[TrainingRow]:
    """`n` rows: a mesh takes 30 s for a task and a star 20 s, and agents share the work by the Universal Scalability
    Law with sigma 0.1 and kappa 0.02, which is best for 6.7; a task uses 100 tokens. Noise of 5 %."""
    draw = random.Random(seed)
    rows = []
    for number in range(n):
        topology, agents, tasks = (
            draw.choice(["mesh", "star"]),
            draw.choice([1, 2, 3, 4, 6, 8, 12, 16]),
            draw.randint(4, 40),
        )
        speed = speed_up(agents) * draw.lognormvariate(0, 0.05)
        rows.append(
            TrainingRow(
                at_ns=number + 1,
                source=source,  # type: ignore[arg-type]
                level=level,  # type: ignore[arg-type]
                duration_s={"mesh": 30, "star": 20}[topology] * tasks / speed,
                success=draw.random() < 0.9,
                tokens=round(100 * tasks * draw.lognormvariate(0, 0.05)),
                mode="batch",
                topology=topology,
                agents=agents,
                tasks=tasks,
            )
        )
    return rows


def as_given(rows: list[TrainingRow]) -> list[dict[str, object]]:
    """The same as somebody would give them."""
    names = ("level", "duration_s", "success", "tokens", "mode", "topology", "agents", "tasks")
    return [{name: getattr(row, name) for name in names} for row in rows]

"""What bottleneck_analyze predicts, and what then happens: each cause is planted in a real run, the suggested command
is applied as it stands (or, where there is none, the trouble ends), and the same run is made again."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import losses
from benchmarks.model_server import Answers, model_server
from benchmarks.planted import Planted, Shell


@dataclass(frozen=True)
class Scenario:
    """A swarm, a run in it, and the limit that holds it back."""

    cause: str
    swarm: tuple[str, ...]
    parallel: int
    mode: str = "coder"
    server_takes: int = 1_000
    """Calls at once beyond which the server refuses."""


SCENARIOS = (
    Scenario("backend_saturation", ("--max-agents", "16"), 2),
    Scenario("agent_starvation", ("--max-agents", "2"), 16),
    Scenario("agents_and_backend", ("--max-agents", "3"), 3),
    Scenario("role_shortage", ("--max-agents", "1", "--strategy", "specialized"), 16, mode="tester"),
    Scenario("rate_limit", ("--max-agents", "16"), 12, server_takes=4),
)


def run(smoke: bool) -> list[str]:
    tasks, took_s = (6, 0.3) if smoke else (16, 1.0)
    lines = [_limited(scenario, tasks, took_s) for scenario in (SCENARIOS[:2] if smoke else SCENARIOS)]
    for proof in losses.PROOFS[:1] if smoke else losses.PROOFS:
        with tempfile.TemporaryDirectory() as folder:
            lines.append(proof(Path(folder), took_s))
    return lines


def _limited(scenario: Scenario, tasks: int, took_s: float) -> str:
    answers = Answers(took_s, scenario.server_takes)
    with tempfile.TemporaryDirectory() as folder, model_server(answers) as url:
        shell = Shell(Path(folder), {"SWARMTALLY_MAX_PARALLEL": str(scenario.parallel)})
        shell.use(url)
        swarm_id = shell.swarm(*scenario.swarm)
        before_s = shell.tasks(tasks, scenario.mode)
        planted = Planted(scenario.cause, before_s, shell.analysis(swarm_id))
        shell.apply(planted.command)
        return planted.line(shell.tasks(tasks, scenario.mode))

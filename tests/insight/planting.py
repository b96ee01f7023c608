"""Rows of a run, as a test writes them: what was claimed when, by whom, and what came of it."""

from dataclasses import dataclass, replace

from swarmtally.domain.run import BackendChoice, NewRun, Run, RunKind, RunStatus
from swarmtally.domain.swarm import Agent, AgentStatus, Strategy, Swarm, Topology
from swarmtally.domain.task import NewTask
from swarmtally.store import agents, runs, swarms, tasks
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from swarmtally.store.tasks import RunScope

BEGIN_NS = 1_700_000_000_000_000_000
"""Second 0 of every planted run."""

MODEL = BackendChoice("model", "openai:test", None, "planted", None)


@dataclass(frozen=True)
class Try:
    """An attempt, in seconds after the run's begin."""

    agent: int
    ready: float
    claimed: float
    took: float
    before: float = 0
    after: float = 0
    cause: str | None = None
    status: str = "succeeded"


@dataclass(frozen=True)
class Planted:
    task: NewTask
    tries: tuple[Try, ...]


@dataclass(frozen=True)
class Limits:
    """What the run was allowed."""

    max_parallel: int | None = 8
    max_agents: int = 16
    bound: str | None = "latency"
    strategy: Strategy = Strategy.BALANCED
    choice: BackendChoice = MODEL


def in_turn(keys: list[NewTask], places: int, took: float, first_agent: int = 0) -> list[Planted]:
    """Tasks without needs, `places` at a time, each as long as the others."""
    made = []
    for number, task in enumerate(keys):
        agent, begins = first_agent + number % places, number // places * took
        made.append(Planted(task, (Try(agent, 0, begins, took),)))
    return made


def ns(seconds: float) -> int:
    return BEGIN_NS + round(seconds * 1e9)


async def plant(
    database: Database, limits: Limits, planted: list[Planted], roles: dict[int, str], run: int = 1, at: float = 0
) -> str:
    """Write the run, made at second `at`; `roles` are those of the agents that are new, by number. They joined a second
    before. Returns the swarm's id."""
    swarm = Swarm("s_1", "test", "s_1", Topology.STAR, limits.strategy, limits.max_agents, None, ns(-2))
    new = NewRun(RunKind.BATCH, "planted", (), None, limits.choice)
    made = Run(
        run_id=f"r_{run}", project="test", swarm_id="s_1", kind=new.kind, task="planted", context=(), out_dir=None,
        backend=new.backend, status=RunStatus.QUEUED, reason=None, shape=None, shape_reason=None,
        created_ns=ns(at), started_ns=None, finished_ns=None, lease_owner=None, lease_epoch=1, lease_expires_ns=0,
    )  # fmt: skip
    end = max(one.claimed + one.before + one.took + one.after for each in planted for one in each.tries)

    async def unit(tx: Connection) -> None:
        if run == 1:
            await swarms.insert(tx, swarm)
        await tx.rows("UPDATE swarm SET max_agents = :agents", {"agents": limits.max_agents})
        if roles:
            assert await agents.make_room(tx, "s_1", len(roles))
            await agents.insert(tx, [_agent(number, role, at - 1) for number, role in roles.items()])
        await runs.insert(tx, made)
        await tasks.insert(tx, RunScope(made.run_id, "test", "s_1"), [each.task for each in planted], ns(at))
        rows = [{**_row(each.task.key, number, one, len(each.tries)), "run": made.run_id} for each in planted
                for number, one in enumerate(each.tries, 1)]  # fmt: skip
        await tx.many(
            "INSERT INTO attempt (task_id, number, epoch, agent_id, status, ready_ns, claimed_ns, begun_ns, started_ns,"
            " ended_ns, committed_ns, exec_ns, cause, final) SELECT task_id, :number, 1, :agent, :status, :ready,"
            " :claimed, :claimed, :started, :ended, :committed, :exec, :cause, :final"
            " FROM task WHERE run_id = :run AND key = :key",
            rows,
        )
        await tx.rows(
            "UPDATE task SET status = 'succeeded', finished_ns = :end WHERE run_id = :run",
            {"end": ns(end), "run": made.run_id},
        )
        await tx.rows(
            "UPDATE run SET status = 'succeeded', started_ns = :begin, finished_ns = :end, max_parallel = :parallel,"
            " bound = :bound, places = MIN(:agents, COALESCE(:parallel, :agents))"
            " WHERE run_id = :run",
            {"run": made.run_id, "begin": ns(at), "end": ns(end), "parallel": limits.max_parallel,
             "bound": limits.bound, "agents": limits.max_agents},
        )  # fmt: skip

    await database.write(unit)
    return swarm.swarm_id


def _agent(number: int, role: str, at: float) -> Agent:
    return Agent(
        f"a_{number:03}", "s_1", role, "planted", (), AgentStatus.IDLE, False, None, ns(at) + number, 0, 0, ns(at)
    )


def _row(key: str, number: int, one: Try, tries: int) -> dict[str, object]:
    started = one.claimed + one.before
    lost = one.status == "lost"
    return {
        "key": key,
        "number": number,
        "agent": f"a_{one.agent:03}",
        "status": "failed" if one.cause else one.status,
        "ready": ns(one.ready),
        "claimed": ns(one.claimed),
        "started": None if lost else ns(started),
        "ended": None if lost else ns(started + one.took),
        "committed": ns(started + one.took + one.after),
        "exec": None if lost else round(one.took * 1e9),
        "cause": one.cause,
        "final": number == tries,
    }


@dataclass(frozen=True)
class Sampled:
    """A resource sample of one second that ended at `at`, in seconds after the run's begin."""

    at: float
    cpu_ns: int = 500_000_000
    rss_bytes: int = 100
    sent: int | None = 10
    received: int | None = 20
    stall_ns: int | None = None
    lock_ns: int = 0
    owner: str = "here:1:1"


async def sample(database: Database, *samples: Sampled) -> None:
    rows = [
        {"at": ns(each.at), "cpu": each.cpu_ns, "rss": each.rss_bytes, "sent": each.sent, "received": each.received,
         "stall": each.stall_ns, "lock": each.lock_ns, "owner": each.owner} for each in samples
    ]  # fmt: skip
    await database.write(
        lambda tx: tx.many(
            "INSERT INTO resource_sample (at_ns, project, owner, interval_ns, cpu_ns, rss_bytes, children,"
            " net_sent_bytes, net_received_bytes, memory_stall_ns, store_ns, scheduling_ns, backends_ns, rest_ns,"
            " lock_wait_ns, lag_ns, calls) VALUES (:at, 'test', :owner, 1000000000, :cpu, :rss, 0, :sent,"
            " :received, :stall, :lock, 0, 0, 1000000000 - :lock, :lock, 0, 0)",
            rows,
        )
    )


def later(planted: Planted, **changes: float) -> Planted:
    """The planted task with its last try changed."""
    return replace(planted, tries=(*planted.tries[:-1], replace(planted.tries[-1], **changes)))  # type: ignore[arg-type]

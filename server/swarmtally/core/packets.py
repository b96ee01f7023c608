"""Host-driven work: clients claim tasks as packets, do them, and report what came of them.

No process of ours executes such a run: any process hands its packets out and takes reports, each in one transaction, so
several clients of several servers share a run. A packet is its holder's alone until its lease ends; then it may be
claimed again, which moves the fence. A report that comes late but before that is accepted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import anyio
import anyio.to_thread

from swarmtally.core import claims, results
from swarmtally.core.attempt import ERROR_LIMIT
from swarmtally.core.claims import Demand, HeldRun
from swarmtally.core.ledger import opened_call
from swarmtally.core.ports import Packer, Planner, Prompt, Shelf
from swarmtally.core.telling import SHARE_BYTES, told
from swarmtally.domain.clock import NS_PER_S, Clock
from swarmtally.domain.errors import NotFound, PacketRefused, StoreError, SwarmError
from swarmtally.domain.files import File
from swarmtally.domain.ids import NewId
from swarmtally.domain.run import HOST, SAMPLING, Lease, Run
from swarmtally.domain.task import Artefact, Claim, Expansion, Outcome, Task
from swarmtally.domain.text import one_line
from swarmtally.domain.usage import TokenUsage
from swarmtally.store import agents, artefacts, messages, packets, runs, swarms, usage
from swarmtally.store.connection import Connection
from swarmtally.store.database import Database
from swarmtally.store.packets import Leased, Outstanding

LEASE_NS = 15 * 60 * NS_PER_S
"""How long a packet is its holder's alone without renewing."""

CLAIM_LIMIT = 10
"""The most packets one call hands out."""

CLAIM_TRIES = 20
"""How often a claim looks again because other clients were faster."""

NO_FIGURES = "the client that did the work gave no figures"

GIVEN_BACK = "its packet was given back before an answer came"


@dataclass(frozen=True, slots=True)
class Packet:
    """A task to be done by whoever holds `lease`, until `expires_ns`."""

    run: Run
    task: Task
    lease: str
    prompt: Prompt
    expires_ns: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """Packets handed out, and what the runs looked at have besides."""

    packets: tuple[Packet, ...]
    rest: Outstanding
    runs: tuple[Run, ...]
    """The unfinished host-driven runs that were looked at, those just finished not among them."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """A packet that is its holder's until `expires_ns`, and what its run has besides."""

    expires_ns: int
    rest: Outstanding


@dataclass(frozen=True, slots=True)
class Report:
    """What a client says of a packet: what it made, or `error` when it could not."""

    output: str
    files: tuple[File, ...]
    error: str | None
    usage: TokenUsage
    truncated: bool = False
    """Its model was cut off at its output limit."""
    model: str | None = None
    """What the model calls itself; None: nobody said."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What a report led to: its run as it stands now, and the deliverable, None when it failed."""

    run: Run
    artefact: Artefact | None
    claimed: Claimed | None
    """The packets asked for with it; None when none were, none could be had, or the run is over."""
    trouble: str | None
    """What could not be done besides recording it, and why."""


@dataclass(frozen=True, slots=True)
class _Offer:
    """A packed task that may be claimed."""

    run: Run
    task: Task
    prompt: Prompt


class Packets:
    """The packets of one project's host-driven runs."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        new_id: NewId,
        project: str,
        packer: Packer,
        planner: Planner,
        shelf: Shelf,
    ) -> None:
        self._database = database
        self._clock = clock
        self._new_id = new_id
        self._project = project
        self._packer = packer
        self._planner = planner
        self._shelf = shelf

    async def claim(
        self,
        limit: int,
        *,
        role: str | None = None,
        swarm_id: str | None = None,
        run_id: str | None = None,
        lent: bool = False,
    ) -> Claimed:
        """Hand out up to `limit` packets, those that should start first; fewer where their prompts are long, agents
        are all busy, or not so many are ready.

        Args:
            lent: they go to a client's model alone, which can read nothing but its prompt.

        Raises:
            NotFound: the named run or swarm is none of this project.
        """
        looked_at = await self._database.write(lambda tx: self._look(tx, swarm_id, run_id))
        for run in looked_at:
            await self._settle(run)
        found: list[Packet] = []
        handed: list[str] = []

        async def unit(tx: Connection) -> Claimed:
            left = await runs.unfinished_of_host(tx, self._project, swarm_id, run_id)
            rest = await packets.outstanding(tx, [run.run_id for run in left], self._clock.now_ns())
            return Claimed(tuple(found), rest, tuple(left))

        try:
            for _ in range(CLAIM_TRIES):
                offers = await self._offers(looked_at, role, limit, lent)
                if offers:
                    hand_out = partial(self._hand_out, offers=offers, lent=lent, handed=handed)
                    found = await self._database.write(hand_out)
                # Another client may be faster between looking and taking; then there is something else to take.
                if found or not offers:
                    break
            return await self._database.read(unit)
        except anyio.get_cancelled_exc_class():
            # It may have been committed, and nobody will do what nobody is told of.
            if handed:
                with anyio.CancelScope(shield=True):
                    await self.give_back(handed)
            raise

    async def _look(self, tx: Connection, swarm_id: str | None, run_id: str | None) -> list[Run]:
        if run_id is not None and await runs.get(tx, self._project, run_id) is None:
            raise NotFound(f"project {self._project} has no run {run_id!r}; list them with run_status")
        if swarm_id is not None and await swarms.get(tx, self._project, swarm_id) is None:
            raise NotFound(f"project {self._project} has no swarm {swarm_id!r}; list them with run_status")
        await packets.expire(tx, self._clock.now_ns())
        return await runs.unfinished_of_host(tx, self._project, swarm_id, run_id)

    async def _offers(self, looked_at: Sequence[Run], role: str | None, limit: int, lent: bool) -> list[_Offer]:
        """The tasks that should start first and have an agent, packed; as many as fit one answer."""
        by_id = {run.run_id: run for run in looked_at}
        while True:
            offers: list[_Offer] = []
            size, failed = 0, 0
            for task in await self._database.read(lambda tx: self._startable(tx, looked_at, role, limit)):
                run = by_id[task.run_id]
                try:
                    prompt = await told(self._database, self._packer, run, task, lent=lent)
                except StoreError:
                    raise
                except SwarmError as error:
                    failed += await self._fail(run, task, one_line(str(error), ERROR_LIMIT))
                    continue
                size += prompt.written_bytes
                if offers and size > SHARE_BYTES:
                    break
                offers.append(_Offer(run, task, prompt))
            if offers or not failed:
                return offers

    async def _startable(self, tx: Connection, looked_at: Sequence[Run], role: str | None, limit: int) -> list[Task]:
        """At most `limit` tasks of all swarms. One whose agents are busy hides nothing of another."""
        by_swarm: dict[str, list[HeldRun]] = {}
        for run in looked_at:
            by_swarm.setdefault(run.swarm_id, []).append(_held(run))
        found: list[Task] = []
        for held in by_swarm.values():
            found += await claims.startable(tx, Demand(tuple(held), limit, role=role), self._clock.now_ns())
        age = {run.run_id: number for number, run in enumerate(looked_at)}
        found.sort(key=lambda task: (-task.priority, -task.remaining_path, age[task.run_id], task.place, task.ordinal))
        return found[:limit]

    async def _fail(self, run: Run, task: Task, error: str) -> int:
        """Fail a task that cannot be told to anybody: it would otherwise be ready for ever. Returns how many failed."""

        async def unit(tx: Connection) -> int:
            now_ns = self._clock.now_ns()
            held, only = _held(run), frozenset({task.task_id})
            outcomes = [
                Outcome(claim=claim, started_ns=None, ended_ns=now_ns, exec_ns=None, error=error)
                for claim in await claims.claim(tx, Demand((held,), 1, only), self._new_id, now_ns)
            ]
            return await results.record(tx, {run.run_id: held}, outcomes, now_ns)

        failed = await self._database.write(unit)
        await self._settle(run)
        return failed

    async def _hand_out(self, tx: Connection, offers: Sequence[_Offer], lent: bool, handed: list[str]) -> list[Packet]:
        """Hand out what is offered, as far as it can still be claimed; the leases are added to `handed`."""
        now_ns = self._clock.now_ns()
        expires_ns = now_ns + LEASE_NS
        offered = {offer.task.task_id: offer for offer in offers}
        held = {offer.run.run_id: _held(offer.run) for offer in offers}
        demand = Demand(tuple(held.values()), len(offers), frozenset(offered))
        found = []
        who = (HOST, SAMPLING if lent else HOST)
        for claim in await claims.claim(tx, demand, self._new_id, now_ns):
            offer = offered[claim.task.task_id]
            await usage.open_calls(tx, [opened_call(offer.run, claim, who, offer.prompt)], now_ns)
            await messages.receive(tx, [(claim.task.task_id, claim.number, now_ns)])
            found.append(Packet(offer.run, claim.task, self._new_id("l"), offer.prompt, expires_ns))
            handed.append(found[-1].lease)
            await packets.lease(tx, [(claim.task.task_id, claim.number, found[-1].lease)], expires_ns)
        order = list(offered)
        return sorted(found, key=lambda packet: order.index(packet.task.task_id))

    async def renew(self, task_id: str, lease: str) -> Renewed:
        """Give the packet's holder its whole time again.

        Raises:
            NotFound, PacketRefused: there is no such packet, or it is no longer its holder's.
        """

        async def unit(tx: Connection) -> Renewed:
            now_ns = self._clock.now_ns()
            found = await self._open_packet(tx, task_id, lease)
            if found.status == "expired" or found.expires_ns <= now_ns:
                raise PacketRefused(
                    task_id, "its lease has ended and others may claim it", "report it now, or claim it again"
                )
            await packets.renew(tx, task_id, found.number, now_ns + LEASE_NS)
            rest = await packets.outstanding(tx, [found.task.run_id], now_ns)
            return Renewed(now_ns + LEASE_NS, rest)

        return await self._database.write(unit)

    async def give_back(self, leases: Sequence[str]) -> int:
        """Have others claim the packets of `leases` at once, as if their time were over; returns how many."""
        return await self._database.write(
            lambda tx: packets.give_back(tx, self._project, leases, GIVEN_BACK, self._clock.now_ns())
        )

    async def report(self, task_id: str, lease: str, report: Report, claim: int = 0) -> Reported:
        """Record what came of a packet, once; then write its files and claim up to `claim` packets of its run.

        Once it is recorded it has been accepted: what fails from there on is told as `Reported.trouble`, and the next
        claim makes good for it.

        Raises:
            NotFound, PacketRefused: there is no such packet, it was reported already, claimed again, or cancelled.
            SwarmError: what was made cannot be used; nothing is recorded and the packet stays its holder's.
        """
        found = await self._database.read(lambda tx: self._open_packet(tx, task_id, lease))
        run = await self._database.read(lambda tx: self._get(tx, found.task.run_id))
        following = None
        if report.error is None and found.task.expands:
            following = await anyio.to_thread.run_sync(self._planner.expand, run, found.task, _told(report))
        await self._database.write(lambda tx: self._record(tx, run, lease, found.task, report, following))
        trouble, claimed = None, None
        try:
            trouble = await self._settle(run)
            if claim and not (await self._database.read(lambda tx: self._get(tx, run.run_id))).status.final:
                claimed = await self.claim(claim, run_id=run.run_id)
        except StoreError as error:
            trouble = str(error)

        async def unit(tx: Connection) -> Reported:
            made = await artefacts.of_task(tx, task_id)
            return Reported(await self._get(tx, run.run_id), made, claimed, trouble)

        return await self._database.read(unit)

    async def _record(
        self, tx: Connection, run: Run, lease: str, task: Task, report: Report, following: Expansion | None
    ) -> None:
        now_ns = self._clock.now_ns()
        found = await self._open_packet(tx, task.task_id, lease)
        if found.status == "expired":
            await packets.revive(tx, task.task_id, found.number)
            await agents.credit(tx, found.agent_id, int(report.error is None), int(report.error is not None))
        usage_id = await usage.of_attempt(tx, task.task_id, found.number)
        if report.model is not None and usage_id is not None:
            await usage.name_model(tx, usage_id, report.model)
        outcome = Outcome(
            claim=Claim(task, found.agent_id, found.number, found.epoch),
            started_ns=found.claimed_ns,
            ended_ns=now_ns,
            exec_ns=max(0, now_ns - found.claimed_ns),
            text=None if report.error is not None else report.output,
            files=report.files,
            error=report.error,
            usage_id=usage_id,
            usage=report.usage
            if report.usage.known
            else replace(report.usage, reason=report.usage.reason or NO_FIGURES),
            truncated=report.truncated,
            following=following,
        )
        held = {run.run_id: HeldRun(run, Lease(run.run_id, found.epoch, HOST))}
        accepted = await results.record(tx, held, [outcome], now_ns)
        assert accepted == 1, "the packet was open inside our own write transaction"

    async def _open_packet(self, tx: Connection, task_id: str, lease: str) -> Leased:
        """The packet, when its holder may still report it."""
        found = await packets.find(tx, self._project, task_id, lease)
        if found is None:
            raise NotFound(
                f"project {self._project} has no packet of task {task_id!r} with that lease; claim one with work_claim"
            )
        if found.status in ("succeeded", "failed"):
            raise PacketRefused(task_id, "this packet was reported already", "go on with work_claim")
        if found.status == "cancelled":
            raise PacketRefused(task_id, "its run was cancelled", "run_control retry makes it claimable again")
        if not found.newest or found.status == "lost":
            raise PacketRefused(
                task_id, "its lease ended and another client has claimed it since", "go on with work_claim"
            )
        return found

    async def _get(self, tx: Connection, run_id: str) -> Run:
        run = await runs.get(tx, self._project, run_id)
        assert run is not None, "a packet's run stays"
        return run

    async def _settle(self, run: Run) -> str | None:
        """Write the run's new files and finish it when everything has ended; returns why files could not be written.

        What a crash left is done here too.
        """
        unshelved: dict[str, str] = {}
        if run.out_dir is not None:
            for artefact in await self._database.read(lambda tx: artefacts.unwritten(tx, run.run_id)):
                try:
                    path = await self._shelf.put(run, artefact)
                    await self._database.write(artefacts.path_setter(artefact.artefact_id, path))
                except StoreError:
                    raise
                except (SwarmError, OSError) as error:
                    # One that cannot be written must not keep the others from their place.
                    unshelved.setdefault(run.run_id, f"files not written: {error}")
        held = _held(run)
        await self._database.write(lambda tx: results.finish_runs(tx, [held], unshelved, self._clock.now_ns()))
        return unshelved.get(run.run_id)


def _held(run: Run) -> HeldRun:
    return HeldRun(run, Lease(run.run_id, run.lease_epoch, HOST))


def _told(report: Report) -> str:
    """What a report says in words: a document that came as a file is as good as one that came as output."""
    documents = [file.text for file in report.files if file.path.lower().endswith((".md", ".markdown", ".txt"))]
    return "\n\n".join([report.output, *documents])

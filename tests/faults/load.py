"""What a client asks of a server all the time while faults come: every kind of call that acknowledges something."""

from random import Random

from tests.faults.place import AGENTS, Place
from tests.faults.processes import Server, View

WINDOW = 12
"""Calls under way at once."""


class Load:
    """Keeps calls under way at one server and notes what it acknowledges."""

    def __init__(self, place: Place, server: Server, draw: Random) -> None:
        self.place = place
        self.server = server
        self.acknowledged = 0
        self._draw = draw
        self._deletable: list[str] = []
        self._asking = (
            (self._store, 10),
            (self._store_again, 3),
            (self._delete, 2),
            (self._spawn, 1),
            (self._run, 1),
            (self._hosted_run, 1),
        )

    def go_on(self, until: int) -> None:
        """Until so many calls are acknowledged.

        Raises:
            Gone: the server has died.
        """
        self.server.ask("swarm_init", max_agents=AGENTS)
        while self.acknowledged < until:
            while self.server.waiting < WINDOW:
                (ask,) = self._draw.choices([ask for ask, _ in self._asking], [weight for _, weight in self._asking])
                ask()
            self.server.hear()

    def _store(self) -> None:
        key, value = self.place.key(), {"number": self._draw.random(), "text": "x" * self._draw.randrange(3_000)}

        def note(_: View) -> None:
            self.acknowledged += 1
            self.place.book.entries[key] = value
            self._deletable.append(key)

        self.server.ask("memory_usage", note, action="store", key=key, value=value)

    def _store_again(self) -> None:
        key = f"again{self._draw.randrange(3)}"

        def note(view: View) -> None:
            self.acknowledged += 1
            versions = self.place.book.versions
            versions[key] = max(versions.get(key, 0), view["version"])

        self.server.ask("memory_usage", note, action="store", key=key, value="x")

    def _delete(self) -> None:
        if not self._deletable:
            return
        key = self._deletable.pop(self._draw.randrange(len(self._deletable)))
        # From now on until the answer nobody knows whether it is there.
        del self.place.book.entries[key]

        def note(_: View) -> None:
            self.acknowledged += 1
            self.place.book.deleted.add(key)

        self.server.ask("memory_usage", note, action="delete", key=key)

    def _spawn(self) -> None:
        def note(view: View) -> None:
            self.acknowledged += 1
            self.place.book.agents.update(agent["agent_id"] for agent in view["agents"])

        self.server.ask("agent_spawn", note, type="coder")

    def _run(self) -> None:
        def note(view: View) -> None:
            self.acknowledged += 1
            self.place.noted_run(view)

        tasks = [f"Task {self.place.key()}" for _ in range(self._draw.randint(1, 6))]
        self.server.ask("sparc_concurrent", note, mode="coder", tasks=tasks, wait_s=self._draw.choice((0, 0, 2)))

    def _hosted_run(self) -> None:
        """A run whose tasks this client does."""

        def note(view: View) -> None:
            self.acknowledged += 1
            self.place.noted_run(view)
            for packet in view["packets"] or ():
                self.place.report(self.server, packet)

        tasks = [f"Task {self.place.key()}" for _ in range(self._draw.randint(1, 3))]
        self.server.ask("sparc_concurrent", note, mode="coder", tasks=tasks, model="host")

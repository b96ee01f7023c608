"""Calls of all lengths, one after another: what a backend takes for each alone is learned from them."""

from swarmtally.domain.task import NewTask
from swarmtally.sparc.modes import ModeCatalog

MODE = "analyst"

_READING_BYTES = (0, 300, 900, 2_000)
_ANSWERS = ("in one word", "in one sentence", "in five short points", "in as much detail as there is room for")


def plan_calibration(catalog: ModeCatalog, calls: int) -> tuple[NewTask, ...]:
    """A chain of `calls` tasks that read and write more and less, so that the cost of reading, of writing and of the
    call itself can be told apart. What they read are the modes' own texts."""
    reading = " ".join(" ".join(mode.prompt.split()) for _, mode in sorted(catalog.modes.items()))
    role = catalog.get(MODE).role
    tasks: list[NewTask] = []
    for number in range(1, calls + 1):
        length = _READING_BYTES[number % len(_READING_BYTES)]
        # Answers change at another pace than what is read, or the two could not be told apart.
        answer = _ANSWERS[number // len(_READING_BYTES) % len(_ANSWERS)]
        start = number * 97 % max(1, len(reading) - length)
        tasks.append(
            NewTask(
                key=f"call_{number}",
                phase="calibration",
                mode=MODE,
                role=role,
                text=f"Call {number}: say {answer} what this text asks for. {reading[start : start + length]}",
                depends_on=(tasks[-1].key,) if tasks else (),
                tolerates_failure=True,
            )
        )
    return tuple(tasks)

"""The backends of the runs under study: their pools, the calls they take at once, and when calls were under way."""

from swarmtally.insight.recording import Backend, Scene
from swarmtally.insight.study import Study
from swarmtally.store.history import Attempt

PROVIDER = "model"
"""The name of the backend that is a provider's model; an option says how many calls it takes at once."""


def backends(study: Study) -> list[Backend]:
    """Each model's, as it was opened last."""
    return list({(each.name, each.model): each for scene in study.scenes for each in scene.backends}.values())


def pools(scene: Scene, backend: Backend) -> list[int]:
    """The pools of the backend's model, which other processes may have opened otherwise."""
    return [
        number for number, each in enumerate(scene.backends) if (each.name, each.model) == (backend.name, backend.model)
    ]


def compute(study: Study, backend: Backend) -> bool:
    """Whether its calls share a machine."""
    return any(scene.recording.pools[number].compute for scene in study.scenes for number in pools(scene, backend))


def slots(study: Study, backend: Backend) -> int:
    """The calls at once of the backend as it was opened last. Of clients nothing is set: what was seen of them last
    says how many they are only where there was more to claim."""
    found = [
        (scene.recording.pools[number].slots, sum(job.pool == number for job in scene.recording.jobs))
        for scene in study.scenes
        for number in pools(scene, backend)
    ]
    if not backend.host:
        return found[-1][0]
    busy = [size for size, jobs in found if jobs > size]
    return busy[-1] if busy else max(size for size, _ in found)


def attempts(scene: Scene, backend: Backend) -> list[Attempt]:
    """Those whose calls the backend took."""
    numbers = pools(scene, backend)
    ids = {job.task.task_id for job in scene.recording.jobs if job.pool in numbers}
    return [each for each in scene.attempts if each.task_id in ids]


def calls(study: Study, backend: Backend) -> list[tuple[int, int]]:
    """When each call of the backend was under way."""
    found = [call(each) for scene in study.scenes for each in attempts(scene, backend)]
    return [each for each in found if each is not None]


def call(attempt: Attempt) -> tuple[int, int] | None:
    """When its calls were under way; None where it came to none."""
    if attempt.started_ns is None:
        return None
    return attempt.started_ns, attempt.started_ns + (attempt.exec_ns or 0)

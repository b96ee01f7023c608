"""The addresses under which what a project holds can be read: URIs, and what each of them names."""

from dataclasses import dataclass
from urllib.parse import quote, unquote

from swarmtally.domain.memory import KEY_LIMIT

URI_LIMIT = 16_384
"""The longest URI, in characters: namespace and key at their longest, with every byte written as three."""

RUN_ID_LIMIT = 100
"""The longest id of a run, in characters."""


@dataclass(frozen=True, slots=True)
class CurrentSwarm:
    """The project's current swarm at work."""


@dataclass(frozen=True, slots=True)
class PerformanceReport:
    """How the project's work of the last day went."""


@dataclass(frozen=True, slots=True)
class RunAddress:
    """A run as it stands."""

    run_id: str


@dataclass(frozen=True, slots=True)
class TimelineAddress:
    """A run's tasks and attempts with their times."""

    run_id: str


@dataclass(frozen=True, slots=True)
class DeliverableAddress:
    """What a task of a run delivered: by its task's key, by phase and key, or one of its files by key and path."""

    run_id: str
    path: str


@dataclass(frozen=True, slots=True)
class MemoryAddress:
    """An entry of shared memory."""

    namespace: str
    key: str


Address = CurrentSwarm | PerformanceReport | RunAddress | TimelineAddress | DeliverableAddress | MemoryAddress

CURRENT_URI = "swarm://current"
REPORT_URI = "report://performance"
RUN_TEMPLATE = "swarm://runs/{id}"
TIMELINE_TEMPLATE = "swarm://runs/{id}/timeline"
DELIVERABLE_TEMPLATE = "swarm://runs/{id}/artifacts/{name}"
MEMORY_TEMPLATE = "memory://{namespace}/{key}"

FORMS = (CURRENT_URI, REPORT_URI, RUN_TEMPLATE, TIMELINE_TEMPLATE, DELIVERABLE_TEMPLATE, MEMORY_TEMPLATE)


def uri_of(address: Address) -> str:
    """The address's URI; what in its names has a meaning in URIs is percent-encoded."""
    match address:
        case CurrentSwarm():
            return CURRENT_URI
        case PerformanceReport():
            return REPORT_URI
        case RunAddress(run_id):
            return f"swarm://runs/{quote(run_id, safe='')}"
        case TimelineAddress(run_id):
            return f"swarm://runs/{quote(run_id, safe='')}/timeline"
        case DeliverableAddress(run_id, path):
            return f"swarm://runs/{quote(run_id, safe='')}/artifacts/{quote(path)}"
        case MemoryAddress(namespace, key):
            return f"memory://{quote(namespace, safe='')}/{quote(key)}"


def address_of(uri: str) -> Address | None:
    """What a URI names; None when it has none of the `FORMS`. A slash in the last name may be written as %2F."""
    scheme, found, rest = uri.partition("://")
    if not found or len(uri) > URI_LIMIT:
        return None
    try:
        match scheme.lower():
            case "swarm":
                return _of_swarm(rest)
            case "report":
                return PerformanceReport() if rest == "performance" else None
            case "memory":
                return _of_memory(rest)
    except UnicodeDecodeError:
        pass
    return None


def _of_swarm(rest: str) -> Address | None:
    match rest.split("/", 3):
        case ["current"]:
            return CurrentSwarm()
        case ["runs", run_id, *inside] if 0 < len(name := _text(run_id)) <= RUN_ID_LIMIT:
            match inside:
                case []:
                    return RunAddress(name)
                case ["timeline"]:
                    return TimelineAddress(name)
                case ["artifacts", path] if path:
                    return DeliverableAddress(name, _text(path))
    return None


def _of_memory(rest: str) -> Address | None:
    namespace, _, key = (_text(part) for part in rest.partition("/"))
    fits = 0 < len(namespace) <= KEY_LIMIT and 0 < len(key) <= KEY_LIMIT
    return MemoryAddress(namespace, key) if fits else None


def _text(part: str) -> str:
    return unquote(part, errors="strict")

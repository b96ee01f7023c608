"""Backends that a program brings itself, by the names that calls and swarms use for them."""

from collections.abc import Mapping

from swarmtally.core.ports import Backend, BackendInfo
from swarmtally.domain.errors import InvalidInput, NoBackend
from swarmtally.domain.run import BackendChoice

OWN = "own"
"""The `name` of a choice whose `model` is the name of such a backend."""

_MEMBERS = ("info", "execute", "aclose")


def check(backends: Mapping[str, Backend]) -> None:
    """Refuse names that mean something else, and what is no backend.

    Raises:
        InvalidInput: one is not as it must be.
    """
    for name, backend in backends.items():
        if not name.strip() or ":" in name or name in ("host", "local", "sampling"):
            raise InvalidInput(
                f"a backend cannot be called {name!r}, which is empty or means a model; choose a name without a colon"
            )
        missing = [member for member in _MEMBERS if not hasattr(backend, member)]
        if missing or isinstance(backend, type):
            fault = "is a class" if not missing else f"has no {', '.join(missing)}"
            raise InvalidInput(f"backend {name!r} {fault}; give an object with {', '.join(_MEMBERS)}")
        wrong = _fault(backend.info)
        if wrong is not None:
            raise InvalidInput(f"backend {name!r}: {wrong}")


def _fault(info: object) -> str | None:
    """What is wrong with a backend's description of itself. A type checker need not have seen it."""
    if not isinstance(info, BackendInfo):
        return f"its info is {type(info).__name__}, not BackendInfo"
    for field in ("name", "model"):
        text = getattr(info, field)
        if not isinstance(text, str) or not text.strip():
            return f"its {field} is {text!r}; it must be a text"
    for field in ("max_parallel", "context_tokens", "max_output_tokens", "cache_least_tokens"):
        number = getattr(info, field)
        if type(number) is not int or number < 1:
            return f"its {field} is {number!r}; it must be a whole number of 1 or more"
    if info.max_output_tokens >= info.context_tokens:
        return (
            f"its max_output_tokens ({info.max_output_tokens}) leave nothing of its context_tokens "
            f"({info.context_tokens}) for a prompt"
        )
    if info.bound not in ("latency", "compute"):
        return f"its bound is {info.bound!r}; it must be latency or compute"
    if info.fetches not in ("tool", "text", None):
        return f"its fetches is {info.fetches!r}; it must be tool, text or None"
    return None


def choose_own(backends: Mapping[str, Backend], model: str | None) -> BackendChoice | None:
    """The program's backend that is meant, None where another is: one named `model`, or the only one.

    Raises:
        NoBackend: none is named and there are several.
    """
    if model is not None and model in backends:
        return BackendChoice(OWN, model, None, "the program's own backend, named", None)
    if model or not backends:
        return None
    if len(backends) > 1:
        names = ", ".join(backends)
        raise NoBackend(f"the program brought {len(backends)} backends and no model was named; name one of: {names}")
    (only,) = backends
    return BackendChoice(OWN, only, None, "no model was named, and this is the one backend the program brought", None)


def find_own(backends: Mapping[str, Backend], choice: BackendChoice) -> Backend:
    """The backend of a choice that `choose_own` made, in this program or in another.

    Raises:
        NoBackend: this program brought none of that name.
    """
    if choice.model not in backends:
        raise NoBackend(
            f"its backend {choice.model!r} was brought by a program; go on with it in a program that calls "
            f"swarmtally.open(backends={{{choice.model!r}: ...}})"
        )
    return backends[choice.model]

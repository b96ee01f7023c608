"""Which tool lives in which module, so that the shell imports only the module of the tool it runs."""

from importlib import import_module

from swarmtally.domain.errors import InvalidInput
from swarmtally_tools.definition import Tool, nearest_name
from swarmtally_tools.toolsets import Offer

MODULES = {
    "swarm_init": "swarm",
    "agent_spawn": "swarm",
    "swarm_scale": "scaling",
    "swarm_monitor": "monitor",
    "memory_usage": "memory",
    "memory_search": "memory",
    "load_balance": "balance",
    "sparc_run": "sparc",
    "sparc_batch": "sparc",
    "sparc_concurrent": "sparc",
    "sparc_pipeline": "sparc",
    "run_status": "runs",
    "work_claim": "work",
    "work_report": "work",
    "run_control": "runs",
    "performance_report": "performance",
    "token_usage": "tokens",
    "health_check": "health",
    "bottleneck_analyze": "bottleneck",
    "quality_assess": "quality",
    "error_analysis": "errors",
    "neural_train": "neural",
    "neural_patterns": "patterns",
    "neural_predict": "neural",
}
"""Tool name → module of this package. A test holds it against each module's TOOLS."""


def load(name: str) -> Tool:
    """The tool called `name`.

    Raises:
        InvalidInput: there is none; the text names the nearest.
    """
    if name not in MODULES:
        raise InvalidInput(f"no tool {name[:64]!r}{nearest_name(name, list(MODULES))}")
    module = import_module(f"swarmtally_tools.{MODULES[name]}")
    found: dict[str, Tool] = {tool.name: tool for tool in module.TOOLS}
    return found[name]


def load_all(offer: Offer = Offer()) -> tuple[Tool, ...]:  # noqa: B008 - frozen
    """Every tool of the offer, in the order of `MODULES`."""
    return tuple(load(name) for name in MODULES if offer.has(name))


def refusal(name: str, offer: Offer) -> InvalidInput:
    """What a caller of a tool that is not offered is told."""
    if name in MODULES:
        return InvalidInput(offer.why_not(name))
    known = [each for each in MODULES if offer.has(each)]
    return InvalidInput(f"no tool {name[:64]!r}{nearest_name(name, known)}")

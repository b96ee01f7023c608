"""The exercises of the tutorial as prompts: its sections in its order, with its own tasks where none is given.

What the tutorial prints as results is not repeated: each exercise ends with what was measured.
"""

import re
from collections.abc import Mapping, Sequence

from swarmtally.mcp.scripts import OUT_DIR, Argument, Script, Step, given_ones

TOPOLOGIES = ("star", "hierarchical", "ring", "mesh", "adaptive")

_FULL_STACK = "Full-stack application with authentication, testing, and deployment"
_WEB = (
    "React frontend with Node.js backend, PostgreSQL database, JWT authentication, comprehensive testing, Docker "
    "deployment"
)
_API = "RESTful API with authentication, rate limiting, caching, monitoring"
_SHOP = (
    "E-commerce platform with user authentication, product catalog, shopping cart, payment processing, order "
    "management, admin dashboard, mobile API, comprehensive testing, CI/CD pipeline, monitoring, and documentation"
)
_FEATURES = ("Feature A", "Feature B", "Feature C")
_DATA_TASKS = ("ETL pipeline", "Data validation", "Visualization dashboard", "Performance monitoring")
_DATA_MODE = "data-pipeline"
_PARALLEL_MODES = ("spec-pseudocode", "architect", "refactor")
_API_MODES = ("architect", "coder", "tester", "documenter")
_ROLES = ("researcher", "coder", "tester", "reviewer")


def _task(example: str) -> Argument:
    return Argument("task", f"What to build; omitted: {example}.")


def _modes(usual: Sequence[str]) -> Argument:
    return Argument("modes", f"Modes, with commas; omitted: {', '.join(usual)}.", kind="mode", many=True)


def _parts(text: str | None, otherwise: Sequence[str]) -> list[str]:
    """The parts of a text, between commas or in lines of their own."""
    found = [part.strip() for part in re.split(r"[,\n]", text or "") if part.strip()]
    return found or list(otherwise)


def _number(text: str | None, otherwise: int) -> int | str:
    """The number that a text is; a text that is none stays, and is refused by the tool it is for."""
    if text is None:
        return otherwise
    return int(text) if re.fullmatch(r"\s*-?[0-9]{1,12}\s*", text) else text


def _parallel(given: Mapping[str, str]) -> list[Step]:
    batch = {
        "modes": _parts(given.get("modes"), _PARALLEL_MODES),
        "tasks": _parts(given.get("features"), _FEATURES),
    }
    return [
        Step("Run every mode on every feature, all at once.", "sparc_batch", batch),
        Step(
            "See what running them together was worth: speed_multiplier and parallelism.",
            "performance_report",
            {"format": "detailed", "timeframe": "24h", "explain": ["speed_multiplier"]},
        ),
    ]


def _tokens(given: Mapping[str, str]) -> list[Step]:
    arguments = given_ones(task=given.get("task") or _FULL_STACK, out_dir=given.get("out_dir"))
    return [
        Step("Run the whole pipeline.", "sparc_pipeline", arguments),
        Step(
            "See what it saved against separate requests (a), and against those with a cache (b).",
            "token_usage",
            {"operation": "pipeline", "timeframe": "7d"},
        ),
    ]


def _coordination(given: Mapping[str, str]) -> list[Step]:
    swarm = {
        "topology": given.get("topology") or "mesh",
        "max_agents": _number(given.get("max_agents"), 8),
    }
    roles = _parts(given.get("roles"), _ROLES)
    spawned = [Step(f"Add a {role}.", "agent_spawn", {"type": role}) for role in roles]
    return [Step("Make the swarm.", "swarm_init", swarm), *spawned, Step("Look at it.", "swarm_monitor", {})]


def _memory(given: Mapping[str, str]) -> list[Step]:
    namespace = given_ones(namespace=given.get("namespace"))
    where = f", in namespace {namespace['namespace']!r}" if namespace else ""
    key = given.get("key") or "project_context"
    value = given.get("value")
    stored = (
        Step(
            f"Store under the key {key!r}{where}, as a JSON object, what is known of this project from its own files: "
            "its language, its parts, its rules.",
            "memory_usage",
        )
        if value is None
        else Step("Store it.", "memory_usage", {"action": "store", "key": key, "value": value, **namespace})
    )
    pattern = f"{key.partition('_')[0]}_*" if "_" in key else f"{key}*"
    return [stored, Step("Find it again.", "memory_search", {"pattern": pattern, "limit": 10, **namespace})]


def _scaling(given: Mapping[str, str]) -> list[Step]:
    size = {"target_size": _number(given.get("target_size"), 16), "strategy": "adaptive"}
    return [
        Step("Size the swarm to its load.", "swarm_scale", size),
        Step(
            "Plan who takes which task. Ask for the tasks unless they are known; each is {id, role, estimated_s, "
            "priority, depends_on}, and only id is needed.",
            "load_balance",
        ),
        Step("Watch the swarm.", "swarm_monitor", {"interval": 5, "duration": 60}),
    ]


def _measuring(given: Mapping[str, str]) -> list[Step]:
    timeframe = given.get("timeframe")
    return [
        Step(
            "Report on the work.",
            "performance_report",
            {"format": "detailed", "timeframe": timeframe or "24h"},
        ),
        Step(
            "Find what limited it.",
            "bottleneck_analyze",
            {"component": "swarm", "metrics": ["cpu", "memory", "network"], **given_ones(timeframe=timeframe)},
        ),
        Step("Count tokens.", "token_usage", {"operation": "batch", "timeframe": timeframe or "7d"}),
    ]


def _web(given: Mapping[str, str]) -> list[Step]:
    arguments = given_ones(task=given.get("task") or _WEB, out_dir=given.get("out_dir"))
    return [Step("Run the whole pipeline.", "sparc_pipeline", arguments)]


def _api(given: Mapping[str, str]) -> list[Step]:
    arguments = {"modes": _parts(given.get("modes"), _API_MODES), "tasks": [given.get("task") or _API]}
    return [
        Step(
            "Run every mode on it, all at once.",
            "sparc_batch",
            {**arguments, **given_ones(out_dir=given.get("out_dir"))},
        )
    ]


def _data(given: Mapping[str, str]) -> list[Step]:
    arguments = {"mode": given.get("mode") or _DATA_MODE, "tasks": _parts(given.get("tasks"), _DATA_TASKS)}
    return [
        Step(
            "Run one mode on every task, all at once.",
            "sparc_concurrent",
            {**arguments, **given_ones(out_dir=given.get("out_dir"))},
        )
    ]


def _learning(given: Mapping[str, str]) -> list[Step]:
    wanted = given.get("project") or "project_complexity: high, team_size: 5"
    return [
        Step("Learn from the project's own history.", "neural_train", {"pattern_type": "optimization"}),
        Step(
            "See what working in parallel does.",
            "neural_patterns",
            {"action": "analyze", "operation": "parallel_execution"},
        ),
        Step("Ask what to expect.", "neural_predict", {"input": wanted, "model_id": "performance-predictor"}),
    ]


def _diagnosis(given: Mapping[str, str]) -> list[Step]:
    return [
        Step("Check the server's health.", "health_check", {"components": ["all"]}),
        Step("Group the project's failures.", "error_analysis", {}),
        Step(
            "Measure the code's quality.",
            "quality_assess",
            {
                "target": given.get("target") or "current-project",
                "criteria": ["performance", "efficiency", "scalability"],
            },
        ),
    ]


def _shop(given: Mapping[str, str]) -> list[Step]:
    swarm = {
        "topology": given.get("topology") or "mesh",
        "max_agents": _number(given.get("max_agents"), 12),
        "strategy": "adaptive",
    }
    return [
        Step("Make the swarm.", "swarm_init", swarm),
        Step(
            "Run the whole pipeline.",
            "sparc_pipeline",
            given_ones(task=given.get("task") or _SHOP, out_dir=given.get("out_dir")),
        ),
        Step("Report on the work.", "performance_report", {"format": "detailed"}),
    ]


_TIMEFRAME = Argument("timeframe", "90s, 15m, 24h, 7d, 30d, all; omitted: as in the tutorial.")


def _topology(usual: str) -> Argument:
    return Argument("topology", f"Who may speak to whom; omitted: {usual}.", choices=TOPOLOGIES)


EXERCISES = (
    Script(
        "tutorial_parallel_execution",
        "Tutorial 1: parallel execution",
        "Run several features through several modes at once, and measure what that was worth.",
        frozenset({"sparc_batch", "performance_report"}),
        _parallel,
        (
            Argument("features", "Features, with commas; omitted: Feature A, Feature B, Feature C."),
            _modes(_PARALLEL_MODES),
        ),
    ),
    Script(
        "tutorial_token_savings",
        "Tutorial 2: token savings",
        "Run a project as one pipeline, and measure the tokens it saved against separate requests.",
        frozenset({"sparc_pipeline", "token_usage"}),
        _tokens,
        (_task(_FULL_STACK), OUT_DIR),
    ),
    Script(
        "tutorial_agent_coordination",
        "Tutorial 3: agents and topology",
        "Make a swarm and add specialised agents to it.",
        frozenset({"swarm_init", "agent_spawn", "swarm_monitor"}),
        _coordination,
        (
            _topology("mesh"),
            Argument("max_agents", "The most agents; omitted: 8."),
            Argument(
                "roles",
                "Roles to add, with commas; omitted: researcher, coder, tester, reviewer.",
                kind="role",
                many=True,
            ),
        ),
    ),
    Script(
        "tutorial_shared_memory",
        "Tutorial 4: shared memory",
        "Store what all agents should know of this project, and find it again.",
        frozenset({"memory_usage", "memory_search"}),
        _memory,
        (
            Argument("key", "The entry's key; omitted: project_context.", kind="key"),
            Argument("value", "The value; omitted: what is known of the project."),
            Argument("namespace", "The namespace; omitted: default.", kind="namespace"),
        ),
    ),
    Script(
        "tutorial_scaling",
        "Tutorial 5: scaling",
        "Size the swarm to its load, balance a queue over it and watch it work.",
        frozenset({"swarm_scale", "load_balance", "swarm_monitor"}),
        _scaling,
        (Argument("target_size", "The most agents; omitted: 16."),),
    ),
    Script(
        "tutorial_measuring",
        "Tutorial 6: measuring",
        "Report on the recorded work: its performance, what limited it, its tokens.",
        frozenset({"performance_report", "bottleneck_analyze", "token_usage"}),
        _measuring,
        (_TIMEFRAME,),
    ),
    Script(
        "tutorial_web_development",
        "Tutorial 7: a web application",
        "Build a web application as one pipeline.",
        frozenset({"sparc_pipeline"}),
        _web,
        (_task(_WEB), OUT_DIR),
    ),
    Script(
        "tutorial_api_development",
        "Tutorial 7: an API",
        "Design, write, test and document an API, all at once.",
        frozenset({"sparc_batch"}),
        _api,
        (_task(_API), _modes(_API_MODES), OUT_DIR),
    ),
    Script(
        "tutorial_data_analysis",
        "Tutorial 7: data analysis",
        "Build the parts of a data pipeline, all at once.",
        frozenset({"sparc_concurrent"}),
        _data,
        (
            Argument("tasks", f"Parts, with commas; omitted: {', '.join(_DATA_TASKS)}."),
            Argument("mode", f"The mode for all of them; omitted: {_DATA_MODE}.", kind="mode"),
            OUT_DIR,
        ),
    ),
    Script(
        "tutorial_learning",
        "Tutorial 8: learning and predicting",
        "Learn from what was recorded, see what working in parallel does, and ask what a project will take.",
        frozenset({"neural_train", "neural_patterns", "neural_predict"}),
        _learning,
        (Argument("project", "What is planned; omitted: project_complexity: high, team_size: 5."),),
    ),
    Script(
        "tutorial_diagnosis",
        "Tutorial 9: diagnosis",
        "Find out what is wrong: the server's health, the failures, the code.",
        frozenset({"health_check", "error_analysis", "quality_assess"}),
        _diagnosis,
        (Argument("target", "A path in an allowed root or a run id; omitted: the project.", kind="run"),),
    ),
    Script(
        "tutorial_ecommerce",
        "Exercise: an e-commerce platform",
        "Build an e-commerce platform with a swarm of your own, and measure it.",
        frozenset({"swarm_init", "sparc_pipeline", "performance_report"}),
        _shop,
        (
            _task("the platform of the tutorial"),
            _topology("mesh"),
            Argument("max_agents", "Most agents; omitted: 12."),
            OUT_DIR,
        ),
    ),
)
"""Of the document that came before this program, with the same commands."""

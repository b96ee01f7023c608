"""Settings that were each seen, but not together: refused, with the runs that make them known."""

from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmtally.learning.features import encode
from swarmtally.learning.predict import Insufficient, Prediction, Predictor, predict, train
from swarmtally.learning.ranges import scope_of, stand_ins
from swarmtally.learning.rows import TrainingRow
from swarmtally.learning.support import support_of

MODES = ("architect", "coder", "tester")


def logs() -> list[TrainingRow]:
    """The example of a log: each mode has its own size of prompts, and only their size and the agents matter."""
    cases = [(mode, agents) for mode in MODES for agents in (1, 2, 4, 8) for _ in range(4)]
    rows = []
    for at, place in enumerate(np.random.default_rng(0).permutation(len(cases) * 2) % len(cases), 1):
        mode, agents = cases[place]
        rows.append(made(at, mode, agents, 4 * (400 + 40 * int(place))))
    return rows


def made(at: int, mode: str, agents: int, prompt_bytes: int) -> TrainingRow:
    return TrainingRow(
        at, "given", "task", truth_s(agents, prompt_bytes), mode=mode, agents=agents, prompt_bytes=prompt_bytes
    )


def truth_s(agents: int, prompt_bytes: int) -> float:
    return 3 + 0.4 * (prompt_bytes / 4 - 400) / 40 + 9 / agents


def taught(rows: list[TrainingRow]) -> Predictor:
    found = train(rows, "duration_s")
    assert isinstance(found, Predictor)
    return found


ASKED = {"prompt_bytes": 7_200, "agents": 5}


def test_what_is_assumed_fits_what_was_asked() -> None:
    """A prompt as large as only testers had is a tester's; taken for an architect's it was told 10.5 s of 18.8."""
    assert stand_ins(scope_of(logs()), ASKED) == {"mode": "tester"}
    assert stand_ins(scope_of(logs()), {"prompt_bytes": 1_700}) == {"mode": "architect", "agents": 1}
    assert stand_ins(scope_of(logs()), {"prompt_bytes": 6_400})["mode"] == "coder"
    found = predict(taught(logs()), ASKED)
    assert isinstance(found, Insufficient) or found.expected.low <= truth_s(5, 7_200) <= found.expected.high


def test_settings_that_were_not_seen_together_are_refused_with_the_runs_to_make() -> None:
    found = predict(taught(logs()), {**ASKED, "mode": "architect"})
    assert isinstance(found, Insufficient)
    assert (found.what, found.runs_to_make) == (
        "range",
        ("make at least 2 runs with mode architect and 5 agents and 7200 bytes of prompt",),
    )
    assert "mode architect and 7200 bytes of prompt" in found.reason


def test_the_runs_that_were_asked_for_are_enough() -> None:
    rows = [*logs(), made(97, "architect", 5, 7_200), made(98, "architect", 5, 7_200)]
    found = predict(taught(rows), {**ASKED, "mode": "architect"})
    assert isinstance(found, Prediction) or found.what != "range"


def teams(n: int, seed: int = 0) -> list[TrainingRow]:
    """Big teams had small prompts only; how much agents help depends on the prompt, which straight lines do not see."""
    random = np.random.default_rng(seed)
    rows = []
    for at in range(1, n + 1):
        agents = int(random.choice([1, 2, 4, 8, 16]))
        prompt = int(exp(10 - log(agents) + random.normal(0, 0.3)))
        seconds = law_s(agents, prompt) * exp(random.normal(0, 0.1))
        rows.append(TrainingRow(at, "given", "task", seconds, agents=agents, prompt_bytes=prompt))
    return rows


def law_s(agents: int, prompt: int) -> float:
    return exp(0.5 * log(prompt) - 0.5 * log(agents) + 0.3 * max(0.0, log(agents * prompt) - 10.5))


@pytest.mark.parametrize("n", [40, 300, 1_200])
def test_the_corner_that_nobody_had_is_refused_and_what_was_had_is_not(n: int) -> None:
    found = taught(teams(n))
    corner = predict(found, {"agents": 16, "prompt_bytes": 20_000})
    assert isinstance(corner, Insufficient)
    assert corner.what == "range"
    assert corner.runs_to_make == ("make at least 2 runs with 16 agents and 20000 bytes of prompt",)
    near = found.support.leverage(teams(400, seed=1))
    assert (near > found.support.limit).mean() < (0.06 if n > 40 else 0.15)


@given(st.lists(st.tuples(st.sampled_from(MODES), st.integers(1, 50), st.integers(1, 9_000)), min_size=30, max_size=60))
@settings(max_examples=40)
def test_nearly_all_rows_support_themselves(cases: list[tuple[str, int, int]]) -> None:
    rows = [made(at, *case) for at, case in enumerate(cases, 1)]
    support = support_of(*encode(rows, scope_of(rows)))
    leverage = support.leverage(rows)
    assert np.all(leverage > 0)
    assert (leverage > support.limit * (1 + 1e-4)).sum() <= 0.1 * len(rows) + 1

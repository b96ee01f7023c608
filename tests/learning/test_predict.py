"""What trained models answer, and what they refuse to."""

import json
import subprocess
import sys
from dataclasses import replace
from math import exp

import numpy as np
import pytest

from swarmtally.domain.errors import InvalidInput
from swarmtally.learning.predict import Insufficient, Prediction, Predictor, can_vary, predict, to_json, train
from swarmtally.learning.rows import Target, TrainingRow
from tests.learning.histories import history, parts, seconds_of_parts, truth_s, with_durations

FEWEST = {"group_median", "sums"}


def trained(rows: list[TrainingRow], target: Target = "duration_s") -> Predictor:
    found = train(rows, target)
    assert isinstance(found, Predictor)
    return found


def refused(found: Prediction | Predictor | Insufficient) -> Insufficient:
    assert isinstance(found, Insufficient)
    return found


@pytest.fixture(scope="module")
def taught() -> Predictor:
    return trained(history(200))


def test_a_law_is_learned_with_intervals_that_later_rows_keep(taught: Predictor) -> None:
    assert (taught.kind, taught.n, taught.trained_from_ns, taught.trained_until_ns) == ("ridge", 200, 1, 200)
    assert taught.skill is not None
    assert taught.skill.low > 0.5
    inside = 0
    later = history(600, seed=1)
    for row in later:
        found = predict(taught, {"mode": row.mode, "agents": row.agents})
        assert isinstance(found, Prediction)
        inside += found.expected.low <= row.duration_s <= found.expected.high
    assert 0.85 <= inside / len(later) <= 0.95


def test_an_expectation_is_near_what_the_law_says(taught: Predictor) -> None:
    for mode in ("architect", "coder", "tester"):
        for agents in (1, 2, 4, 8):
            found = predict(taught, {"mode": mode, "agents": agents})
            assert isinstance(found, Prediction)
            assert found.expected.value == pytest.approx(truth_s(mode, agents), rel=0.1)


def test_tokens_are_learned_like_seconds() -> None:
    found = predict(trained(history(100), "tokens"), {"mode": "coder", "agents": 2})
    assert isinstance(found, Prediction)
    assert found.expected.value == pytest.approx(100 * truth_s("coder", 2), rel=0.1)


def test_an_answer_tells_how_many_rows_were_alike_and_what_was_assumed(taught: Predictor) -> None:
    rows = history(200)
    found = predict(taught, {"mode": "coder"})
    assert isinstance(found, Prediction)
    assert found.n == 200
    assert found.similar_n == sum(row.mode == "coder" for row in rows)
    usual = sorted(row.agents or 0 for row in rows)[99]
    assert dict(found.assumed) == {"topology": "star", "agents": str(usual)}


@pytest.mark.parametrize(
    ("n", "kinds"), [(30, FEWEST), (40, FEWEST), (49, FEWEST), (50, {"ridge"}), (1_000, {"ridge"})]
)
def test_how_many_rows_there_are_decides_what_learns(n: int, kinds: set[str]) -> None:
    """Of a product of factors."""
    assert trained(history(n)).kind in kinds


@pytest.mark.parametrize("n", [36, 48, 60])
def test_rows_that_a_sum_of_parts_explains_are_explained_by_it(n: int) -> None:
    taught = trained(parts(n))
    assert taught.kind == "sums"
    assert taught.skill is not None
    assert taught.skill.low > 0.5
    row = parts(n)[-6]
    for agents in (row.agents, 5, 8):
        found = predict(taught, {"mode": row.mode, "agents": agents, "prompt_bytes": row.prompt_bytes})
        assert isinstance(found, Prediction), (agents, found)
        assert found.expected.value == pytest.approx(seconds_of_parts((row.prompt_bytes or 0) // 4, agents or 0), 0.001)


@pytest.mark.parametrize("n", [40, 60])
def test_noise_about_a_sum_of_parts_is_told_by_intervals(n: int) -> None:
    random = np.random.default_rng(3)
    inside = 0
    for _ in range(20):
        rows = with_durations(parts(n), lambda row: row.duration_s * exp(random.normal(0, 0.1)))
        taught = trained([rows[place] for place in random.permutation(n)])
        for row in parts(n):
            value, reach = float(taught.model.of([row])[0]), taught.offsets
            found = exp(value + reach[0]), exp(value + reach[1])
            inside += found[0] <= row.duration_s * exp(random.normal(0, 0.1)) <= found[1]
    assert 0.85 <= inside / 20 / n <= 0.96


def test_trees_are_taken_where_they_win_on_later_rows() -> None:
    def jumping(row: TrainingRow) -> float:
        agents = row.agents or 1
        return row.duration_s * (agents if row.mode == "coder" else 1 / agents)

    assert trained(with_durations(history(1_000), jumping)).kind == "boosted_trees"


@pytest.mark.parametrize("n", [0, 1, 29])
def test_fewer_than_thirty_rows_are_too_few(n: int) -> None:
    found = refused(train(history(n), "duration_s"))
    assert (found.what, found.runs_to_make) == ("rows", (f"make at least {30 - n} more runs",))


def test_rows_whose_target_is_unknown_do_not_count() -> None:
    rows = [replace(row, tokens=None) if row.at_ns > 20 else row for row in history(60)]
    assert refused(train(rows, "tokens")).reason == (
        "tokens is known of 20 of 60 tasks; at least 30 are needed (input and output tokens both, or their sum)"
    )


def test_one_setting_of_a_factor_tells_nothing_of_another() -> None:
    taught = trained(with_durations(history(80, agents=(4,)), lambda row: row.duration_s * (1 + row.at_ns % 2)))
    found = refused(predict(taught, {"agents": 8}))
    assert (found.what, found.runs_to_make) == ("levels", ("make at least 2 runs with 8 agents",))
    assert refused(predict(taught, {"topology": "ring"})).runs_to_make == ("make at least 3 runs with topology ring",)
    assert refused(predict(taught, {"concurrency": 2})).reason == "no task has a known concurrency"
    assert refused(can_vary(taught, "agents") or Insufficient("rows", "", ())).reason == "agents: the rows had only 4"
    assert can_vary(taught, "mode") is None


def test_what_lies_outside_the_rows_is_refused(taught: Predictor) -> None:
    found = refused(predict(taught, {"agents": 9}))
    assert found.what == "range"
    assert found.reason == "agents 9 is outside what was seen (1 to 8)"
    assert found.runs_to_make == ("make at least 2 runs with 9 agents",)
    assert refused(predict(taught, {"mode": "poet"})).runs_to_make == ("make at least 3 runs with mode poet",)


@pytest.mark.parametrize("n", [45, 200])
def test_a_model_without_skill_over_the_groups_median_says_so(n: int) -> None:
    random = np.random.default_rng(3)
    rows = with_durations(history(n), lambda row: exp(len(row.mode or "") / 5 + random.normal(0, 0.2)))
    taught = trained(rows)
    assert taught.skill is not None
    assert taught.skill.low <= 0
    assert refused(predict(taught, {"mode": "coder", "agents": 4})).what == "skill"


def test_an_interval_wider_than_four_times_is_no_answer() -> None:
    taught = trained(history(400, noise=0.8, agents=(1, 2, 64)))
    found = refused(predict(taught, {"mode": "coder", "agents": 64}))
    assert found.what == "width"
    assert "wider than 4 times" in found.reason


def test_success_is_a_probability_with_its_interval() -> None:
    taught = trained(history(400), "success")
    assert (taught.kind, taught.coverage) == ("logistic", None)
    for agents, chance in ((1, 0.95), (8, 0.5)):
        found = predict(taught, {"mode": "coder", "agents": agents})
        assert isinstance(found, Prediction)
        assert 0 <= found.expected.low < found.expected.value < found.expected.high <= 1
        assert found.expected.value == pytest.approx(chance, abs=0.12)


def test_success_by_few_rows_is_a_rate_with_a_beta_prior() -> None:
    rows = [replace(row, success=row.at_ns % 4 != 0, mode="coder") for row in history(40)]
    taught = trained(rows, "success")
    assert (taught.kind, taught.skill) == ("group_rate", None)
    found = predict(taught, {"mode": "coder"})
    assert isinstance(found, Prediction)
    # 30 of 40, and Jeffreys' prior.
    assert found.expected.value == pytest.approx(30.5 / 41)
    draws = np.random.default_rng(0).beta(30.5, 10.5, 200_000)
    assert [found.expected.low, found.expected.high] == pytest.approx(np.quantile(draws, [0.05, 0.95]), abs=0.002)


def test_success_that_nothing_explains_claims_no_skill_and_holds_its_rate() -> None:
    random = np.random.default_rng(5)
    taught = trained([replace(row, success=bool(random.random() < 0.8)) for row in history(200)], "success")
    assert taught.skill is None or taught.skill.low <= 0
    held = 0
    for mode in ("architect", "coder", "tester"):
        found = predict(taught, {"mode": mode})
        assert isinstance(found, Prediction)
        held += found.expected.low <= 0.8 <= found.expected.high
    assert held == 3


def test_the_same_rows_in_any_order_give_the_same_model(taught: Predictor) -> None:
    rows = history(200)
    np.random.default_rng(7).shuffle(rows)  # type: ignore[arg-type]
    assert to_json(trained(rows)) == to_json(taught)


def test_no_word_of_a_text_is_in_a_model() -> None:
    rows = [replace(row, text=f"zebra {'make x = 1; ' * (row.at_ns % 7)}") for row in history(100)]
    taught = trained(rows)
    assert any(column["factor"] == "text" for column in to_json(taught)["model"]["encoding"]["columns"])
    assert "zebra" not in json.dumps(to_json(taught))


def test_the_length_of_a_text_is_learned() -> None:
    rows = [replace(row, text="word " * (1 + row.at_ns % 50)) for row in history(200)]
    taught = trained(with_durations(rows, lambda row: row.duration_s * (1 + row.at_ns % 50)))
    short, long = (predict(taught, {"mode": "coder", "agents": 2, "text": "word " * words}) for words in (5, 50))
    assert isinstance(short, Prediction)
    assert isinstance(long, Prediction)
    assert long.expected.value / short.expected.value == pytest.approx(10, rel=0.3)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"colour": "red"}, "no 'colour'"),
        ({"agents": 0}, "at least 1"),
        ({"agents": True}, "at least 1"),
        ({"agents": 2.5}, "at least 1"),
        ({"mode": 3}, "is a text"),
    ],
)
def test_a_query_that_cannot_be_is_an_error(taught: Predictor, query: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        predict(taught, query)


def test_tasks_and_runs_are_not_learned_together() -> None:
    rows = history(60)
    with pytest.raises(ValueError, match="one level"):
        train([*rows, replace(rows[0], level="run")], "duration_s")


def test_asking_needs_no_library_of_models(taught: Predictor) -> None:
    asked = (
        "import json, sys; from swarmtally.learning.predict import from_json, predict;"
        "found = predict(from_json(json.load(sys.stdin)), {'mode': 'coder', 'agents': 2});"
        "print(found.expected.value, 'sklearn' in sys.modules, 'scipy' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", asked], input=json.dumps(to_json(taught)), capture_output=True, text=True, check=True
    )
    here = predict(taught, {"mode": "coder", "agents": 2})
    assert isinstance(here, Prediction)
    assert told.stdout.split() == [str(here.expected.value), "False", "False"]


def test_few_outcomes_tell_the_rate_of_a_mode_and_not_what_settings_do_to_it() -> None:
    rows = [replace(row, success=row.at_ns % 4 != 0) for row in history(40)]
    taught = trained(rows, "success")
    assert isinstance(predict(taught, {"mode": "coder", "topology": "star"}), Prediction)
    found = refused(predict(taught, {"mode": "coder", "agents": 8}))
    assert (found.what, found.runs_to_make) == ("rows", ("make at least 10 more runs",))
    assert "agents 8" in found.reason


def test_an_interval_of_success_has_what_settings_may_do_where_no_skill_was_shown() -> None:
    random = np.random.default_rng(8)
    rows = [replace(row, success=bool(random.random() < 0.8)) for row in history(60)]
    taught = trained(rows, "success")
    assert taught.kind == "logistic"
    assert taught.skill is None or taught.skill.low <= 0
    found = predict(taught, {"mode": "coder", "agents": 8})
    assert isinstance(found, Prediction)
    # Of 60 rows alone it would be about 0.16 wide.
    assert found.expected.high - found.expected.low > 0.2


def test_tasks_of_one_or_two_runs_are_too_few_runs() -> None:
    rows = [replace(row, run_id=f"r{row.at_ns % 2}") for row in history(60)]
    found = refused(train(rows, "duration_s"))
    assert (found.what, found.runs_to_make) == ("rows", ("make at least 1 more runs",))
    assert "60 tasks are of 2 runs" in found.reason

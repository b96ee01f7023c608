"""What a trained model expects and recommends, in a world whose law is known."""

import json
import random
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from swarmtally.learning.answers import Insufficient, Prediction
from swarmtally.learning.predict import Predictor, predict
from swarmtally.learning.recommending import Advice, advise
from swarmtally.learning.rows import TrainingRow
from swarmtally.learning.sections import Section, from_document, learn, to_document
from swarmtally.learning.understanding import understand
from tests.learning.histories import by_prompt
from tests.learning.worlds import speed_up, world


@cache
def learned() -> tuple[Section, ...]:
    return tuple(learn(world(240), "optimization", 0, lambda section: None))


def asked(question: Any, usd_per_token: float | None = None, sections: tuple[Section, ...] | None = None) -> Advice:
    return advise(sections or learned(), understand(question, {"topology": frozenset({"mesh", "star"})}), usd_per_token)


def expected(advice: Advice, target: Any, *, then: bool = False) -> Prediction:
    answer = (advice.then if then else advice.expected)[target].answer
    assert isinstance(answer, Prediction), answer
    return answer


def test_what_it_expects_is_what_the_law_of_the_world_says() -> None:
    advice = asked({"agents": 4, "topology": "star", "tasks": 20})
    took = expected(advice, "duration_s")
    assert took.expected.low < 20 * 20 / speed_up(4) < took.expected.high
    assert (took.n, took.similar_n > 0) == (240, True)
    used = expected(advice, "tokens").expected
    assert used.low < 2_000 < used.high
    skill = advice.expected["duration_s"].learned
    assert not isinstance(skill, Insufficient)
    assert skill.skill is not None
    assert skill.skill.low > 0


def test_it_recommends_the_faster_topology_and_as_many_agents_as_pay() -> None:
    advice = asked({"tasks": 20})
    assert advice.choices["topology"].value == "star"
    assert advice.choices["topology"].compared is not None
    assert advice.choices["topology"].compared["mesh"] > advice.choices["topology"].compared["star"]
    assert isinstance(advice.agents.value, int)
    assert 4 <= advice.agents.value <= 7
    assert advice.recommended == {"tasks": 20, "agents": advice.agents.value, "topology": "star"}
    assert expected(advice, "duration_s", then=True).expected.value < expected(advice, "duration_s").expected.value


def test_what_is_asked_for_is_kept_and_what_was_never_tried_is_not_recommended() -> None:
    advice = asked({"topology": "mesh", "agents": 2})
    assert (advice.choices["topology"].value, advice.choices["topology"].reason) == ("mesh", "as asked")
    assert advice.query == {"topology": "mesh", "agents": 2}
    assert advice.choices["strategy"].value is None
    assert advice.choices["strategy"].reason == "no strategy is known; nothing can be compared"
    assert advice.choices["strategy"].runs_to_make == ("make at least 3 runs with another strategy",)


def test_how_long_a_task_takes_is_told_by_what_was_learned_of_its_prompt_only_where_that_is_named() -> None:
    (section,) = learn(by_prompt(), "prediction", 0, lambda section: None)
    text = "word " * 30
    unknown = asked({"level": "task", "text": text}, sections=(section,)).expected["duration_s"]
    assert unknown.learned is section.before
    assert isinstance(unknown.answer, Prediction)
    assert unknown.answer.expected.low < 30 < unknown.answer.expected.high
    assert "prompt_bytes" not in dict(unknown.answer.assumed)
    named = asked({"level": "task", "text": text, "prompt_bytes": 6_000}, sections=(section,)).expected["duration_s"]
    assert named.learned is section.targets["duration_s"]
    guessed = predict(named.learned, {"text": text}) if isinstance(named.learned, Predictor) else None
    assert not isinstance(guessed, Prediction) or not guessed.expected.low < 30 < guessed.expected.high, "what differs"


def test_a_budget_that_nothing_fits_recommends_nothing() -> None:
    broke = asked({"tasks": 20, "budget_tokens": 5})
    assert broke.agents.value is None
    assert broke.agents.reason == "even one agent is expected to use more than the budget of 5 tokens"
    assert asked({"tasks": 20, "budget_usd": 0.001}, usd_per_token=0.001).agents.value is None
    assert asked({"tasks": 20, "budget_usd": 900}, usd_per_token=0.001).agents.value is not None


def test_dollars_without_a_price_are_told() -> None:
    advice = asked({"tasks": 20, "budget_usd": 1})
    assert advice.unused == {"budget_usd": "no call of this project has a price, so dollars cannot be counted"}


@pytest.mark.parametrize(("word", "place"), [("low", 0), ("medium", 1), ("high", 2)])
def test_complexity_is_a_quartile_of_what_was_seen(word: str, place: int) -> None:
    advice = asked(f"complexity: {word}")
    quartiles = sorted(row.tasks or 0 for row in world(240))
    assert advice.query["tasks"] == quartiles[239 * (place + 1) // 4]
    assert advice.meant["complexity"].startswith(f"tasks {advice.query['tasks']}: the ")


def test_beyond_what_was_tried_it_refuses_with_the_runs_to_make() -> None:
    answer = asked({"agents": 500}).expected["duration_s"].answer
    assert isinstance(answer, Insufficient)
    assert (answer.what, answer.runs_to_make) == ("range", ("make at least 2 runs with 500 agents",))


def test_one_two_and_four_agents_say_at_least_four_and_try_eight() -> None:
    rows = [row for row in world(300) if row.agents in (1, 2, 4)]
    advice = asked({}, sections=tuple(learn(rows, "coordination", 0, lambda section: None)))
    assert advice.agents.value is None
    assert advice.agents.reason is not None
    assert advice.agents.reason.startswith("at least 4; try 8")
    assert "make at least 2 runs with 8 agents" in advice.agents.runs_to_make


def test_where_more_might_be_quicker_still_it_recommends_what_pays_and_says_so() -> None:
    def turned(row: TrainingRow) -> TrainingRow:
        agents = row.agents or 1
        return replace(row, duration_s=row.duration_s * speed_up(agents) / (agents / (1 + 0.2 * (agents - 1))))

    rows = [turned(row) for row in world(300)]
    agents = asked({}, sections=tuple(learn(rows, "coordination", 0, lambda section: None))).agents
    # By the law the next agent adds less than a tenth from 10 on, and there is no greatest throughput.
    assert agents.value in (9, 10, 11)
    assert agents.reason is not None
    assert agents.reason.startswith("the next one hardly pays; of the best number: at least")
    assert agents.runs_to_make


def adding(source: str, sizes: tuple[int, ...], level: str = "task") -> tuple[Section, ...]:
    """A model of rows by a law that adds: 20 s that are nobody's, and 10 s that agents share; noise of 2 %."""
    draw = random.Random(7)
    rows = [
        replace(
            row,
            agents=sizes[number % len(sizes)],
            duration_s=(20 + 10 / sizes[number % len(sizes)]) * draw.lognormvariate(0, 0.02),
            topology="mesh",
            tasks=None,
        )
        for number, row in enumerate(world(120, source=source, level=level))
    ]
    return tuple(each for each in learn(rows, "optimization", 0, lambda section: None) if each.rows)


def without_curves(sections: tuple[Section, ...]) -> tuple[Section, ...]:
    return tuple(
        replace(each, curves={name: replace(curve, enough=None, best=None) for name, curve in each.curves.items()})
        for each in sections
    )


def test_where_the_curve_tells_no_number_the_expected_durations_do() -> None:
    agents = asked({}, sections=without_curves(adding("given", (1, 2, 4, 8)))).agents
    # Two are 1.2 times as quick as one, three 1.29 times.
    assert agents.value == 2
    assert agents.reason is not None
    assert agents.reason.startswith("by the durations expected the next one hardly pays")


@pytest.mark.parametrize("sizes", [(1, 2, 4), (2, 4, 8, 16)])
def test_they_do_not_where_too_few_numbers_were_tried_or_not_one_alone(sizes: tuple[int, ...]) -> None:
    assert asked({}, sections=without_curves(adding("given", sizes))).agents.value is None


def test_own_tasks_are_not_quicker_for_more_agents() -> None:
    sections = without_curves(adding("own", (1, 2, 4, 8)))
    assert [(each.source, each.level) for each in sections] == [("own", "task")]
    assert asked({}, sections=sections).agents.value is None


def test_own_rows_answer_before_given_ones_and_are_never_mixed() -> None:
    own, given = world(60, seed=2, source="own"), world(61, seed=3)
    sections = tuple(learn([*own, *given], "coordination", 0, lambda section: None))
    assert [(each.source, each.rows) for each in sections] == [("own", 60), ("given", 61)]
    assert asked({}, sections=sections).section.source == "own"
    untaught = Insufficient("rows", "too few", ())
    silent = replace(sections[0], targets=dict.fromkeys(sections[0].targets, untaught))
    assert asked({}, sections=(silent, sections[1])).section.source == "given"


def test_what_a_model_did_not_learn_is_not_answered_from_something_else() -> None:
    only_runs = tuple(each for each in learned() if each.level == "run")
    answer = asked({"level": "task"}, sections=only_runs).expected["duration_s"].answer
    assert isinstance(answer, Insufficient)
    assert answer.reason == "this model learned nothing of tasks; train it with another pattern_type"


def test_a_model_comes_back_from_its_json_as_it_was() -> None:
    document = to_document(learned())
    assert to_document(from_document(json.loads(json.dumps(document)))) == document
    again = tuple(from_document(json.loads(json.dumps(document))))
    question = {"agents": 4, "topology": "star", "tasks": 20}
    assert expected(asked(question, sections=again), "duration_s") == expected(asked(question), "duration_s")


def test_a_document_of_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="a model of format 2; this program reads 1"):
        from_document({**to_document(learned()), "format": 2})

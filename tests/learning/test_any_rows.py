"""Whatever the rows are: an answer with bounds around it, or a refusal; and the same again from JSON."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from swarmtally.learning.predict import Insufficient, Prediction, Predictor, from_json, predict, to_json, train
from swarmtally.learning.ranges import scope_of
from swarmtally.learning.rows import CATEGORIES, Target, TrainingRow

names = st.none() | st.sampled_from(["a", "b", "ü"])
amounts = st.none() | st.sampled_from([1, 2, 3, 64, 10**9])
rows = st.builds(
    TrainingRow,
    at_ns=st.integers(0, 5),
    source=st.just("given"),
    level=st.just("run"),
    duration_s=st.sampled_from([1e-9, 0.5, 1.0, 2.0, 1e9]),
    success=st.none() | st.booleans(),
    tokens=st.none() | st.sampled_from([0, 1, 500, 10**12]),
    **dict.fromkeys(CATEGORIES, names),
    agents=amounts,
    concurrency=amounts,
    prompt_bytes=amounts,
    tasks=amounts,
    text=st.sampled_from(["", "one", "x = 1;\n" * 5]),
)
queries = st.fixed_dictionaries(
    {}, optional={"mode": names, "agents": amounts, "tasks": amounts, "text": st.text(max_size=9)}
)


@settings(max_examples=40, deadline=None)
@given(
    few=st.lists(rows, min_size=1, max_size=6),
    order=st.lists(st.integers(0, 5), min_size=25, max_size=70),
    query=queries,
    target=st.sampled_from(["duration_s", "tokens", "success"]),
)
def test_any_rows_and_any_query_have_an_answer_or_a_refusal(
    few: list[TrainingRow], order: list[int], query: dict[str, Any], target: Target
) -> None:
    history = [few[place % len(few)] for place in order]
    found = train(history, target)
    if isinstance(found, Insufficient):
        assert found.what == "rows"
        return
    again = from_json(json.loads(json.dumps(to_json(found))))
    answer = predict(found, query)
    assert answer == predict(again, query)
    if isinstance(answer, Prediction):
        expected = answer.expected
        assert 0 <= expected.low <= expected.value <= expected.high <= 4 * expected.low
        assert answer.n == found.n
        assert target != "success" or expected.high <= 1
    else:
        assert answer.reason


@given(few=st.lists(rows, min_size=1, max_size=20))
def test_every_row_is_similar_to_itself_and_to_a_query_that_names_nothing(few: list[TrainingRow]) -> None:
    scope = scope_of(few)
    assert scope.similar({}) == len(few)
    for row in few:
        named = {factor: getattr(row, factor) for factor in (*CATEGORIES, "agents") if getattr(row, factor) is not None}
        alike = [each for each in few if all(getattr(each, factor) == value for factor, value in named.items())]
        assert len(alike) <= scope.similar(named) <= len(few)


def test_a_predictor_of_rows_that_are_all_alike_predicts_them() -> None:
    taught = train([TrainingRow(at, "own", "task", 2.0, agents=1 + at % 3) for at in range(60)], "duration_s")
    assert isinstance(taught, Predictor)
    # Nothing is left to be saved, so there is no skill in saving it.
    assert isinstance(predict(taught, {}), Insufficient)


def test_amounts_far_from_each_other_are_not_similar() -> None:
    scope = scope_of([TrainingRow(at, "own", "task", 1.0, agents=agents) for at, agents in enumerate((1, 2, 4, 5, 64))])
    assert [scope.similar({"agents": agents}) for agents in (1, 2, 4, 64, 16)] == [1, 1, 2, 1, 0]

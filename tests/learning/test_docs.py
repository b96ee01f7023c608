"""docs/learning.md says what the code does."""

import re
from pathlib import Path
from typing import get_args

from swarmtally.learning import answers, given, predict, recommending, sections
from swarmtally.predicting import FORESEEN, SCORED
from swarmtally.store import models
from swarmtally.training import DEFAULT_MODEL
from swarmtally.training_rows import ROWS_LIMIT

DOCS = Path(__file__).parents[2] / "docs"

PAGE = (DOCS / "learning.md").read_text(encoding="utf-8")


def test_every_name_that_a_given_row_may_have_is_in_the_table() -> None:
    table = PAGE[PAGE.index("| name | value |") : PAGE.index("A row that is wrong")]
    assert set(re.findall(r"`([a-z_]+)`", table)) == {*given._READERS, "task", "run"}


def test_its_limits_are_those_of_the_code() -> None:
    assert (ROWS_LIMIT, given.ROWS_LIMIT, models.GIVEN_KEPT) == (100_000,) * 3
    for said in (
        f"up to {given.ROWS_LIMIT:,} in a call",
        f"the newest {models.VERSIONS_KEPT} are kept",
        f"| fewer than {predict.LEAST_ROWS} | none",
        f"| up to {predict.LEAST_RIDGE - 1} |",
        f"| from {predict.LEAST_TREES:,} | boosted trees",
        f"its first {FORESEEN} tasks",
        f"the newest {SCORED} durations",
        f"the first {given.TEXT_LIMIT:,} characters",
        f"count as {given.BYTES_PER_TOKEN} bytes each",
        f"the model `{DEFAULT_MODEL}`",
    ):
        assert said in PAGE, said


def test_every_refusal_and_pattern_is_told() -> None:
    refusals = PAGE[PAGE.index("| `what` | when |") : PAGE.index("## Predictions are compared")]
    assert set(re.findall(r"^\| `(\w+)` \| ", refusals, re.MULTILINE)) == {"what", *get_args(answers.Missing)}
    for name in (*sections.PATTERNS, *recommending.CHOSEN):
        assert name in PAGE.lower()

"""A backend that answers with what is no answer ends that task and nothing else."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from swarmtally.core.ports import Prompt, Reply
from swarmtally.domain.errors import BackendFailure
from swarmtally.domain.usage import TokenUsage
from tests.core.harness import ScriptedBackend, swarmed, task

USED = TokenUsage(10, 5)
ANY: Any = TokenUsage
"""To make usages with figures that a type checker would refuse."""


@dataclass
class WrongBackend(ScriptedBackend):
    """Answers the task `bad` with `answer`, or raises it, and all others as it should."""

    answer: Any = None

    async def execute(self, prompt: Prompt) -> Reply:
        if prompt.parts[-1] != "bad":
            return await ScriptedBackend.execute(self, prompt)
        if isinstance(self.answer, Exception):
            raise self.answer
        answer: Reply = self.answer
        return answer


def failure(**given: Any) -> BackendFailure:
    made = BackendFailure("overloaded", transient=True)
    for name, value in given.items():
        setattr(made, name, value)
    return made


def reply(text: Any, usage: Any, **given: Any) -> Reply:
    return Reply(text, usage, **given)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "its reply is NoneType, not Reply"),
        ("text", "its reply is str, not Reply"),
        (reply(b"x", USED), "its reply's text is bytes, not str"),
        (reply(None, USED), "its reply's text is NoneType, not str"),
        (reply("x", None), "its usage is NoneType, not TokenUsage"),
        (reply("x", {"input_tokens": 5}), "its usage is dict, not TokenUsage"),
        (reply("x", ANY(10, 5, reason=object())), "its usage's reason is object, not str"),
        (reply("x", ANY(10, 5, source="guessed")), "its usage's source is 'guessed'"),
        (failure(usage="5 tokens"), "its usage is str, not TokenUsage"),
        (failure(retry_after_s="5"), "its retry_after_s is '5'"),
        (failure(retry_after_s=float("nan")), "its retry_after_s is nan"),
        (failure(cause="late"), "its cause is str, not FailureCause"),
    ],
)
async def test_what_is_no_reply_ends_its_task_as_an_internal_error(tmp_path: Path, answer: Any, said: str) -> None:
    async with swarmed(tmp_path, WrongBackend(answer=answer)) as swarm:
        found = await swarm.run(task("bad"), task("good"))
        assert (found["bad"].status, found["good"].status) == ("failed", "succeeded")
        assert "internal error in backend scripted" in (found["bad"].error or "")
        assert said in (found["bad"].error or "")
        (call,) = await swarm.rows(
            "SELECT usage.status, usage.reason FROM usage JOIN task USING (task_id) WHERE task.key = 'bad'"
        )
        assert tuple(call) == ("unknown", "the backend broke down")


@pytest.mark.parametrize("figure", [5.5, 5.0, "5", True, float("nan"), -1, 2**41])
@pytest.mark.parametrize("field", ["input_tokens", "reasoning_tokens"])
async def test_a_figure_that_cannot_be_makes_the_usage_unknown_and_leaves_the_answer(
    tmp_path: Path, field: str, figure: Any
) -> None:
    usage = ANY(**{"input_tokens": 10, "output_tokens": 5, field: figure})
    async with swarmed(tmp_path, WrongBackend(answer=reply("done", usage))) as swarm:
        found = await swarm.run(task("bad"))
        assert found["bad"].status == "succeeded"
        (call,) = await swarm.rows("SELECT status, input_tokens, output_tokens, reason FROM usage")
        assert tuple(call) == ("unknown", None, None, "the provider reported a figure that cannot be")

"""Pydantic's findings in one line."""

from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

from swarmtally_tools.faults import first_fault


class _Item(BaseModel):
    size: float = Field(default=1, gt=0, lt=10)


class _Model(BaseModel):
    names: list[str] = Field(default_factory=list, min_length=1, max_length=2)
    flag: bool = False
    item: _Item = _Item()
    text: str = Field(default="x", min_length=1)
    even: int = 0

    @field_validator("even")
    @classmethod
    def _is_even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("odd")
        return value


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"names": []}, "names must have at least 1 item, got []"),
        ({"names": ["a", "b", "c"]}, "names must have at most 2 items, got ['a', 'b', 'c']"),
        ({"names": "a"}, "names must be a list, got 'a'"),
        ({"names": ["a", 1]}, "names.1 must be text, got 1"),
        ({"flag": "perhaps"}, "flag must be true or false, got 'perhaps'"),
        ({"item": {"size": 10}}, "item.size must be less than 10.0, got 10"),
        ({"item": {"size": 0}}, "item.size must be more than 0.0, got 0"),
        ({"item": {"size": "x"}}, "item.size must be a number, got 'x'"),
        ({"text": ""}, "text must be at least 1 character long, got ''"),
        ({"even": 3}, "even: value error, odd, got 3"),
        ({"flag": "x" * 100}, f"flag must be true or false, got '{'x' * 59}… (102 characters)"),
        ({"flag": "x", "text": "", "even": 3}, "flag must be true or false, got 'x' (and 2 more)"),
    ],
)
def test_a_fault_is_one_line(given: dict[str, Any], line: str) -> None:
    with pytest.raises(ValidationError) as caught:
        _Model.model_validate(given)
    assert first_fault(caught.value) == line

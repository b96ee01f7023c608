"""What a report says, before anything is done with it."""

import pytest

from swarmtally.domain.errors import InvalidInput
from swarmtally_tools.work import _report


def test_half_a_character_is_replaced_in_words_and_refused_in_files() -> None:
    assert _report("half \ud800 one", None, None, None).output == "half ? one"
    with pytest.raises(InvalidInput, match="not valid Unicode"):
        _report("done", {"a": "\ud800"}, None, None)


def test_an_error_is_one_short_line() -> None:
    told = _report(None, None, f"no\n\x1b[31m such\tlibrary {'x' * 1_000}", None).error
    assert told is not None
    assert told.startswith("no �[31m such library xx")
    assert len(told) == 500


def test_output_is_kept_as_it_came() -> None:
    assert _report("  \n# Cart\r\n\x00", None, None, None).output == "  \n# Cart\r\n\x00"

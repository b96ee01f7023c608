"""Log lines: key=value, one a line, never on stdout."""

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from swarmtally.domain.errors import InvalidInput
from swarmtally.logs import configure_logging


@pytest.fixture(autouse=True)
def logged() -> Iterator[None]:
    """In place of the one that captures what is logged: here it is the configuration that is tested."""
    before: dict[str, Any] = structlog.get_config()
    root, handlers, level = logging.getLogger(), logging.getLogger().handlers[:], logging.getLogger().level
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_an_event_is_one_line_of_key_and_value() -> None:
    sink = io.StringIO()
    configure_logging("info", sink)
    structlog.get_logger("x").info("tool.call", tool="swarm_init", note="two words")
    structlog.get_logger("x").debug("unseen")
    line = sink.getvalue()
    assert line.endswith('level=info event=tool.call tool=swarm_init note="two words"\n')
    assert line.startswith("timestamp=")


def test_a_trace_stays_on_its_line() -> None:
    sink = io.StringIO()
    configure_logging("info", sink)
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        structlog.get_logger("x").exception("tool.failed")
    assert sink.getvalue().count("\n") == 1
    assert "ZeroDivisionError" in sink.getvalue()


def test_libraries_log_in_the_same_form_from_warnings_on() -> None:
    sink = io.StringIO()
    configure_logging("info", sink)
    logging.getLogger("library").info("unseen")
    logging.getLogger("library").warning("seen %s", 1)
    assert 'level=warning event="seen 1" logger=library\n' in sink.getvalue()
    assert sink.getvalue().count("\n") == 1


def test_debug_shows_what_libraries_say() -> None:
    sink = io.StringIO()
    configure_logging("debug", sink)
    logging.getLogger("library").debug("seen")
    assert "event=seen" in sink.getvalue()


def test_by_default_it_is_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("warning")
    structlog.get_logger("x").warning("seen")
    logging.getLogger("library").warning("seen too")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 2


def test_a_level_there_is_not_is_refused() -> None:
    with pytest.raises(InvalidInput, match="it takes debug, info, warning, error"):
        configure_logging("loud")

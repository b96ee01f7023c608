"""Logging: one line of key=value per event, on stderr, because stdout carries results and the protocol."""

import logging
import sys
from typing import Protocol

import structlog
from structlog.typing import Processor

from swarmtally.domain.errors import InvalidInput


class LineSink(Protocol):
    """What a line of log is written to; a text stream is one."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


LEVELS = ("debug", "info", "warning", "error")


def configure_logging(level: str, sink: LineSink | None = None) -> None:
    """Send structlog's events, and those of libraries that use the standard library's logging, to stderr.

    Args:
        level: one of `LEVELS`; what is below it is dropped.
        sink: where lines go instead of stderr.

    Raises:
        InvalidInput: the level is none.
    """
    if level not in LEVELS:
        raise InvalidInput(f"the log level is {level!r}; it takes {', '.join(LEVELS)}")
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: list[Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.LogfmtRenderer(key_order=("timestamp", "level", "event"), bool_as_flag=False),
    ]
    target = sink if sink is not None else sys.stderr
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=target),  # type: ignore[arg-type] # it writes and flushes
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    # Libraries' own news is only of interest to who debugs. `force` takes away handlers put there before us.
    logging.basicConfig(
        handlers=[handler], level=number if level == "debug" else max(number, logging.WARNING), force=True
    )

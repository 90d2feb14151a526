"""What the package warns of while something is read, taken up instead of logged."""

import logging
from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")
_logger = logging.getLogger("opentelemetry.instrumentation.xai")


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def complaints_of(read: Callable[[], _Result]) -> tuple[_Result, list[str]]:
    """What a function returns, and the warnings that it gave; these go nowhere else."""
    collector = _Collector()
    handlers, level, propagate = _logger.handlers, _logger.level, _logger.propagate
    _logger.handlers, _logger.propagate = [collector], False
    _logger.setLevel(logging.WARNING)
    try:
        return read(), collector.messages
    finally:
        _logger.handlers, _logger.propagate = handlers, propagate
        _logger.setLevel(level)

"""The one guard between the application and our own mistakes.

Every call from a client adapter passes it: an ``Exception`` of ours is logged once for each place and kind, and goes no
further. A ``BaseException`` (cancellation, keyboard interrupt) is never held up. What is logged is where and of which
type, never the message, which might quote what the application sent.
"""

import functools
import logging
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

_logger = logging.getLogger(__name__)
_MOST_KINDS = 256
_logged: set[tuple[str, str]] = set()

raise_faults = False
"""Set by our own test suite, where a fault of ours must be loud."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


def fault(place: str, error: Exception) -> None:
    """Take note of a fault of ours; raises it again under the test suite."""
    if raise_faults:
        raise error
    kind = (place, type(error).__name__)
    if kind not in _logged and len(_logged) < _MOST_KINDS:
        _logged.add(kind)
        with suppress(Exception):  # a handler of the application's may be broken too
            _log(place, error)


def _log(place: str, error: Exception) -> None:
    where = " < ".join(
        f"{frame.name} ({frame.filename.rpartition('/')[2]}:{frame.lineno})"
        for frame in reversed(traceback.extract_tb(error.__traceback__, limit=-4))
    )
    _logger.error(
        "Telemetry for xAI failed in %s with %s: %s. The application is not affected; "
        "this kind of fault is logged once.",
        place,
        type(error).__name__,
        where,
    )


def guarded(function: _Function) -> _Function:
    """Make a function that is called by position safe for an application: where it fails, it returns ``None``."""

    @functools.wraps(function)
    def guard(*args: Any) -> Any:  # by position only, which is cheaper
        try:
            return function(*args)
        except Exception as error:
            fault(function.__qualname__, error)
            return None

    return cast("_Function", guard)

"""What the user is told about a value that is not allowed: what was given, what is allowed, and what is done.

Never a credential: whatever stands before the host of a URL is left out.
"""

import logging
import re
from typing import Any

_logger = logging.getLogger(__name__.rpartition(".")[0])
_USER_INFO = re.compile(r"(?<=://).*@|[^/,\s]*@")
_MOST_KNOWN = 256
_told: set[tuple[str, str]] = set()


def not_allowed(source: str, value: Any, allowed: str, instead: str = "the default") -> None:
    """Warn that a variable or keyword has a value that is not allowed, and say what it is taken as."""
    _logger.warning("%s: %r is not allowed (allowed: %s); taken as %s.", source, shown(value), allowed, instead)


def not_allowed_once(source: str, value: Any, allowed: str) -> None:
    """The same for what is read more than once in the life of a process."""
    told = (source, repr(value))
    if told not in _told and len(_told) < _MOST_KNOWN:
        _told.add(told)
        not_allowed(source, value, allowed)


def once(logger: logging.Logger, level: int, message: str, *parts: Any) -> None:
    """Log what is worth saying once in the life of a process."""
    told = (message, repr(parts))
    if told not in _told and len(_told) < _MOST_KNOWN:
        _told.add(told)
        logger.log(level, message, *parts)


def shown(value: Any) -> Any:
    """A value as it may be shown: what stands before the host of a URL may be a credential."""
    return _USER_INFO.sub("***@", value) if isinstance(value, str) else value

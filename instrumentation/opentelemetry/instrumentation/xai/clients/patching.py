"""How a method of a client library is wrapped, and given back.

A plain function, for bystanders pay a third of what a proxy object costs. Whoever wraps the method after us keeps what
he made: ours then stays beneath, inert. A method that ours is around already, on top or under somebody else's wrapper,
is left as it is: one class may be met under two names, as when httpx2's ``alias_httpx()`` shows one module as two.
"""

import functools
from collections.abc import Callable
from typing import Any

_OURS = "_opentelemetry_instrumentation_xai"


def wrap(owner: Any, name: str, around: Callable[[Any], Any]) -> Callable[[], None]:
    """Put ``around(original)`` in the place of a class's own method; returns what undoes it."""
    original = vars(owner).get(name)
    if original is None or is_wrapped(original):
        return _nothing
    wrapped = functools.update_wrapper(around(original), original)
    setattr(wrapped, _OURS, True)
    setattr(owner, name, wrapped)

    def restore() -> None:
        if vars(owner).get(name) is wrapped:  # else somebody wrapped it again, and ours stays beneath, inert
            setattr(owner, name, original)

    return restore


def is_wrapped(function: Any) -> bool:
    """Whether ours is among the wrappers around a function: on top, or under somebody else's."""
    while function is not None:
        if hasattr(function, _OURS):
            return True
        function = getattr(function, "__wrapped__", None)
    return False


def together(undo: list[Callable[[], None]]) -> Callable[[], None]:
    """All that undoes, as one; the last made is the first undone."""

    def unpatch() -> None:
        for restore in reversed(undo):
            restore()

    return unpatch


def _nothing() -> None:
    pass

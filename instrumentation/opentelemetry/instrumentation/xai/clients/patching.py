"""How a method of a client library is wrapped, and given back.

A plain function, for bystanders pay a third of what a proxy object costs. Whoever wraps the method after us keeps what
he made: ours then stays beneath, inert. Whoever was there first may take his wrapper off, and ours stays. To do so,
OpenTelemetry's instrumentations look at what is outermost, for a proxy or for an attribute that marks it as theirs, and
put back what it is around; so ours goes beneath a proxy, and over a marked function it says that it is around what that
one is around, with ours in between.

A method that ours is around already, on top or under somebody else's wrapper, is left as it is: one class may be met
under two names, as when httpx2's ``alias_httpx()`` shows one module as two.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import wrapt

_PROXY: Any = getattr(wrapt, "BaseObjectProxy", wrapt.ObjectProxy)  # what all of them are, before wrapt 2 and since
_OURS = "_opentelemetry_instrumentation_xai"


def wrap(owner: Any, name: str, around: Callable[[Any], Any]) -> Callable[[], None]:
    """Put ``around(original)`` in the place of a class's own method; returns what undoes it."""
    original = vars(owner).get(name)
    if original is None or is_wrapped(original):
        return _nothing
    if isinstance(original, _PROXY):
        return _slip_beneath(owner, name, original, around)
    wrapped = _ours(around, original)
    inner = getattr(original, "__wrapped__", None)
    bare = None
    if inner is not None:  # our attributes are his: who takes his wrapper off by them puts this in its place
        bare = wrapped.__wrapped__ = _ours(around, inner)
    setattr(owner, name, wrapped)

    def restore() -> None:
        present = vars(owner).get(name)
        if present is wrapped:
            setattr(owner, name, original)
        elif bare is not None and present is bare:
            setattr(owner, name, inner)
        # else somebody wrapped it again, and ours stays beneath, inert

    return restore


def _slip_beneath(owner: Any, name: str, proxy: Any, around: Callable[[Any], Any]) -> Callable[[], None]:
    """Put ours between a proxy of wrapt's and what it is around, which is put back by whoever takes the proxy off."""
    original = proxy.__wrapped__
    wrapped = proxy.__wrapped__ = _ours(around, original)

    def restore() -> None:
        if vars(owner).get(name) is wrapped:
            setattr(owner, name, original)
        elif proxy.__wrapped__ is wrapped:
            proxy.__wrapped__ = original

    return restore


def _ours(around: Callable[[Any], Any], original: Any) -> Any:
    wrapped = functools.update_wrapper(around(original), original)
    setattr(wrapped, _OURS, True)
    return wrapped


def is_wrapped(function: Any) -> bool:
    """Whether ours is among the wrappers around a function: on top, or under somebody else's."""
    while function is not None:
        if hasattr(function, _OURS):
            return True
        function = getattr(function, "__wrapped__", None)
    return False


def wrap_each(methods: Iterable[tuple[Any, str]], *arounds: Callable[[Any], Any]) -> Callable[[], None]:
    """Wrap each method as the function in the same place says; returns what undoes it all."""
    return together([wrap(owner, name, around) for (owner, name), around in zip(methods, arounds, strict=False)])


def together(undo: list[Callable[[], None]]) -> Callable[[], None]:
    """All that undoes, as one; the last made is the first undone."""

    def unpatch() -> None:
        for restore in reversed(undo):
            restore()

    return unpatch


def _nothing() -> None:
    pass

"""The client libraries: one adapter file each, and this table of which module of the application needs which.

An adapter is loaded when the application imports its library, not before. Its ``patch(module, current)`` wraps the
library and returns what undoes it; ``current.observer`` is the observer that is on, or ``None``.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Protocol

from ..observer import Observer


class CurrentObserver(Protocol):
    """Asked at each request, so that wrappers that are kept elsewhere turn inert."""

    observer: "Observer | None"
    """The observer that is on."""


class Adapter(Protocol):
    """What each module of this folder offers."""

    def methods(self, module: ModuleType) -> Sequence[tuple[type, str]]:
        """The methods that ``patch`` wraps, each with its class; none where the library is not as it must be."""

    def patch(self, module: ModuleType, current: CurrentObserver) -> Callable[[], None]:
        """Patch the library and return what undoes it."""


_ADAPTERS = {
    "httpx": "httpx",
    "httpx2": "httpx",
    "aiohttp": "aiohttp",
    "niquests": "niquests",
    "requests": "requests",
    "urllib3": "urllib3",
    "xai_sdk": "xai_sdk",
}

LIBRARIES = tuple(_ADAPTERS)
"""The modules whose import brings a client library."""


def adapter_of(library: str) -> Adapter:
    """The adapter of a library's module."""
    adapter: Adapter = import_module(f"{__name__}.{_ADAPTERS[library]}")
    return adapter

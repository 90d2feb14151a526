"""niquests, synchronous and asynchronous.

It rides on urllib3-future, by that name or by that of urllib3, which it replaces.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import CurrentObserver
from .patching import wrap_each
from .sessions import Sessions


def methods(module: ModuleType) -> list[tuple[type, str]]:
    """``send`` of the sessions, and of the adapters that carry them, which also gather promised answers."""
    library: Any = module
    return [
        (library.Session, "send"),
        (library.adapters.HTTPAdapter, "send"),
        (library.adapters.HTTPAdapter, "gather"),
        (library.AsyncSession, "send"),
        (library.adapters.AsyncHTTPAdapter, "send"),
        (library.adapters.AsyncHTTPAdapter, "gather"),
    ]


def patch(module: ModuleType, current: CurrentObserver) -> Callable[[], None]:
    """Wrap the methods of niquests and return what puts the originals back."""
    library = Sessions(module, current)
    return wrap_each(
        methods(module),
        library.around_send,
        library.around_adapter,
        library.around_gather,
        library.around_async_send,
        library.around_async_adapter,
        library.around_async_gather,
    )

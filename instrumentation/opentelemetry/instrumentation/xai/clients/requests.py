"""requests.

The call begins as early as what is sent is known, with what ``Session.prepare_request`` returns within
``Session.request``: OpenTelemetry's instrumentation wraps ``Session.send``, and suppresses what is beneath its own
span. A prepared request that an application hands to ``send`` itself begins there, perhaps beneath.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import CurrentObserver
from .patching import wrap_each
from .sessions import Sessions

_OTHERS = "opentelemetry.instrumentation.requests"


def methods(module: ModuleType) -> list[tuple[type, str]]:
    """Three of ``Session``, and what carries them.

    ``request`` encloses a call that ``prepare_request`` begins: only these are outside of OpenTelemetry's wrapper, and
    a session that overrides ``send`` asks for no other. ``send`` encloses what comes prepared. The adapter's ``send``
    is where another body can be sent, and where the last answer's is still unread.
    """
    library: Any = module
    session = library.Session
    return [
        (session, "request"),
        (session, "prepare_request"),
        (session, "send"),
        (library.adapters.HTTPAdapter, "send"),
    ]


def patch(module: ModuleType, current: CurrentObserver) -> Callable[[], None]:
    """Wrap the methods of requests and return what puts the originals back."""
    library = Sessions(module, current, _OTHERS)
    return wrap_each(
        methods(module),
        library.around_request,
        library.around_prepare_request,
        library.around_send,
        library.around_adapter,
    )

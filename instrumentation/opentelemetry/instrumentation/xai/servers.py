"""Servers that take SIGTERM over while they run, and give it back before they let the process die of it.

Between that there is no moment at which we could take it: it must be ours before. gunicorn's workers reset it after
their fork, so being early once is not enough.
"""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import wrapt


def before_taking_over(arm: Callable[[], None]) -> None:
    """Call ``arm`` whenever uvicorn is about to take the signals over."""

    def patch(module: ModuleType) -> None:
        server: Any = getattr(module, "Server", None)
        original = getattr(server, "capture_signals", None)
        if original is not None:

            @functools.wraps(original)
            def capture_signals(self: Any) -> Any:
                arm()
                return original(self)

            server.capture_signals = capture_signals

    wrapt.register_post_import_hook(patch, "uvicorn.server")

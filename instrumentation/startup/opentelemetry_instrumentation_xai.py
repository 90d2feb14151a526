"""Switches the instrumentation on at the start of any Python program, if an environment variable says so.

Python runs ``start`` by way of the file of this name that ends in ``.pth`` (from Python 3.15 on, ``.start``) beside
this one. Unless ``OTEL_INSTRUMENTATION_XAI_ENABLED`` is set, nothing happens.

It lies outside of the package, and knows the standard library alone, because importing the package costs the import of
OpenTelemetry: that is paid by programs that use a client library, when they import it.

PYTEST_DONT_REWRITE: it is imported before pytest is, and has nothing to rewrite.
"""

import os
import sys

ENABLED = "OTEL_INSTRUMENTATION_XAI_ENABLED"
# as the package's own table has them: a test compares
LIBRARIES = ("httpx", "httpx2", "aiohttp", "niquests", "requests", "urllib3", "xai_sdk")
SERVERS = ("uvicorn",)  # they take SIGTERM over before they load the application, and let the process die of it later


def start() -> None:
    """Wait for the first import of a client library or a server, and switch the instrumentation on then."""
    if os.environ.get(ENABLED, "").strip().lower() in {"", "0", "false"}:
        return
    if any(isinstance(finder, _Waiting) for finder in sys.meta_path):
        return
    if any(name in sys.modules for name in LIBRARIES + SERVERS):
        _switch_on()
    else:
        sys.meta_path.insert(0, _Waiting())


class _Waiting:
    """Finds nothing by itself: an importer that is asked first and so learns what is being imported."""

    @staticmethod
    def find_spec(name, path=None, target=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN205  that takes imports
        """Switch on before one of the modules is imported, and let the others find it."""
        if (name not in LIBRARIES and name not in SERVERS) or _a_file_is_being_read():
            return None
        sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, _Waiting)]
        _switch_on()
        for finder in list(sys.meta_path):  # anew: the package has put an importer of its own in front
            find_spec = getattr(finder, "find_spec", None)
            spec = None if find_spec is None else find_spec(name, path, target)
            if spec is not None:
                return spec
        return None


def _a_file_is_being_read() -> bool:
    """Whether OpenTelemetry's command is about to apply the settings of a file, whose exporters import clients."""
    command, package = "opentelemetry.instrumentation.auto_instrumentation", "opentelemetry.instrumentation.xai"
    return bool(os.environ.get("OTEL_CONFIG_FILE")) and command in sys.modules and package not in sys.modules


def _switch_on() -> None:
    try:
        from opentelemetry.instrumentation.xai import XAIInstrumentor

        XAIInstrumentor().instrument_at_start()
    except Exception as error:
        import logging

        logging.getLogger(__name__).warning(
            "%s is set, but the instrumentation could not be switched on (%s); see 'xai-otel doctor'.",
            ENABLED,
            type(error).__name__,
        )

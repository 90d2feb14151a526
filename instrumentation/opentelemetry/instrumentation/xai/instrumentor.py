"""``XAIInstrumentor``: reads the settings, builds the observer, and patches client libraries as they are imported."""

import functools
import logging
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeAlias

import wrapt
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from .cache_ledger import CacheLedger
from .clients import LIBRARIES, adapter_of
from .environment import is_disabled
from .forking import after_fork
from .guard import guarded
from .observer import Observer
from .private_providers import PrivateProviders
from .servers import before_taking_over
from .settings import ENABLED, Configuration, Settings, is_enabled
from .telemetry.destination import Destination
from .telemetry.recorder import Recorder

_logger = logging.getLogger(__name__)
_Beside: TypeAlias = Callable[["Observer | None"], Observer]


class _Instrumentation:
    """What is on in this process: at most one observer, and the libraries that are patched for it."""

    def __init__(self) -> None:
        self.observer: Observer | None = None
        """The observer that is on: asked at each request, so that wrappers kept elsewhere turn inert."""
        self._own: Observer | None = None
        """The observer that was started, whoever observes in its place."""
        self._beside: _Beside | None = None
        self._lock = threading.Lock()
        self._unpatch: list[Callable[[], None]] = []
        self._waiting = False
        self.private_providers = PrivateProviders()
        after_fork(self)

    def forked(self) -> None:
        """Take a new lock, in a forked child."""
        self._lock = threading.Lock()

    def start(self, observer: Observer) -> None:
        """Observe with ``observer``: patch the libraries that are imported, and the others when they will be."""
        with self._lock:
            self._own = observer
            self._choose()
        self._patch_all()

    def stop(self) -> None:
        """Put the originals back, unless a test still watches."""
        with self._lock:
            self._own = None
            unpatch = self._choose()
        for restore in unpatch:
            restore()
        self.private_providers.disarm()

    def watch(self, beside: "_Beside | None") -> None:
        """Observe with what ``beside`` makes of the observer that is on; with ``None``, with that alone again."""
        with self._lock:
            self._beside = beside
            unpatch = self._choose()
        for restore in unpatch:
            restore()
        if beside is not None:
            self._patch_all()

    def _choose(self) -> list[Callable[[], None]]:
        """Decide who observes; returns what undoes the patches if nobody does."""
        self.observer = self._own if self._beside is None else self._beside(self._own)
        if self.observer is not None:
            return []
        unpatch, self._unpatch = self._unpatch, []
        return unpatch

    def _patch_all(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, True
        for library in LIBRARIES:
            if library in sys.modules:
                self._patch(library, sys.modules[library])
            if not waiting:
                wrapt.register_post_import_hook(functools.partial(self._patch, library), library)

    @guarded
    def _patch(self, library: str, module: ModuleType) -> None:
        with self._lock:
            if self.observer is not None:
                self._unpatch.append(adapter_of(library).patch(module, self))


_instrumentation = _Instrumentation()


@contextmanager
def watched_by(beside: _Beside) -> Iterator[None]:
    """Let another observer watch for a while, whether or not the instrumentation is on, or is switched meanwhile.

    ``beside`` makes it of the one that is on, if one is.
    """
    before = _instrumentation._beside  # noqa: SLF001  the two are one thing
    _instrumentation.watch(beside)
    try:
        yield
    finally:
        _instrumentation.watch(before)


class XAIInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Turns calls to xAI into spans and metrics.

    ``instrument()`` takes ``tracer_provider``, ``meter_provider`` and the settings as keywords, all optional::

        XAIInstrumentor().instrument(hosts="gateway.internal:8443", conversation_id="hashed")
    """

    configuration = Configuration
    """The options that a declarative configuration file may give for ``xai``."""

    _automatic = False
    """Whether it was switched on without the application's doing: then the application may still say how."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Nothing is required: which of the client libraries are there shows when they are imported."""
        return ()

    def instrument(self, **kwargs: Any) -> None:
        """Switch on. After an automatic way of doing so, another does nothing, but the application has the last word.

        ``kwargs`` are the settings; see the class. An invalid one gives a warning and is taken as its default.
        """
        automatic = "skip_dep_check" in kwargs  # as OpenTelemetry's loader calls it
        if self.is_instrumented_by_opentelemetry and (automatic or self._automatic):
            if automatic:
                _logger.debug("Switched on already.")
                return
            self.uninstrument()
        super().instrument(**kwargs)
        self._automatic = automatic

    def instrument_at_start(self) -> None:
        """Switch on if the environment says so: for programs that know nothing of us."""
        if is_enabled() and not self.is_instrumented_by_opentelemetry:
            prevented_by = is_disabled(os.environ)
            if prevented_by:
                _logger.debug("%s keeps the instrumentation off.", prevented_by)
                return
            self.instrument(skip_dep_check=True)
            before_taking_over(_instrumentation.private_providers.prepare)

    def _instrument(self, **kwargs: Any) -> None:
        self._switch_on(kwargs)

    @guarded  # an exception here would keep OpenTelemetry's loader from all other instrumentations
    def _switch_on(self, kwargs: dict[str, Any]) -> None:
        tracer_provider, meter_provider = kwargs.pop("tracer_provider", None), kwargs.pop("meter_provider", None)
        if is_enabled() is False:
            _logger.debug("%s switches the instrumentation off.", ENABLED)
            return
        if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            _logger.debug("OTEL_SDK_DISABLED switches the instrumentation off.")
            return
        settings = Settings.read(kwargs)
        destination = Destination(tracer_provider, meter_provider, _instrumentation.private_providers)
        ledger = CacheLedger() if settings.ledger == "memory" else None
        _instrumentation.start(Observer(settings, Recorder(settings, destination), ledger))
        if destination.is_open:
            _instrumentation.private_providers.prepare()

    def _uninstrument(self, **_kwargs: Any) -> None:
        _instrumentation.stop()

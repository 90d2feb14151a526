"""A place for telemetry in a program that has set up none, while the standard variables ask for an exporter.

The providers are private: the global ones are the application's to set, once, and are never touched. They are made at
the first call, in the process that makes it, so a server that loads the application before it forks has none in its
master. What they hold is flushed when the application's own take their place, at exit, and on SIGTERM where that would
otherwise end the program at once.
"""

import atexit
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from opentelemetry.metrics import MeterProvider, get_meter_provider
from opentelemetry.trace import TracerProvider, get_tracer_provider

from .environment import SIGNALS, asks_for_exporter, hidden, wrong_limits
from .forking import after_fork
from .guard import guarded
from .nudge import Nudge
from .telemetry.instruments import is_placeholder

_logger = logging.getLogger(__name__)
_PATIENCE_S = 5.0
_GLANCE_S = 1.0
_HINT = "pip install 'opentelemetry-instrumentation-xai[otlp]'"
TRACES, METRICS = SIGNALS


class PrivateProviders:
    """The private providers of this process: of each signal none until it is asked for."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self._lock = threading.RLock()
        self._providers: dict[str, Any] = {}
        self._decided: set[str] = set()
        """The signals of which it is known whether there is a private provider."""
        self._displaced: set[str] = set()
        self._sending: list[threading.Thread] = []
        """Those who send what is left: a signal may come while they do."""
        self._closing: list[Callable[[], None]] = []
        """What shuts the providers down, once that has begun: then a signal must not flush them beside it."""
        self._closes_at_exit = False
        self._is_terminated = False
        self._nudge = Nudge()
        after_fork(self)

    def forked(self) -> None:
        """Have no providers, in a forked child, until it makes its own: what the parent's hold is for it to send."""
        self._lock = threading.RLock()
        self._providers, self._sending, self._closing = {}, [], []
        self._decided = set(self._displaced)
        self._is_terminated = False

    def tracer_provider(self) -> TracerProvider | None:
        """The private tracer provider, or ``None`` where no exporter is asked for or it could not be made."""
        if TRACES not in self._decided:
            self._decide(TRACES)
        provider: TracerProvider | None = self._providers.get(TRACES)
        return provider

    def meter_provider(self) -> MeterProvider | None:
        """The private meter provider, or ``None`` likewise."""
        if METRICS not in self._decided:
            self._decide(METRICS)
        provider: MeterProvider | None = self._providers.get(METRICS)
        return provider

    def _decide(self, kind: str) -> None:
        with self._lock:
            if kind in self._decided:
                return
            try:
                provider = self._made(kind)
                if provider is not None:
                    self._providers[kind] = provider
                    self._close_at_exit()
                    self.arm()
                    with suppress(RuntimeError):  # the program is ending: nobody will set a provider any more
                        threading.Thread(target=self._watch, args=(kind, provider), daemon=True).start()
            finally:
                self._decided.add(kind)

    def _made(self, kind: str) -> Any:
        if not asks_for_exporter(self._environ):
            _logger.debug("No OpenTelemetry SDK is set up, and no variable asks for an exporter of %s.", kind)
            return None
        try:
            with hidden(wrong_limits(self._environ)):
                from . import sdk_providers

                make: Any = sdk_providers.tracer_provider if kind == TRACES else sdk_providers.meter_provider
                return make(self._environ)
        except ImportError as error:
            _logger.warning("No %s of xAI calls: for an exporter, %s is missing. %s", kind, error.name, _HINT)
        except LookupError as error:  # says which exporter, who asks for it, and how to install it
            _logger.warning("No %s of xAI calls: %s", kind, error.args[0])
        except Exception as error:  # whatever an SDK makes of its variables, the application runs on
            _logger.warning(
                "No %s of xAI calls: OpenTelemetry's SDK could not be set up (%s); 'xai-otel doctor' says more. %s",
                kind,
                type(error).__name__,
                _HINT,
            )
        return None

    @guarded
    def displaced(self, kind: str) -> None:
        """The application has set a provider of its own: send what the private one holds, and use it no more.

        Spans that began before still end in the private one, so it lives on. Metrics do not: two sources of the same
        series would contradict each other.
        """
        with self._lock:
            if kind in self._displaced:
                return
            self._decided.add(kind)
            self._displaced.add(kind)
            provider = self._providers.get(kind) if kind == TRACES else self._providers.pop(kind, None)
        if provider is not None:
            self._send([provider.force_flush if kind == TRACES else provider.shutdown])
        if len(self._displaced) == len(SIGNALS):
            self.disarm()

    def _watch(self, kind: str, provider: Any) -> None:
        """Wait until the application sets a provider of its own: nothing tells of that, so one has to look."""
        while self._providers.get(kind) is provider and kind not in self._displaced:
            current = get_tracer_provider() if kind == TRACES else get_meter_provider()
            if not is_placeholder(current):
                self.displaced(kind)
            time.sleep(_GLANCE_S)

    def _close_at_exit(self) -> None:
        if not self._closes_at_exit:
            self._closes_at_exit = True
            atexit.register(self.close)
        multiprocessing = sys.modules.get("multiprocessing")
        if multiprocessing is not None and multiprocessing.parent_process() is not None:
            # Forked workers of multiprocessing end without what is registered to be run at exit.
            from multiprocessing.util import Finalize

            Finalize(None, self.close, exitpriority=0)
            if threading.current_thread() is threading.main_thread() and not _is_of_gevent():
                self._nudge.watch(signal.SIGTERM, self._is_due)

    @guarded
    def close(self) -> None:
        """Send what is left, for five seconds at the most, and have no providers any more."""
        with self._lock:
            self._closing = [_once(each.shutdown) for each in self._providers.values()]
            self._send(self._closing)
            self._providers = {}
        self._wait()

    @guarded
    def prepare(self) -> None:
        """Make ready for a first call, which should not wait for the import of the SDK.

        Once the program's main part is over, and only threads run, the SDK can be imported no more. Nothing is started
        yet, so that a process may fork.
        """
        if len(self._displaced) < len(SIGNALS) and asks_for_exporter(self._environ):
            self.arm()
            # The first call tries again, and says what is wrong.
            with suppress(Exception), hidden(wrong_limits(self._environ)):
                from . import sdk_providers

                sdk_providers.resource()

    @guarded
    def arm(self) -> None:
        """See to it that SIGTERM loses nothing, where nobody else has said what it should do."""
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._terminated)

    @guarded
    def disarm(self) -> None:
        """Give SIGTERM its default back, if it is still ours and there is nothing to send."""
        if not self._providers and (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGTERM) == self._terminated
        ):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _is_due(self) -> bool:
        """Whether SIGTERM is ours to handle, and has not been."""
        return not self._is_terminated and signal.getsignal(signal.SIGTERM) == self._terminated

    def _terminated(self, number: int, _frame: Any) -> None:
        """Flush, and then let SIGTERM do what it would have done."""
        self._is_terminated = True

        def flush() -> None:
            try:
                self._send(self._closing or [each.force_flush for each in list(self._providers.values())])
                self._wait()
            finally:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)

        if _is_of_gevent():
            sys.modules["gevent"].spawn(flush)  # a handler runs in gevent's hub, which must not wait
        else:
            flush()

    def _send(self, work: list[Callable[[], Any]]) -> None:
        """Begin all of it side by side, in threads that keep no program from ending."""
        threads = [threading.Thread(target=guarded(each), name="xai-flush", daemon=True) for each in work]
        self._sending = [each for each in self._sending if each.is_alive()] + threads
        for thread, each in zip(threads, work, strict=True):
            try:
                thread.start()
            except RuntimeError:  # noqa: PERF203  Python 3.12 starts none once a program ends: it is done here
                guarded(each)()

    def _wait(self) -> None:
        """Wait until everything is sent, for five seconds at the most."""
        deadline = time.monotonic() + _PATIENCE_S
        for thread in self._sending:
            if thread.ident is not None:  # else a signal came before it could start
                thread.join(max(0.0, deadline - time.monotonic()))


def _is_of_gevent() -> bool:
    """Whether threads are greenlets."""
    gevent: Any = sys.modules.get("gevent")
    return gevent is not None and bool(gevent.monkey.is_module_patched("threading"))


def _once(work: Callable[[], Any]) -> Callable[[], None]:
    """What does the work for whoever calls first, and lets the others wait until it is done."""
    lock, left = threading.Lock(), [work]

    def do() -> None:
        with lock:
            if left:
                left.pop()()

    return do

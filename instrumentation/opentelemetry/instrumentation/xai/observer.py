"""The only face that client adapters see: ``Observer.watch`` for a request, and the ``ObservedCall`` it returns.

Here the sans-IO core, the clock and the recorder meet. Every method is guarded and none awaits, so synchronous and
asynchronous adapters use the same ones and need no error handling for telemetry. Only ``abandoned`` may wait: for
another thread, and 50 milliseconds at the most.
"""

import _thread
import threading
import time
from collections.abc import Callable, Iterable, MutableMapping
from contextvars import Token
from typing import NamedTuple

from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_http_instrumentation_enabled

from opentelemetry import context

from . import conventions as names
from .exchange import Exchange
from .guard import fault, guarded
from .observation import Ending
from .settings import Settings
from .telemetry.recorder import Recorder, Recording, is_enclosed
from .wire.repetition import Form
from .wire.request import read_request
from .wire.routes import Hosts, dialect_of

_PATIENCE_S = 0.05


class Failures(NamedTuple):
    """Which exceptions of a client library mean what."""

    timeout: tuple[type[BaseException], ...]
    transport: tuple[type[BaseException], ...]
    """The connection failed: in mid-body, the answer was cut."""


class Observer:
    """Watches requests. One for each ``instrument()``."""

    def __init__(
        self,
        settings: Settings,
        recorder: Recorder,
        clock: Callable[[], int] = time.perf_counter_ns,
        wall_clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.hosts = Hosts(settings.hosts)
        """``hosts[name]``: whether requests to this host need be handed to ``watch`` at all."""
        self._recorder = recorder
        self._clock = clock
        self._wall_clock = wall_clock

    @guarded
    def watch(
        self,
        method: str,
        host: str,
        port: int,
        path: str,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes | None,
        carrier: MutableMapping[str, str],
        failures: Failures,
    ) -> "ObservedCall | None":
        """Begin to observe a request that is about to be sent, or return ``None`` if it is not ours.

        The span is current from here until the call is told of headers or of a failure. ``headers`` are the request's
        as sent, ``body`` its body where that is known, ``carrier`` takes the trace context.
        """
        dialect = dialect_of(method, path)
        if dialect is None or not self.hosts.speaks(host, port):
            return None
        current = context.get_current()
        if current and (is_enclosed(current) or not is_http_instrumentation_enabled()):
            return None  # an empty context, which is the most frequent one, suppresses nothing
        request = read_request(dialect, host, port, headers, body)
        started, issued = self._wall_clock(), self._clock()
        recording = self._recorder.begin(request, started, current)
        recording.propagate(carrier)
        return ObservedCall(Exchange(request, dialect, issued), recording, self._clock, failures)


class ObservedCall:
    """One request on its way. Ends exactly once, whichever ending is told first, from whichever thread."""

    __slots__ = ("__weakref__", "_clock", "_exchange", "_failures", "_open", "_token", "uneventful")

    def __init__(self, exchange: Exchange, recording: Recording, clock: Callable[[], int], failures: Failures) -> None:
        self._exchange = exchange
        self._clock = clock
        self._failures = failures
        self.uneventful: Form | None = None
        """The form of chunks that tell nothing new, of which the call need not be told. Changes with each one it is."""
        self._open = [recording]  # taken out by whoever ends the call: list.pop is atomic
        self._token: Token[Context] | None = context.attach(recording.within)

    @guarded
    def headers_received(self, status_code: int, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """The answer's headers came; says whether a stream of events follows, whose bytes' moments matter."""
        self._sent()
        exchange = self._exchange
        exchange.headers_received(status_code, _lowered(headers))
        return exchange.streamed

    def bytes_received(self, chunk: bytes) -> None:
        """Bytes of the body came, as they were on the wire."""
        try:
            if self._open:
                exchange, moment = self._exchange, self._clock()
                exchange.bytes_received(chunk, moment)
                self.uneventful = exchange.uneventful
                if exchange.terminated:
                    self.uneventful = None
                    self._end(Ending.COMPLETE, moment)
        except Exception as error:
            self._exchange.give_up("fault")
            self.uneventful = None
            fault("ObservedCall.bytes_received", error)

    @guarded
    def finished(self, content: bytes | None = None) -> None:
        """The body came to its end; ``content`` is the whole of it, plain, in case it was not handed in by chunks."""
        moment = self._clock()
        try:
            if content is not None and self._open:
                self._exchange.content_received(content, moment)
        except Exception:
            self._exchange.give_up("fault")
            raise
        finally:
            self._end(Ending.COMPLETE, moment)

    @guarded
    def failed(self, error: BaseException) -> None:
        """Sending or receiving raised ``error``, which the adapter raises on."""
        if isinstance(error, GeneratorExit):  # thrown away, maybe in another context, where nothing may be detached
            if self._open and context.get_current() is self._open[0].within:
                self._sent()
            self.abandoned()
            return
        moment = self._clock()
        self._sent()
        if not isinstance(error, Exception):
            self._end(Ending.ABANDONED, moment)  # cancelled: the caller's own wish
        elif isinstance(error, self._failures.timeout):
            self._end(Ending.FAILED, moment, names.TIMEOUT)
        elif self._exchange.in_body and isinstance(error, self._failures.transport):
            self._end(Ending.FAILED, moment, names.STREAM_INTERRUPTED)
        else:
            self._end(Ending.FAILED, moment, _qualified_name(type(error)))

    @guarded
    def abandoned(self) -> None:
        """The application closed or forgot the answer before its end, which is its right.

        The garbage collector closes generators and calls finalisers at any point of any code, perhaps while this very
        thread holds a lock that recording needs. So another thread records, and this one waits a moment for it: long
        enough unless such a lock is held, and then the recording follows once it is free.
        """
        try:
            recording = self._open.pop()
        except IndexError:
            return
        moment, done = self._clock(), threading.Event()

        @guarded
        def record() -> None:
            try:
                self._finish(recording, Ending.ABANDONED, moment)
            finally:
                done.set()

        try:
            _thread.start_new_thread(record, ())
        except RuntimeError:  # the interpreter is shutting down
            record()
        else:
            done.wait(_PATIENCE_S)

    def _sent(self) -> None:
        token, self._token = self._token, None
        if token is not None:
            context.detach(token)

    def _end(self, ending: Ending, moment: int, error_type: str | None = None) -> None:
        try:
            recording = self._open.pop()
        except IndexError:
            return
        self._finish(recording, ending, moment, error_type)

    def _finish(self, recording: Recording, ending: Ending, moment: int, error_type: str | None = None) -> None:
        observation = None
        try:
            observation = self._exchange.end(ending, moment, error_type)
        except Exception:  # what is known without the rest of the body is recorded all the same
            self._exchange.give_up("fault")
            observation = self._exchange.end(ending, moment, error_type)
            raise
        finally:
            recording.finish(observation)


def _qualified_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _lowered(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by their names in lower case; of several of one name, all values in a row."""
    lowered: dict[bytes, bytes] = {}
    for name, value in headers:
        key = name.lower()
        lowered[key] = value if key not in lowered else lowered[key] + b", " + value
    return lowered

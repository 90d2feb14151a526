"""The only face that client adapters see: ``Observer.watch`` for a request, and the ``ObservedCall`` it returns.

Here the sans-IO core, the clock and the recorder meet. Every method is guarded and none awaits, so synchronous and
asynchronous adapters use the same ones and need no error handling for telemetry. Only ``forgotten`` may wait: for
another thread, 50 milliseconds at the most, and five where an event loop runs.

A request may pass several layers that are observed (one client library on top of another, a transport that uses a
client of its own). Only the outermost counts: while a call is being sent, what is sent within it is the same exchange.

An adapter that can send another body than the application's does so for what ``ask`` returns: then an event comes that
the application did not ask for. Taps hide it by themselves. Whoever has no tap, or takes a body whole, does it with
``hiding``, which is known once ``headers_received`` was told::

    asked = call.ask()  # None: send the application's own request
    ...
    call.bytes_received(chunk)
    if call.hiding is not None:
        chunk = call.hiding.feed(chunk)  # at the end, of whichever kind: close(); for whole content: whole(content)
"""

import _thread
import sys
import threading
import time
from collections.abc import Callable, Iterable, MutableMapping
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import NamedTuple, Protocol, TypeAlias

from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_http_instrumentation_enabled

from opentelemetry import context

from . import conventions as names
from .cache_ledger import CacheLedger, Inquiry
from .exchange import Exchange
from .guard import fault, guarded
from .observation import Ending
from .settings import Settings
from .stream_usage import Hiding, Question, Questions
from .telemetry.covering import is_suppressed_by_peer
from .telemetry.recorder import Recorder, Recording
from .wire.fingerprint import Fingerprinter
from .wire.repetition import Form
from .wire.request import read_request
from .wire.routes import Hosts, dialect_of

_PATIENCE_S = 0.05
_PATIENCE_OF_A_LOOP_S = 0.005  # the interpreter's own switch interval: any thread may cost a loop that
_Tokens: TypeAlias = "tuple[Token[ObservedCall | None], Token[Context]]"


class Failures(NamedTuple):
    """Which exceptions of a client library mean what."""

    timeout: tuple[type[BaseException], ...]
    transport: tuple[type[BaseException], ...]
    """The connection failed: in mid-body, the answer was cut."""
    decoding: str
    """The qualified name of what is raised where the content coding of a body is damaged."""


_sending: "ContextVar[ObservedCall | None]" = ContextVar("xai-sending", default=None)


class Observer:
    """Watches requests. One for each ``instrument()``."""

    def __init__(
        self,
        settings: Settings,
        recorder: Recorder,
        ledger: CacheLedger | None = None,
        clock: Callable[[], int] = time.perf_counter_ns,
        wall_clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.hosts = Hosts(settings.hosts)
        """``hosts[name]``: whether requests to this host need be handed to ``watch`` at all."""
        self._recorder = recorder
        self._ledger = ledger
        self._fingerprinter = None if ledger is None else Fingerprinter()
        self._questions = Questions() if settings.stream_usage == "request" else None
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
        enclosing = _sending.get()
        if enclosing is not None and enclosing.encloses(body):
            return None
        current = context.get_current()
        if current and not is_http_instrumentation_enabled() and not is_suppressed_by_peer(current):
            return None  # an empty context, which is the most frequent one, suppresses nothing
        try:
            request, fingerprint = read_request(dialect, host, port, headers, body, self._fingerprinter)
        except Exception as error:  # what has no fingerprint is a call all the same
            request, fingerprint = read_request(dialect, host, port, headers, body)
            fault("Fingerprinter", error)
        started, issued, inquiry = self._wall_clock(), self._clock(), None
        try:
            if fingerprint is not None and self._ledger is not None:
                inquiry = self._ledger.issued(fingerprint, issued)
        except Exception as error:
            fault("CacheLedger.issued", error)
        question = None if self._questions is None else self._questions.of(request, headers, body)
        recording = self._recorder.begin(request, started, current)
        recording.propagate(carrier)
        exchange = Exchange(request, dialect, issued, failures.decoding)
        return ObservedCall(exchange, recording, self._clock, failures, body, inquiry, question)


class Listener(Protocol):
    """Whom a tap tells of a body: an ``ObservedCall``, or what it lets overhear."""

    @property
    def uneventful(self) -> Form | None:
        """The form of chunks of which need not be told."""

    @property
    def hiding(self) -> Hiding | None:
        """What hides from the application what it did not ask for."""

    def bytes_received(self, chunk: bytes) -> None:
        """Bytes of the body came."""

    def finished(self) -> None:
        """The body came to its end."""

    def failed(self, error: BaseException) -> None:
        """Receiving raised ``error``."""

    def closed(self) -> None:
        """The body was closed."""

    def forgotten(self) -> None:
        """Nobody is left who could read the body."""


class Overheard:
    """A call of which a tap tells the bytes while somebody who knows more tells the ending."""

    __slots__ = ("_call",)

    def __init__(self, call: "ObservedCall") -> None:
        self._call = call

    @property
    def uneventful(self) -> Form | None:
        """The call's own."""
        return self._call.uneventful

    @property
    def hiding(self) -> Hiding | None:
        """The call's own."""
        return self._call.hiding

    def bytes_received(self, chunk: bytes) -> None:
        """Tell the call."""
        self._call.bytes_received(chunk)

    def finished(self) -> None:
        """Leave that to the other."""

    def failed(self, _error: BaseException) -> None:
        """Leave that to the other."""

    closed = forgotten = finished


class ObservedCall:
    """One request on its way. Ends exactly once, whichever ending is told first, from whichever thread."""

    __slots__ = ("__weakref__", "_body", "_clock", "_exchange", "_failures", "_inquiry", "_open",
                 "_question", "_tokens", "hiding", "uneventful")  # fmt: skip

    def __init__(
        self,
        exchange: Exchange,
        recording: Recording,
        clock: Callable[[], int],
        failures: Failures,
        body: bytes | None = None,
        inquiry: Inquiry | None = None,
        question: Question | None = None,
    ) -> None:
        self._exchange = exchange
        self._inquiry = inquiry
        self._clock = clock
        self._failures = failures
        self.uneventful: Form | None = None
        """The form of chunks that tell nothing new, of which the call need not be told. Changes with each it is."""
        self._question = question
        self.hiding: Hiding | None = None
        """What hides from the application what it did not ask for; known once the headers have come."""
        self._open = [recording]  # taken out by whoever ends the call: list.pop is atomic
        self._body = body
        """The request's body while it is being sent: on lower layers it is the same."""
        self._tokens: _Tokens | None = (_sending.set(self), context.attach(recording.within))

    def encloses(self, body: bytes | None) -> bool:
        """Whether a request that is made now is this one, on a lower layer.

        A task or thread that was started while this call was being sent inherits its context, but what it sends is
        its own: then neither the body nor the very context is the same.
        """
        tokens = self._tokens
        if tokens is None:
            return False
        if body and body == self._body:
            return True
        try:
            _sending.reset(tokens[0])
        except (ValueError, RuntimeError):  # not the context in which it was set
            return False
        self._tokens = (_sending.set(self), tokens[1])
        return True

    @guarded
    def ask(self) -> bytes | None:
        """The body to send instead of the application's, that usage be reported; ``None`` if its own is to be sent.

        It is sent with its own length and ``Accept-Encoding: identity``. What the application can see of its request
        stays as it was.
        """
        body = None if self._question is None else self._question.put()
        if body is not None:
            self._body = body
        return body

    @guarded
    def headers_received(self, status_code: int, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """The answer's headers came; says whether a stream of events follows, whose bytes' moments matter."""
        self._sent()
        exchange, lowered = self._exchange, _lowered(headers)
        exchange.headers_received(status_code, lowered)
        if self._question is not None:
            self.hiding = self._question.answered(status_code, lowered, may_stream=exchange.may_stream)
        return exchange.may_stream

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
        self._sent()
        if isinstance(error, GeneratorExit):  # thrown away
            self.forgotten()
            return
        moment = self._clock()
        if not isinstance(error, Exception):
            self._end(Ending.ABANDONED, moment)  # cancelled: the caller's own wish
        elif isinstance(error, self._failures.timeout):
            self._end(Ending.FAILED, moment, names.TIMEOUT)
        elif self._exchange.in_body and isinstance(error, self._failures.transport):
            self._end(Ending.FAILED, moment, names.STREAM_INTERRUPTED)
        else:
            self._end(Ending.FAILED, moment, qualified_name(type(error)))

    @guarded
    def closed(self) -> None:
        """The application closed the answer, if before its end, then that is its right."""
        if self._open:
            self._end(Ending.ABANDONED, self._clock())

    @guarded
    def forgotten(self) -> None:
        """Nobody is left who could read the answer further.

        The garbage collector closes generators and calls finalisers at any point of any code, perhaps while this very
        thread holds a lock that recording needs. So another thread records. This one waits a moment for it, long enough
        unless such a lock is held, so that who looks at the telemetry next finds it there.
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
            done.wait(_PATIENCE_OF_A_LOOP_S if _in_event_loop() else _PATIENCE_S)

    def _sent(self) -> None:
        tokens, self._tokens = self._tokens, None
        self._body = None
        if tokens is not None:
            with suppress(ValueError, RuntimeError):  # the collector may throw a coroutine away in any context
                _sending.reset(tokens[0])
                context.detach(tokens[1])

    def _end(self, ending: Ending, moment: int, error_type: str | None = None) -> None:
        try:
            recording = self._open.pop()
        except IndexError:
            return
        self._finish(recording, ending, moment, error_type)

    def _finish(self, recording: Recording, ending: Ending, moment: int, error_type: str | None = None) -> None:
        observation = verdict = None
        try:
            try:
                observation = self._exchange.end(ending, moment, error_type)
            except Exception:  # what is known without the rest of the body is recorded all the same
                self._exchange.give_up("fault")
                observation = self._exchange.end(ending, moment, error_type)
                raise
            finally:
                if self._inquiry is not None and observation is not None:
                    verdict = self._inquiry.explain(observation)
        finally:
            recording.finish(observation, verdict)


def _in_event_loop() -> bool:
    """Whether this thread runs an event loop of asyncio, which then is imported already."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None  # noqa: SLF001  get_running_loop raises


def qualified_name(kind: type) -> str:
    """The name of an exception's class as ``error.type`` has it."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _lowered(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by their names in lower case; of several of one name, all values in a row."""
    lowered: dict[bytes, bytes] = {}
    for name, value in headers:
        key = name.lower()
        lowered[key] = value if key not in lowered else lowered[key] + b", " + value
    return lowered

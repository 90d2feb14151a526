"""The only face that client adapters see: ``Observer.watch`` for a request, and the ``ObservedCall`` it returns.

Here the sans-IO core, the clock and the recorder meet. Every method is guarded, none awaits or blocks, so a synchronous and
an asynchronous adapter use the same ones and need no error handling for telemetry.
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
from .observation import Ending, Request
from .settings import Settings
from .telemetry.recorder import Recorder, Recording, is_enclosed
from .wire.dialect import Dialect
from .wire.repetition import Form
from .wire.request_body import has_earlier_turns, parameters_of, read_request_body
from .wire.routes import Hosts, dialect_of

_LONGEST_NAME = 256
_CONVERSATION = b"x-grok-conv-id"
_RETRIES = b"x-stainless-retry-count"  # the openai and anthropic SDKs say "0", "1", ...
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
        request = _read_request(dialect, host, port, headers, body)
        started, issued = self._wall_clock(), self._clock()
        recording = self._recorder.begin(request, started, current)
        recording.propagate(carrier)
        return ObservedCall(Exchange(request, dialect, issued), recording, self._clock, failures)


class ObservedCall:
    """One request on its way. Ends exactly once, whichever ending is told first, from whichever thread."""

    __slots__ = ("__weakref__", "_clock", "_exchange", "_failures", "_open", "_token", "_uneventful")

    def __init__(self, exchange: Exchange, recording: Recording, clock: Callable[[], int], failures: Failures) -> None:
        self._exchange = exchange
        self._clock = clock
        self._failures = failures
        self._uneventful: Form | None = None
        self._open = [recording]  # taken out by whoever ends the call: list.pop is atomic
        self._token: Token[Context] | None = context.attach(recording.within)

    @guarded
    def headers_received(self, status_code: int, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """The answer's headers came; says whether a stream of events follows, whose bytes' moments matter."""
        self._sent()
        exchange = self._exchange
        exchange.headers_received(status_code, {name.lower(): value for name, value in headers})
        return exchange.streamed

    def bytes_received(self, chunk: bytes) -> None:
        """Bytes of the body came. Called for each chunk of a stream, so the guard is written out."""
        try:
            form = self._uneventful
            if form is not None:
                start, end, stop = form
                rest = chunk.removeprefix(start)
                text = rest.removesuffix(end)
                if rest is not chunk and text is not rest and stop not in text:
                    return
            self._decode(chunk)
        except Exception as error:
            self._exchange.give_up("fault")
            self._uneventful = None
            fault("ObservedCall.bytes_received", error)

    def _decode(self, chunk: bytes) -> None:
        if self._open:
            exchange = self._exchange
            moment = self._clock()
            exchange.bytes_received(chunk, moment)
            self._uneventful = exchange.uneventful
            if exchange.terminated:
                self._uneventful = None
                self._end(Ending.COMPLETE, moment)

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
        if isinstance(error, GeneratorExit):
            self.abandoned()  # thrown away, maybe in another context: nothing is detached
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
        """The application closed the answer before its end, which is its right, or has forgotten it.

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


def _read_request(
    dialect: Dialect, host: str, port: int, headers: Iterable[tuple[bytes, bytes]], body: bytes | None
) -> Request:
    """The facts of a request, of its headers two."""
    header_id, retries = None, b""
    for name, value in headers:
        size = len(name)  # cheaper to compare than names, of which there are twenty
        if size == len(_CONVERSATION) and name.lower() == _CONVERSATION:
            header_id = value.decode("utf-8", "replace")[:_LONGEST_NAME] or None
        elif size == len(_RETRIES) and name.lower() == _RETRIES:
            retries = value
    fields = read_request_body(body or b"")
    key = fields.prompt_cache_key
    body_id = key[:_LONGEST_NAME] if type(key) is str and key else None
    source, identity = names.SOURCE_HEADER, header_id
    if body_id is not None and (header_id is None or dialect.body_first):
        source, identity = names.SOURCE_BODY, body_id
    problems = []
    if identity is None and has_earlier_turns(fields):
        problems.append(names.PROBLEM_MISSING)
    if body_id is not None and header_id is None and not dialect.takes_key:
        problems.append(names.PROBLEM_WRONG_CARRIER)
    if header_id is not None and body_id is not None and header_id != body_id:
        problems.append(names.PROBLEM_CONFLICTING)
    return Request(
        operation=dialect.operation,
        host=host,
        port=port,
        model=fields.model[:_LONGEST_NAME] if type(fields.model) is str and fields.model else None,
        stream=fields.stream is True,
        parameters=parameters_of(fields),
        conversation_id=identity,
        conversation_id_source=source if identity is not None else None,
        problems=tuple(problems),
        resend_count=int(retries[:9]) if retries.isdigit() else 0,
    )

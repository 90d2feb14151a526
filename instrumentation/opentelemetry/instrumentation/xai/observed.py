"""An observed call: what an adapter tells of one request on its way, and the one ending that it has.

Every method is guarded and none awaits, so synchronous and asynchronous adapters use the same ones and need no error
handling for telemetry. Only ``forgotten`` may wait: for another thread, 50 milliseconds at the most, and five where an
event loop runs.
"""

import _thread
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, NamedTuple, Protocol, TypeAlias

from opentelemetry.context import Context

from opentelemetry import context

from . import conventions as names
from .cache_ledger import Inquiry
from .course import Course
from .exchange import Exchange
from .guard import fault, guarded
from .message_exchange import MessageExchange
from .observation import COMPLETE, Ending
from .stream_usage import Hiding, Question
from .telemetry.recorder import Recording
from .wire.headers import Headers, joined_by_name
from .wire.repetition import Form

_PATIENCE_S = 0.05
_PATIENCE_OF_A_LOOP_S = 0.005  # the interpreter's own switch interval: any thread may cost a loop that
_Tokens: TypeAlias = "tuple[Token[Observed | None], Token[Context]]"


class Failures(NamedTuple):
    """Which exceptions of a client library mean what."""

    timeout: tuple[type[BaseException], ...]
    transport: tuple[type[BaseException], ...]
    """The connection failed: in mid-body, the answer was cut."""
    decoding: str
    """The qualified name of what is raised where the content coding of a body is damaged."""
    no_timeout: tuple[type[BaseException], ...] = ()
    """Those that derive from a timeout and are none."""


StatusOf: TypeAlias = Callable[[BaseException], "str | None"]
"""The name of the gRPC status that an exception stands for: empty where the application itself cancelled the call,
``None`` where it stands for none."""

sending: "ContextVar[Observed | None]" = ContextVar("xai-sending", default=None)
"""The call that is being sent in this context."""


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


class Observed:
    """One request on its way. Ends exactly once, whichever ending is told first, from whichever thread."""

    __slots__ = ("__weakref__", "_body", "_clock", "_course", "_failures", "_held", "_inquiry", "_open", "_tokens",
                 "uneventful")  # fmt: skip

    def __init__(
        self,
        course: Course,
        recording: Recording,
        clock: Callable[[], int],
        failures: Failures,
        body: bytes | None = None,
        inquiry: Inquiry | None = None,
    ) -> None:
        self._course = course
        self._inquiry = inquiry
        self._clock = clock
        self._failures = failures
        self.uneventful: Form | None = None
        """The form of chunks that tell nothing new, of which the call need not be told. Changes with each it is."""
        self._open = [recording]  # taken out by whoever ends the call: list.pop is atomic
        self._body = body
        """The request's body while it is being sent: on lower layers it is the same."""
        self._held = False
        self._tokens: _Tokens | None = (sending.set(self), context.attach(recording.within))

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
            sending.reset(tokens[0])
        except (ValueError, RuntimeError):  # not the context in which it was set
            return False
        self._tokens = (sending.set(self), tokens[1])
        return True

    def hold(self) -> None:
        """Keep the span current until ``let_go``, whatever the call is told meanwhile.

        For who begins the call above others' wrappers and is told of headers beneath them: each must put back the
        context that it found, the innermost first.
        """
        self._held = True

    @guarded
    def let_go(self) -> None:
        """The wrappers in between are left."""
        self._held = False
        self._sent()

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
        elif isinstance(error, self._failures.timeout) and not isinstance(error, self._failures.no_timeout):
            self._end(Ending.FAILED, moment, names.TIMEOUT)
        elif self._course.in_body and isinstance(error, self._failures.transport):
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
        if self._held:
            return
        tokens, self._tokens = self._tokens, None
        self._body = None
        if tokens is not None:
            try:
                sending.reset(tokens[0])
                context.detach(tokens[1])
            except (ValueError, RuntimeError):  # the collector may throw a coroutine away in any context
                return

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
                observation = self._course.end(ending, moment, error_type)
            except Exception:  # what is known without the rest of the body is recorded all the same
                self._course.give_up("fault")
                observation = self._course.end(ending, moment, error_type)
                raise
            finally:
                if self._inquiry is not None and observation is not None:
                    verdict = self._inquiry.explain(observation)
        finally:
            recording.finish(observation, verdict)


class ObservedCall(Observed):
    """One request over HTTP."""

    __slots__ = ("_exchange", "_question", "hiding")

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
        Observed.__init__(self, exchange, recording, clock, failures, body, inquiry)  # super() costs more
        self._exchange = exchange
        self._question = question
        self.hiding: Hiding | None = None
        """What hides from the application what it did not ask for; known once the headers have come."""

    def ask(self) -> bytes | None:
        """The body to send instead of the application's, that usage be reported; ``None`` if its own is to be sent.

        It is sent with its own length and ``Accept-Encoding: identity``. What the application can see of its request
        stays as it was.
        """
        return None if self._question is None else self._ask(self._question)

    @guarded
    def _ask(self, question: Question) -> bytes | None:
        body = question.put()
        if body is not None:
            self._body = body
        return body

    @guarded
    def headers_received(self, status_code: int, headers: Headers) -> bool:
        """The answer's headers came; says whether a stream of events follows, whose bytes' moments matter."""
        self._sent()
        exchange, lowered = self._exchange, joined_by_name(headers)
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
            self._end(COMPLETE, moment)


class ObservedMessages(Observed):
    """One call over gRPC. A tap speaks of its messages as it does of the bytes of a body."""

    __slots__ = ("_exchange", "_status_of")

    hiding: Hiding | None = None
    """Nothing is to be hidden: usage comes without being asked for."""

    def __init__(
        self,
        exchange: MessageExchange,
        recording: Recording,
        clock: Callable[[], int],
        failures: Failures,
        status_of: StatusOf,
        inquiry: Inquiry | None = None,
    ) -> None:
        super().__init__(exchange, recording, clock, failures, None, inquiry)
        self._exchange = exchange
        self._status_of = status_of

    @guarded
    def sent(self) -> None:
        """The call is on its way: what is sent from here on is not within it."""
        self._sent()

    def bytes_received(self, message: Any) -> None:
        """A message came."""
        try:
            if self._open:
                self._exchange.message_received(message, self._clock())
        except Exception as error:
            self._exchange.give_up("fault")
            fault("ObservedMessages.bytes_received", error)

    @guarded
    def finished(self, message: Any = None) -> None:
        """The answer came to its end; ``message`` is the whole of it where it was not streamed."""
        self._sent()
        if message is not None:
            self.bytes_received(message)
        self._end(Ending.COMPLETE, self._clock())

    @guarded
    def failed(self, error: BaseException) -> None:
        """Calling or receiving raised ``error``, which the adapter raises on."""
        status = self._status_of(error)
        if status is None:
            super().failed(error)
            return
        self._sent()
        if status:
            self._end(Ending.FAILED, self._clock(), self._exchange.broken_by(status))
        else:
            self._end(Ending.ABANDONED, self._clock())

    @guarded
    def refused(self) -> None:
        """xAI gave up a generation that it had accepted."""
        self._exchange.refused()
        self._end(Ending.ERROR_EVENT, self._clock())


def _in_event_loop() -> bool:
    """Whether this thread runs an event loop of asyncio, which then is imported already."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None  # noqa: SLF001  get_running_loop raises


def qualified_name(kind: type) -> str:
    """The name of an exception's class as ``error.type`` has it."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"

"""The only face that client adapters see: ``Observer.watch`` for a request, and the ``ObservedCall`` it returns.

Here the sans-IO core, the clock and the recorder meet. Clients that speak gRPC hand in messages instead of bytes, to
``watch_messages``, and get ``ObservedMessages``.

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

import time
from collections.abc import Callable, MutableMapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_http_instrumentation_enabled, is_instrumentation_enabled

from opentelemetry import context

from .cache_ledger import CacheLedger, Inquiry
from .exchange import Exchange
from .guard import fault, guarded
from .message_exchange import MessageExchange
from .observation import Request
from .observed import Failures, Listener, ObservedCall, ObservedMessages, Overheard, StatusOf, qualified_name, sending
from .settings import Settings
from .stream_usage import Questions
from .telemetry.covering import is_suppressed_by_peer
from .telemetry.recorder import Recorder, Recording
from .wire.fingerprint import Fingerprint, Fingerprinter
from .wire.grpc_chat import GrpcMethod
from .wire.headers import Headers
from .wire.request import Carried, facts_of, read_request
from .wire.routes import Hosts, dialect_of


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
        headers: Headers,
        body: bytes | None,
        carrier: MutableMapping[str, str],
        failures: Failures,
        beneath: bool = False,
    ) -> "ObservedCall | None":
        """Begin to observe a request that is about to be sent, or return ``None`` if it is not ours.

        The span is current from here until the call is told of headers or of a failure. ``headers`` are the request's,
        their names in lower case, ``body`` its body where that is known, ``carrier`` takes the trace context.
        ``beneath`` says that this very request is in the hands of another instrumentation, which suppresses those
        beneath its own: of HTTP, which we are not.
        """
        dialect = dialect_of(method, path)
        if dialect is None or not self.hosts.speaks(host, port):
            return None
        enclosing = sending.get()
        if enclosing is not None and enclosing.encloses(body):
            return None
        current = context.get_current()
        is_enabled = is_instrumentation_enabled if beneath else is_http_instrumentation_enabled
        if current and not is_enabled() and not is_suppressed_by_peer(current):
            return None  # an empty context, which is the most frequent one, suppresses nothing
        try:
            request, fingerprint = read_request(dialect, host, port, headers, body, self._fingerprinter)
        except Exception as error:  # what has no fingerprint is a call all the same
            request, fingerprint = read_request(dialect, host, port, headers, body)
            fault("Fingerprinter", error)
        question = None if self._questions is None else self._questions.of(request, headers, body)
        issued, inquiry, recording = self._issue(request, fingerprint, current, carrier)
        exchange = Exchange(request, dialect, issued, failures.decoding)
        return ObservedCall(exchange, recording, self._clock, failures, body, inquiry, question)

    @guarded
    def watch_messages(
        self,
        method: GrpcMethod,
        host: str,
        port: int,
        carried: Carried,
        message: Any,
        carrier: MutableMapping[str, str],
        failures: Failures,
        status_of: StatusOf,
    ) -> "ObservedMessages | None":
        """The same for a call over gRPC, whose request is ``message``; ``None`` if it is not ours."""
        if not self.hosts.speaks(host, port):
            return None
        enclosing = sending.get()
        if enclosing is not None and enclosing.encloses(None):
            return None
        current = context.get_current()
        if current and not is_instrumentation_enabled() and not is_suppressed_by_peer(current):
            return None
        fields = method.read_request(message)
        fields.stream = method.streamed
        fingerprinter = self._fingerprinter if method.is_of_conversation else None
        try:
            request, fingerprint = facts_of(method, host, port, carried, fields, fingerprinter)
        except Exception as error:
            request, fingerprint = facts_of(method, host, port, carried, fields)
            fault("Fingerprinter", error)
        issued, inquiry, recording = self._issue(request, fingerprint, current, carrier)
        exchange = MessageExchange(request, method, issued)
        return ObservedMessages(exchange, recording, self._clock, failures, status_of, inquiry)

    def _issue(
        self, request: Request, fingerprint: Fingerprint | None, current: Context, carrier: MutableMapping[str, str]
    ) -> tuple[int, Inquiry | None, Recording]:
        """Take note of a request that is about to be sent: its moment, its place in the ledger, its recording."""
        started, issued, inquiry = self._wall_clock(), self._clock(), None
        try:
            if fingerprint is not None and self._ledger is not None:
                inquiry = self._ledger.issued(fingerprint, issued)
        except Exception as error:
            fault("CacheLedger.issued", error)
        recording = self._recorder.begin(request, started, current)
        recording.propagate(carrier)
        return issued, inquiry, recording


__all__ = [
    "Failures",
    "Listener",
    "ObservedCall",
    "ObservedMessages",
    "Observer",
    "Overheard",
    "StatusOf",
    "qualified_name",
]

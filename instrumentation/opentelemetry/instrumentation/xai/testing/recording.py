"""What the fixture ``xai_cache_stable`` gives to a test: the requests that went to xAI meanwhile, and their judgement.

The same observer that makes telemetry watches, with a ledger that takes every answer for a long one and with a recorder
that records nothing. Where the instrumentation is on as well, both watch, and neither sees the other.
"""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, cast

from .. import conventions as names
from ..cache_ledger import Inquiry
from ..guard import guarded
from ..instrumentor import watched_by
from ..observation import CacheVerdict
from ..observer import Failures, ObservedCall, ObservedMessages, Observer, StatusOf
from ..settings import Settings
from ..stability import Body, Prediction, prediction
from ..stability.trial import TrialLedger
from ..stream_usage import Hiding
from ..telemetry.recorder import Recorder
from ..wire.grpc_chat import GrpcMethod
from ..wire.headers import Headers
from ..wire.repetition import Form
from ..wire.request import Carried
from .report import report


@dataclass(frozen=True, eq=False)
class RecordedRequest:
    """One request that was sent."""

    number: int
    """From 1 on, in the order of sending."""
    host: str
    path: str
    body: Body | None
    """``None`` where it could not be read."""
    inquiry: Inquiry = field(repr=False)


class Recording:
    """The requests of one test."""

    def __init__(self, hosts: tuple[str, ...] = ()) -> None:
        self._ledger = TrialLedger()
        self._witness = _Witness(Settings(hosts=hosts), self._ledger)
        self._checked: set[RecordedRequest] = set()

    @property
    def requests(self) -> list[RecordedRequest]:
        """What was sent so far."""
        return list(self._witness.requests)

    def check(self) -> None:
        """Fail if a request that was answered since the last check would break the cache of an earlier one."""
        __tracebackhide__ = True
        told = self.complaints()
        if told:
            raise AssertionError("\n".join(told))

    def complaints(self) -> list[str]:
        """What is wrong with the requests that have been answered since the last check: each is told once."""
        judged = [request for request in self.requests if request.inquiry in self._ledger.verdicts]
        unchecked = [request for request in judged if request not in self._checked]
        self._checked.update(unchecked)
        return [told for told in map(self._complaint, unchecked) if told]

    def predecessor(self, request: RecordedRequest) -> RecordedRequest | None:
        """The earlier request that one continues."""
        baseline = request.inquiry.standing.baseline
        inquiry = None if baseline is None else self._ledger.ended.get(baseline.ended)
        return next((other for other in self.requests if other.inquiry is inquiry), None)

    @contextmanager
    def running(self) -> Iterator["Recording"]:
        """Record what is sent meanwhile."""

        def beside(observer: Observer | None) -> Observer:
            return self._witness if observer is None else cast("Observer", _Both(observer, self._witness))

        with watched_by(beside):
            yield self

    def _complaint(self, request: RecordedRequest) -> str | None:
        found = self._ledger.verdicts[request.inquiry]
        earlier = self.predecessor(request)
        if found.cause != names.CAUSE_CLIENT or earlier is None:
            return None
        told = _prediction(earlier, request, found)
        return report(told, f"request {earlier.number}", f"request {request.number}")


def _prediction(earlier: RecordedRequest, later: RecordedRequest, found: CacheVerdict) -> Prediction:
    if earlier.body is None or later.body is None:
        return Prediction(False, 0.0, found.reason, found.cause, found.confidence, found.section, found.index)
    return prediction(earlier.body, later.body, found)


class _Witness(Observer):
    """An observer that keeps the requests."""

    def __init__(self, settings: Settings, ledger: TrialLedger) -> None:
        super().__init__(settings, cast("Recorder", _Mute()), ledger)
        self.requests: list[RecordedRequest] = []

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
    ) -> ObservedCall | None:
        """Watch a request with its body written anew, as predictions have it."""
        try:
            read = Body.read(body or b"", path)
        except ValueError:
            read = None
        content = body if read is None else read.written()
        call = super().watch(method, host, port, path, headers, content, carrier, failures, beneath)
        if call is not None:
            inquiry = call._inquiry  # noqa: SLF001  the two are one thing
            assert inquiry is not None
            self.requests.append(RecordedRequest(len(self.requests) + 1, host, path, read, inquiry))
        return call

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
    ) -> ObservedMessages | None:
        """Watch a call over gRPC; there is no body of it to predict by."""
        call = super().watch_messages(method, host, port, carried, message, carrier, failures, status_of)
        inquiry = None if call is None else call._inquiry  # noqa: SLF001  the two are one thing
        if inquiry is not None:
            self.requests.append(RecordedRequest(len(self.requests) + 1, host, "xai_api.Chat", None, inquiry))
        return call


class _Both:
    """Two observers as adapters see one: the application's, and beside it the witness."""

    def __init__(self, observer: Observer, witness: _Witness) -> None:
        self._observer = observer
        self._witness = witness
        self.hosts = self
        self.names = (*observer.hosts.names, *witness.hosts.names)

    def __getitem__(self, host: str) -> bool:
        return self._observer.hosts[host] or self._witness.hosts[host]

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
    ) -> "ObservedCall | _BothCalls | None":
        """Let both watch; what the application's leaves alone, as a lower layer of a call, the witness does too."""
        request = (method, host, port, path, list(headers), body)
        hosts = self._observer.hosts
        if not (hosts[host] and hosts.speaks(host, port)):
            return self._witness.watch(*request, carrier, failures, beneath)
        call = self._observer.watch(*request, carrier, failures, beneath)
        if call is None:
            return None
        witnessed = Context().run(self._witness.watch, *request, {}, failures, beneath)
        return call if witnessed is None else _BothCalls(call, witnessed)

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
    ) -> "ObservedMessages | _BothMessages | None":
        """The same over gRPC."""
        request = (method, host, port, carried, message)
        hosts = self._observer.hosts
        if not (hosts[host] and hosts.speaks(host, port)):
            return self._witness.watch_messages(*request, carrier, failures, status_of)
        call = self._observer.watch_messages(*request, carrier, failures, status_of)
        if call is None:
            return None
        witnessed = Context().run(self._witness.watch_messages, *request, {}, failures, status_of)
        return call if witnessed is None else _BothMessages(call, witnessed)


class _BothListeners:
    """One call that both watch: the witness is told first."""

    __slots__ = ("_call", "_witnessed")

    uneventful: Form | None = None

    def __init__(self, call: Any, witnessed: Any) -> None:
        self._call = call
        self._witnessed = witnessed

    def bytes_received(self, chunk: Any) -> None:
        """Tell both."""
        self._witnessed.bytes_received(chunk)
        self._call.bytes_received(chunk)

    def finished(self, content: Any = None) -> None:
        """Tell both."""
        self._witnessed.finished(content)
        self._call.finished(content)

    def failed(self, error: BaseException) -> None:
        """Tell both."""
        self._witnessed.failed(error)
        self._call.failed(error)

    def closed(self) -> None:
        """Tell both."""
        self._witnessed.closed()
        self._call.closed()

    def forgotten(self) -> None:
        """Tell both."""
        self._witnessed.forgotten()
        self._call.forgotten()


class _BothMessages(_BothListeners):
    """One call over gRPC."""

    __slots__ = ()

    hiding: Hiding | None = None

    def sent(self) -> None:
        """Tell both."""
        self._witnessed.sent()
        self._call.sent()

    def refused(self) -> None:
        """Tell both."""
        self._witnessed.refused()
        self._call.refused()


class _BothCalls(_BothListeners):
    """One call over HTTP."""

    __slots__ = ()

    @property
    def hiding(self) -> Hiding | None:
        """The application's own."""
        hiding: Hiding | None = self._call.hiding
        return hiding

    def ask(self) -> bytes | None:
        """Ask if the application's does: the witness needs no usage."""
        body: bytes | None = self._call.ask()
        return body

    def hold(self) -> None:
        """Tell the one that has a span."""
        self._call.hold()

    def let_go(self) -> None:
        """Tell the one that has a span."""
        self._call.let_go()

    def headers_received(self, status_code: int, headers: Headers) -> bool:
        """Tell both."""
        self._witnessed.headers_received(status_code, headers)
        has_events: bool = self._call.headers_received(status_code, headers)
        return has_events


class _Mute:
    """A recorder that records nothing."""

    def begin(self, _request: Any, _started: int, current: Any) -> "_MuteRecording":
        """Begin nothing."""
        return _MuteRecording(current)


class _MuteRecording:
    """A recording of nothing."""

    def __init__(self, within: Any) -> None:
        self.within = within

    def propagate(self, _carrier: Any) -> None:
        """Leave the request as it is."""

    def finish(self, _observation: Any, _verdict: Any) -> None:
        """Keep nothing."""

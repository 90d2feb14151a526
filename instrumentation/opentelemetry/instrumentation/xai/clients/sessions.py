"""requests, and niquests, which has the same API in two colours: the module is a parameter.

All requests pass ``Session.send``. One may be a chain of redirects, or answer a challenge: it is one exchange, with the
facts of the last answer. Of the answers in between an adapter tells us, and there the body is not read yet, whether or
not the caller asked for a stream: so the one that will be the last is tapped there. An adapter that is none of the
library's own is passed by; then the answer is tapped when ``send`` returns, or its content is taken if it is there.

Over a multiplexed connection niquests returns a promise, which asking it for anything would wait for. What became of it
is looked at when the library has gathered answers.

Nothing is asked of the library that the caller did not ask for.
"""

import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, Token
from http.client import HTTPException
from typing import Any

from ..guard import fault, guarded
from ..observer import Failures, ObservedCall, Observer, qualified_name
from . import CurrentObserver
from .bystanders import let_pass, request_concerns, url_concerns
from .file_body import tap_body
from .request_parts import address_of, header_pairs, host_of, known_body, suppressed_by
from .sessions_usage import Stead

_SENT_WITH = ("timeout", "allow_redirects", "proxies", "stream", "verify", "cert")
"""What ``request`` gives ``send``, which takes any keywords, along with the request."""

_here: "ContextVar[Sending | None]" = ContextVar("xai-session-sending", default=None)


class Sessions:
    """A library with sessions: its classes, and the wrappers around their methods, in either colour."""

    def __init__(self, module: Any, current: CurrentObserver, others: str = "") -> None:
        """``others`` is the module of another instrumentation of the same methods that suppresses what is beneath."""
        self._current = current
        self._others = others
        self.exceptions = module.exceptions
        self.promised: weakref.WeakKeyDictionary[Any, ObservedCall] = weakref.WeakKeyDictionary()
        """The calls of which the answer is still to be gathered."""
        transport = sys.modules[module.adapters.ProtocolError.__module__]  # of urllib3, whatever its name is here
        self.failures = Failures(
            timeout=(module.exceptions.Timeout, transport.TimeoutError, TimeoutError),
            transport=(  # not OSError: whatever the library raises is one
                module.exceptions.ConnectionError,
                module.exceptions.ChunkedEncodingError,
                transport.ProtocolError,
                transport.SSLError,
                HTTPException,
                ConnectionError,
                EOFError,
            ),
            decoding=qualified_name(module.exceptions.ContentDecodingError),
        )

    def around_send(self, original: Any) -> Any:
        """The wrapper of ``Session.send``."""
        return self._let_pass(original, _around(original, self._sent))

    def around_async_send(self, original: Any) -> Any:
        """The wrapper of ``AsyncSession.send``."""
        find = self._sent

        async def send(*args: Any, **kwargs: Any) -> Any:
            sending = find(args, kwargs)
            if sending is None:
                return await original(*args, **kwargs)
            sending.enter()
            try:
                response = await original(*args, **kwargs)
                sending.returned(response)
            except BaseException as error:
                sending.failed(error)
                raise
            finally:
                sending.leave()
            return response

        return self._let_pass(original, send)

    def around_request(self, original: Any) -> Any:
        """The wrapper of ``Session.request``, within which ``prepare_request`` begins the call."""
        return let_pass(original, _around(original, self._requested), url_concerns(self._current), ("url",))

    def around_prepare_request(self, original: Any) -> Any:
        """The wrapper of ``Session.prepare_request``: what it returns is what ``request`` is about to send."""

        def prepare_request(session: Any, *args: Any, **kwargs: Any) -> Any:
            prepared = original(session, *args, **kwargs)
            sending = _here.get()
            if sending is not None and sending.is_expecting:
                sending.begin(prepared)
            return prepared

        return let_pass(original, prepare_request, _here.get)

    def around_adapter(self, original: Any) -> Any:
        """The wrapper of an adapter's ``send``."""

        def send(adapter: Any, *args: Any, **kwargs: Any) -> Any:
            passing = _passing(args, kwargs)
            if passing is None:
                return original(adapter, *args, **kwargs)
            try:
                response = original(adapter, *passing.args, **passing.kwargs)
            except BaseException as error:
                passing.failed(error)
                raise
            passing.answered(response)
            return response

        return let_pass(original, send, _here.get)

    def around_async_adapter(self, original: Any) -> Any:
        """The wrapper of an asynchronous adapter's ``send``."""

        async def send(adapter: Any, *args: Any, **kwargs: Any) -> Any:
            passing = _passing(args, kwargs)
            if passing is None:
                return await original(adapter, *args, **kwargs)
            try:
                response = await original(adapter, *passing.args, **passing.kwargs)
            except BaseException as error:
                passing.failed(error)
                raise
            passing.answered(response)
            return response

        return let_pass(original, send, _here.get)

    def around_gather(self, original: Any) -> Any:
        """The wrapper of an adapter's ``gather``."""

        def gather(adapter: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(adapter, *args, **kwargs)
            self._gathered()
            return result

        return gather

    def around_async_gather(self, original: Any) -> Any:
        """The wrapper of an asynchronous adapter's ``gather``."""

        async def gather(adapter: Any, *args: Any, **kwargs: Any) -> Any:
            result = await original(adapter, *args, **kwargs)
            self._gathered()
            return result

        return gather

    @guarded
    def _gathered(self) -> None:
        """Look which of the promised answers have come."""
        for response, call in list(self.promised.items()):
            if not _is_promise(response) and self.promised.pop(response, None) is not None:
                _arrived(call, response)

    def _let_pass(self, original: Any, send: Any) -> Any:
        return let_pass(original, send, request_concerns(self._current), ("request",), _SENT_WITH)

    def _requested(self, args: Any, kwargs: Any) -> "Sending | None":
        """What begins with ``request``: nothing yet, but if the host is ours, a place for the request to come."""
        try:
            url = args[2] if len(args) > 2 else kwargs.get("url")
            observer = self._current.observer
            if observer is not None and type(url) is str and observer.hosts[host_of(url)]:
                return Sending(self, observer)
        except Exception as error:
            fault("Sessions._requested", error)
        return None

    def _sent(self, args: Any, kwargs: Any) -> "Sending | None":
        """What ``send`` is about to send: the one that was begun before, or one that begins here."""
        try:
            request, observer = args[1] if len(args) > 1 else kwargs.get("request"), self._current.observer
            if observer is None or request is None or not observer.hosts[host_of(request.url)]:
                return None
            sending = _here.get()
            if sending is None or sending.request is not request:
                sending = Sending(self, observer)
                sending.begin(request, bool(self._others) and suppressed_by(self._others))
        except Exception as error:
            fault("Sessions._sent", error)
            return None
        return sending if sending.is_observed else None


class Sending:
    """One request on its way through the library, from the outermost of our wrappers to the innermost."""

    __slots__ = ("_asking", "_call", "_depth", "_last", "_library", "_observer", "_tapped", "_token", "request")

    def __init__(self, library: Sessions, observer: Observer) -> None:
        self._library = library
        self._observer = observer
        self._call: ObservedCall | None = None
        self._asking: bytes | None = None
        """The body that is sent in place of the application's."""
        self.request: Any = None
        """The request as it is prepared, once it is."""
        self._depth = 0
        self._token: Token[Sending | None] | None = None
        self._last: Any = None
        """The last answer that came."""
        self._tapped = False
        """Whether the answer was found whose ending is the call's."""

    @property
    def is_expecting(self) -> bool:
        """Whether the request is still to come."""
        return self.request is None and self._depth > 0

    @property
    def is_observed(self) -> bool:
        """Whether there is a call to tell."""
        return self._call is not None

    @guarded
    def begin(self, request: Any, beneath: bool = False) -> None:
        """Begin the call, if this request is one: now it is as it will be sent."""
        self.request = request
        address = address_of(request.url)
        headers = request.headers if request.headers is not None else {}
        call = self._observer.watch(
            request.method,
            address.host,
            address.port,
            address.path,
            header_pairs(headers.items()),
            known_body(request.body),
            headers,
            self._library.failures,
            beneath,
        )
        if call is not None:
            call.hold()
            self._call = call

    def enter(self) -> None:
        """One of our wrappers is entered."""
        self._depth += 1
        if self._depth == 1:
            self._token = _here.set(self)

    def leave(self) -> None:
        """It is left."""
        self._depth -= 1
        if self._depth == 0 and self._token is not None:
            with suppress(ValueError):  # the collector may throw a coroutine away in any context
                _here.reset(self._token)
            if self._call is not None:
                self._call.let_go()
            # Tasks and transports that were made meanwhile keep our context, which must keep no answer.
            self._call = self._last = self.request = None

    @guarded
    def stead_of(self, request: Any, promised: bool) -> Stead | None:
        """What an adapter is to send in place of a request; ``None`` if that itself.

        Where an answer is promised, the library's own hooks would see it before us.
        """
        if self._call is None or self._tapped or promised or known_body(request.body) is None:
            return None
        if not self._is_ours(request):
            return None
        if self._asking is None:
            self._asking = self._call.ask()
        return None if self._asking is None else Stead(request, self._asking)

    @guarded
    def answered(self, request: Any, response: Any) -> None:
        """An adapter has an answer: the last one, unless it is a redirect or a challenge, or a hook wants another."""
        if self._call is None or self._tapped or _is_promise(response):
            return
        if self._is_ours(request):
            self._last = response
            if 200 <= response.status_code < 300:
                self._tapped = True
                _arrived(self._call, response)

    @guarded
    def returned(self, response: Any) -> None:
        """The library is about to return its answer."""
        call = self._call
        if call is None or self._tapped:
            return
        self._tapped = True
        if _is_promise(response):
            self._library.promised[response] = call
            weakref.finalize(response, call.forgotten)
        else:
            _arrived(call, response)

    @guarded
    def failed(self, error: BaseException) -> None:
        """Sending raised ``error``, or reading did, or a hook. Of too many redirects none is the answer."""
        if self._call is None:
            return
        if not (self._tapped or self._last is None or isinstance(error, self._library.exceptions.TooManyRedirects)):
            self._call.headers_received(self._last.status_code, header_pairs(self._last.headers.items()))
        self._call.failed(error)

    def _is_ours(self, request: Any) -> bool:
        """Whether a request is the one that began the call, or carries it on: after a redirect or a challenge."""
        return request is self.request or request.body is self.request.body is not None


class _Passing:
    """One request on its way through an adapter: its arguments as they are passed on."""

    __slots__ = ("_request", "_sending", "_stead", "args", "kwargs")

    def __init__(self, sending: Sending, args: Any, kwargs: Any) -> None:
        self._sending = sending
        self._request = request = args[0] if args else kwargs.get("request")
        self._stead = stead = sending.stead_of(request, bool(kwargs.get("multiplexed")))
        self.args = args
        self.kwargs = kwargs
        if stead is not None:
            if args:
                self.args = (stead.request, *args[1:])
            else:
                self.kwargs = {**kwargs, "request": stead.request}

    def answered(self, response: Any) -> None:
        """The adapter is about to return its answer."""
        if self._stead is not None:
            self._stead.put_back(response)
        self._sending.answered(self._request, response)

    def failed(self, error: BaseException) -> None:
        """The adapter raised ``error``."""
        if self._stead is not None:
            self._stead.put_back_in(error)


def _passing(args: Any, kwargs: Any) -> _Passing | None:
    """What is told of a request that an adapter is to send, if it is within a call."""
    sending = _here.get()
    return None if sending is None else _Passing(sending, args, kwargs)


def _around(original: Any, find: Callable[[Any, Any], Sending | None]) -> Any:
    """A wrapper that tells what ``find`` finds in a call's arguments of how it went."""

    def method(*args: Any, **kwargs: Any) -> Any:  # the session among them: so they need not be put together again
        sending = find(args, kwargs)
        if sending is None:
            return original(*args, **kwargs)
        sending.enter()
        try:
            response = original(*args, **kwargs)
            sending.returned(response)
        except BaseException as error:
            sending.failed(error)
            raise
        finally:
            sending.leave()
        return response

    return method


def _arrived(call: ObservedCall, response: Any) -> None:
    """This is the answer: see to it that its body will be seen, or take what was read of it."""
    call.headers_received(response.status_code, header_pairs(response.headers.items()))
    content = response.__dict__.get("_content")
    if isinstance(content, bytes):
        call.finished(content)
        if call.hiding is not None:
            response._content = call.hiding.whole(content)  # noqa: SLF001  where it is kept
    elif response.raw is None:
        call.finished()
    else:
        body = tap_body(response.raw, call)
        if body is not response.raw:
            response.raw = body


def _is_promise(response: Any) -> bool:
    """Whether an answer of niquests is still to come."""
    return getattr(response, "lazy", False) is True

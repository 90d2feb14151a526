"""aiohttp: all its requests pass ``ClientSession._request``, those of ``aiohttp.request`` too.

What ``_request`` does in there is one exchange: redirects, the resending of middlewares, the reading of what a callable
``raise_for_status`` reads. Body and headers are made here, as the session would make them, and handed on so made: what
is told is what is sent, and the trace context is on every hop.

What is read of the response passes its reader (``aiohttp_reader``). Where usage is to be asked for, another body is
sent in the place of the application's (``aiohttp_usage``).
"""

import asyncio
import inspect
import io
import weakref
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any

from ..guard import fault, guarded
from ..observer import Failures, ObservedCall, Observer, qualified_name
from . import CurrentObserver
from .aiohttp_reader import Readers
from .aiohttp_usage import stead_of
from .patching import together, wrap
from .request_parts import header_pairs

_MOST_TARGETS_KEPT = 1024
_DAMAGED = "content-encoding"
"""What the text of a failure says where a body could not be decompressed; older versions tell it by nothing else."""
_OF_SESSION = ("_request", "_prepare_headers", "_build_url")
_OF_READER = ("_read_nowait_chunk", "_read_nowait", "_wait", "feed_data", "feed_eof", "set_exception")


def methods(module: ModuleType) -> list[tuple[type, str]]:
    """``ClientSession._request``; none where sessions or readers lack what we build on."""
    session, reader = getattr(module, "ClientSession", None), getattr(module, "StreamReader", None)
    if not all(hasattr(session, name) for name in _OF_SESSION) or not all(hasattr(reader, name) for name in _OF_READER):
        return []
    return [(module.ClientSession, "_request")]


def patch(module: ModuleType, current: CurrentObserver) -> Callable[[], None]:
    """Wrap ``ClientSession._request`` and return what puts the original back."""
    return together([wrap(owner, name, _Library(module, current).around) for owner, name in methods(module)])


class _Library:
    """aiohttp: its classes, and the wrapper around ``_request``."""

    def __init__(self, module: Any, current: CurrentObserver) -> None:
        self._current = current
        self._module = module
        self._home = str(getattr(module, "__file__", "")).rpartition("/")[0]
        self._hosts_of: dict[str, str] = {}
        """The host of what a URL begins with; empty where it begins with none."""
        self._readers = Readers(self._broken)
        self._damaged = module.http_exceptions.ContentEncodingError
        accepted = module.ClientRequest.DEFAULT_HEADERS["Accept-Encoding"]
        self._codings = frozenset(coding.strip().encode() for coding in accepted.split(","))
        """What aiohttp decompresses."""
        self._failures = Failures(
            timeout=(asyncio.TimeoutError, TimeoutError),
            transport=(module.ClientPayloadError, module.ClientConnectionError, OSError, EOFError),
            decoding=qualified_name(self._damaged),
        )

    def around(self, original: Any) -> Any:
        """The wrapper of ``ClientSession._request``: a plain function, for a coroutine costs bystanders more."""

        def _request(session: Any, method: Any, str_or_url: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
            observer = self._observer_of(session, str_or_url)
            if observer is None:
                coroutine: Coroutine[Any, Any, Any] = original(session, method, str_or_url, **kwargs)
                return coroutine
            return self._observe(observer, original, session, method, str_or_url, kwargs)

        return _as_coroutine_function(_request)

    async def _observe(
        self, observer: Observer, original: Any, session: Any, method: Any, target: Any, kwargs: dict[str, Any]
    ) -> Any:
        outgoing = self._prepare(session, method, target, kwargs)
        call = None if outgoing is None else self._begin(observer, outgoing)
        if outgoing is not None:
            kwargs = outgoing.kwargs
        if call is None:
            return await original(session, method, target, **kwargs)
        stead = stead_of(self._module, call, kwargs)
        try:
            response = await original(session, method, target, **kwargs)
        except BaseException as error:
            self._look_for_response(call, error)
            call.failed(self._meant(error))
            if stead is not None:
                stead.put_back_in(error)
            raise
        if stead is not None:
            stead.put_back(response)
        self._arrived(call, response, decompressed=_choice(kwargs.get("auto_decompress"), session, "_auto_decompress"))
        return response

    def _observer_of(self, session: Any, target: Any) -> Observer | None:
        """The observer, if it watches the host of a request. All that other traffic pays: the guard is written out."""
        try:
            observer = self._current.observer
            if observer is not None:
                if type(target) is str:
                    end = target.find("/", 8)  # behind "https://"
                    begin = target[:end] if end > 0 else target
                    host = self._hosts_of.get(begin)
                    if host is None:
                        host = self._learn(begin)
                else:
                    host = target.host
                if not host and session._base_url is not None:
                    host = session._base_url.host
                if host and observer.hosts[host]:
                    return observer
        except Exception as error:
            fault("_Library._observer_of", error)
        return None

    def _learn(self, begin: str) -> str:
        if begin.startswith("/"):  # of which there are too many
            return ""
        try:
            host: str = self._module.client.URL(begin).host or ""
        except ValueError:  # aiohttp will say so
            host = ""
        if len(self._hosts_of) < _MOST_TARGETS_KEPT:
            self._hosts_of[begin] = host
        return host

    def _prepare(self, session: Any, method: Any, target: Any, kwargs: dict[str, Any]) -> "_Outgoing | None":
        """Make what will be sent; ``None`` where that cannot be done, of which aiohttp will tell the application."""
        payload = self._module.payload
        try:
            url = session._build_url(target)
            kwargs = dict(kwargs)
            if kwargs.get("json") is not None and kwargs.get("data") is None:
                to_bytes = getattr(session, "_json_serialize_bytes", None)
                if to_bytes is not None:
                    kwargs["data"] = payload.JsonBytesPayload(kwargs["json"], dumps=to_bytes)
                else:
                    kwargs["data"] = payload.JsonPayload(kwargs["json"], dumps=session._json_serialize)
                kwargs["json"] = None
            kwargs["headers"] = session._prepare_headers(kwargs.get("headers"))
        except Exception:  # the application's mistake
            return None
        return _Outgoing(method.upper(), url, session, kwargs)

    @guarded
    def _begin(self, observer: Observer, outgoing: "_Outgoing") -> ObservedCall | None:
        url, headers = outgoing.url, outgoing.kwargs["headers"]
        return observer.watch(
            outgoing.method,
            url.host,
            url.port or 0,
            url.path,
            outgoing.headers(),
            _known(outgoing.kwargs.get("data"), self._module.payload),
            headers,
            self._failures,
        )

    def _arrived(self, call: ObservedCall, response: Any, *, decompressed: bool) -> None:
        """The headers are here: see to it that the body will be seen."""
        try:
            headers = header_pairs(response.raw_headers)
            if decompressed:
                headers = [
                    (name, value)
                    for name, value in headers
                    if name != b"content-encoding" or value.lower() not in self._codings
                ]
            call.headers_received(response.status, headers)
            body = response._body
            if body is not None:  # read already, as by a middleware
                if call.hiding is not None:
                    response._body = call.hiding.whole(body)
                call.finished(body)
            else:
                self._tap(call, response)
        except Exception as error:  # written out: the answer must be right whatever happens
            call.failed(error)
            fault("_Library._arrived", error)

    def _tap(self, call: ObservedCall, response: Any) -> None:
        reader = response.content
        if isinstance(reader, type(self._module.EMPTY_PAYLOAD)):  # one for all responses
            call.finished()
        elif isinstance(reader, self._module.StreamReader):
            self._readers.tap(reader, call)
        else:
            weakref.finalize(response, call.forgotten)

    def _broken(self, call: ObservedCall, error: BaseException) -> None:
        """The reader cannot be read any further: closing a response does that with this very class."""
        if type(error) is self._module.ClientConnectionError:
            call.closed()
        else:
            call.failed(self._meant(error))

    def _meant(self, error: BaseException) -> BaseException:
        """A failure as what it is: a damaged body and a cut one are told by exceptions of one class."""
        damaged = isinstance(error, self._module.ClientPayloadError) and _DAMAGED in str(error)
        return self._damaged("") if damaged else error

    @guarded
    def _look_for_response(self, call: ObservedCall, error: BaseException) -> None:
        """Tell the headers of the response that had arrived when ``error`` was raised, which aiohttp's own frames know.

        That the status is an error may be the reason, or a hook of the application's. Redirects are no answer yet.
        """
        found, frames = None, error.__traceback__
        while frames is not None:
            frame, frames = frames.tb_frame, frames.tb_next
            if frame.f_code.co_name == "_request" and frame.f_code.co_filename.startswith(self._home):
                response = frame.f_locals.get("resp")
                redirects = frame.f_locals.get("history") or ()
                if response is not None and response.status and all(response is not each for each in redirects):
                    found = response
        if found is not None:
            call.headers_received(found.status, header_pairs(found.raw_headers))


class _Outgoing:
    """A request as it will be sent: what of it aiohttp has still to make is none of ours."""

    __slots__ = ("_session", "kwargs", "method", "url")

    def __init__(self, method: str, url: Any, session: Any, kwargs: dict[str, Any]) -> None:
        self.method = method
        self.url = url
        self._session = session
        self.kwargs = kwargs

    def headers(self) -> list[tuple[bytes, bytes]]:
        """All that the application gave, by whatever way."""
        headers = self.kwargs["headers"]
        found = header_pairs(headers.items())
        auth = _choice(self.kwargs.get("auth"), self._session, "_default_auth")
        if auth is not None and "Authorization" not in headers:
            found.append((b"authorization", auth.encode().encode()))
        return found


def _as_coroutine_function(function: Any) -> Any:
    """Mark a function that returns a coroutine as what it passes for: ``mock.patch`` asks whether to await it."""
    if hasattr(inspect, "markcoroutinefunction"):
        return inspect.markcoroutinefunction(function)
    function._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
    return function


def _choice(given: Any, session: Any, default: str) -> Any:
    """What was given with a request, or else with its session."""
    return getattr(session, default, None) if given is None else given


def _known(data: Any, payload: Any) -> bytes | None:
    """A request's body, where it can be known without taking anything out of it."""
    if isinstance(data, payload.Payload):
        data = data._value
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    if isinstance(data, str):
        return data.encode()
    if type(data) is io.BytesIO:
        return data.getvalue()[data.tell() :]
    if type(data) is io.StringIO:
        return data.getvalue()[data.tell() :].encode()
    return None

"""httpx and httpx2, which have the same API: the module is a parameter.

All requests of either pass ``Client.send`` or ``AsyncClient.send``, whatever transport carries them. If the caller
wants a stream, a tap around its byte stream hands each chunk on as it is and tells the call of it. If not, we ask the
library for a stream all the same and read the response as ``send`` would have: so headers are seen when they come, and
of server-sent events the moments are. The content is then taken from the response.

Where ``send`` is not the library's own but somebody's wrapper around it, that must get what the caller asked for: it
may look at the content. Then the response arrives with its content, and is seen at its end only.

A response that holds its content already (mock transports, event hooks that read) never touches its stream again, so
its content is taken too.

Where usage is to be asked for, another request is sent in the place of the application's (``httpx_usage``).
"""

import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

from ..guard import fault, guarded
from ..observer import Failures, Listener, ObservedCall, Observer, Overheard, qualified_name
from ..stream_usage import Hiding
from ..tap import AsyncTap, tap
from . import CurrentObserver
from .httpx_headers import HeaderList
from .httpx_usage import Stead
from .patching import together, wrap_each

_DEFAULT_PORTS = {"https": 443, "http": 80}
_NEEDED = (
    "Client",
    "AsyncClient",
    "Response",
    "SyncByteStream",
    "AsyncByteStream",
    "TimeoutException",
    "TransportError",
    "DecodingError",
    "Headers",
    "ByteStream",
    "TooManyRedirects",
)


def methods(module: ModuleType) -> list[tuple[type, str]]:
    """The two ``send`` methods; none in pre-releases of httpx 1.0."""
    return [(getattr(module, name), "send") for name in ("Client", "AsyncClient") if hasattr(module, name)]


def patch(module: ModuleType, current: CurrentObserver) -> Callable[[], None]:
    """Wrap the ``send`` methods of httpx or httpx2 and return what puts the originals back."""
    if not all(hasattr(module, name) for name in _NEEDED):
        return together([])
    library = _Library(module, current)
    return wrap_each(methods(module), library.around_send, library.around_async_send)


class _Library:
    """httpx or httpx2: its classes, and the wrappers around its two ``send`` methods."""

    def __init__(self, module: Any, current: CurrentObserver) -> None:
        self._current = current
        self.module = module
        self.failures = Failures(
            timeout=(module.TimeoutException, TimeoutError),
            transport=(module.TransportError, OSError, EOFError),
            decoding=qualified_name(module.DecodingError),
        )
        self.headers = HeaderList(module.Headers)
        self.tapped = _tapped(module.SyncByteStream)
        self.async_tapped = _async_tapped(module.AsyncByteStream)
        self._home = str(getattr(module, "__file__", "")).rpartition("/")[0]

    def around_send(self, original: Any) -> Any:
        """The wrapper of ``Client.send``."""
        own = self._is_own(original)

        def send(client: Any, *args: Any, **kwargs: Any) -> Any:
            request = args[0] if args else kwargs.get("request")
            observer = self._observer_of(request)
            call = None if observer is None else self._begin(observer, request)
            if call is None:
                return original(client, *args, **kwargs)
            sending = _Sending(self, call, own, args, kwargs)
            try:
                response = original(client, *sending.args, **sending.kwargs)
                if sending.arrived(response, self.tapped):
                    try:
                        response.read()
                    except BaseException:
                        response.close()
                        raise
            except BaseException as error:
                sending.failed(error)
                raise
            sending.returned()
            return response

        return send

    def around_async_send(self, original: Any) -> Any:
        """The wrapper of ``AsyncClient.send``."""
        own = self._is_own(original)

        async def send(client: Any, *args: Any, **kwargs: Any) -> Any:
            request = args[0] if args else kwargs.get("request")
            observer = self._observer_of(request)
            call = None if observer is None else self._begin(observer, request)
            if call is None:
                return await original(client, *args, **kwargs)
            sending = _Sending(self, call, own, args, kwargs)
            try:
                response = await original(client, *sending.args, **sending.kwargs)
                if sending.arrived(response, self.async_tapped):
                    try:
                        await response.aread()
                    except BaseException:
                        await response.aclose()
                        raise
            except BaseException as error:
                sending.failed(error)
                raise
            sending.returned()
            return response

        return send

    def _is_own(self, function: Any) -> bool:
        """Whether a function is the library's own, not somebody's wrapper around it."""
        home = function.__globals__["__name__"] if type(function) is FunctionType else ""
        return bool(home.partition(".")[0] == self.module.__name__) and not hasattr(function, "__wrapped__")

    def _observer_of(self, request: Any) -> Observer | None:
        """The observer, if it watches the host of a request. All that other traffic pays: the guard is written out."""
        try:
            observer = self._current.observer
            if observer is not None and request is not None and observer.hosts[request.url.host]:
                return observer
        except Exception as error:
            fault("_Library._observer_of", error)
        return None

    def response_in(self, error: BaseException) -> Any:
        """The response that had arrived when ``error`` was raised, which the library's own frames know, if one had.

        It may have been raised by an event hook of the application's, or by reading below somebody's wrapper. That
        there were too many redirects is said of none of their responses.
        """
        found = None
        frames = None if isinstance(error, self.module.TooManyRedirects) else error.__traceback__
        while frames is not None:
            frame, frames = frames.tb_frame, frames.tb_next
            if frame.f_code.co_filename.startswith(self._home):
                for value in frame.f_locals.values():
                    if isinstance(value, self.module.Response):
                        found = value
        return found

    @guarded
    def _begin(self, observer: Observer, request: Any) -> ObservedCall | None:
        url, headers = request.url, request.headers
        carrier: dict[str, str] = {}
        call = observer.watch(
            request.method,
            url.host,
            url.port or _DEFAULT_PORTS.get(url.scheme, 443),
            url.path,
            self.headers.pairs(headers),
            getattr(request, "_content", None),
            carrier,
            self.failures,
        )
        for name, value in carrier.items():
            self.headers.set(headers, name, value)
        return call


class _Sending:
    """One request while ``send`` runs: what to ask of the library, and what its outcome tells the call.

    What both colours of ``send`` decide is decided here, and nothing here awaits.
    """

    __slots__ = ("_call", "_content", "_has_content", "_library", "_response", "_stead", "_tells_end", "_whole",
                 "args", "kwargs")  # fmt: skip

    def __init__(
        self, library: _Library, call: ObservedCall, own: bool, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._library = library
        self._call = call
        self._whole = own and not kwargs.get("stream", False)
        """Whether we read the response in the library's stead."""
        self._response: Any = None
        self._content: bytes | None = None
        """The response's content where the application gets another."""
        self._has_content = True
        """Whether the response's content is still to be told at the end."""
        self._tells_end = True
        """Whether the call's ending is told when ``send`` returns, since nobody else will."""
        self._stead: Stead | None = None
        """What is sent in the place of the application's request, where that is not."""
        self.args = args
        self.kwargs = {**kwargs, "stream": True} if self._whole else kwargs
        body = call.ask()
        if body is not None:
            self._ask(body)

    @guarded
    def _ask(self, body: bytes) -> None:
        """Send another body."""
        own, *others = self.args or (self.kwargs["request"],)
        stead = Stead(self._library.module, own, body)
        if self.args:
            self.args = (stead.request, *others)
        else:
            self.kwargs = {**self.kwargs, "request": stead.request}
        self._stead = stead

    def arrived(self, response: Any, tapped: Any) -> bool:
        """The headers are here: see to it that the body will be seen; says whether it is to be read now."""
        try:
            self._response = response
            call = self._call
            has_events = call.headers_received(response.status_code, self._library.headers.pairs(response.headers))
            if response.is_stream_consumed:
                if call.hiding is not None:
                    self._hide(response, call.hiding)
            elif not self._whole:
                response.stream = tapped(response.stream, call)
                self._tells_end = False
            elif has_events:
                response.stream = tapped(response.stream, Overheard(call))
                self._has_content = False
        except Exception as error:  # written out: the answer must be right whatever happens
            fault("_Sending.arrived", error)
        if self._stead is not None:
            self._stead.put_back(response)
        return self._whole

    def failed(self, error: BaseException) -> None:
        """Sending or reading raised ``error``."""
        if self._response is None:
            self._look_for_response(error)
        if self._stead is not None:
            self._stead.put_back_in(error)
        self._call.failed(error)

    def returned(self) -> None:
        """``send`` is about to return: tell the call's ending, unless the tap will."""
        if self._tells_end:
            content = self._content
            if content is None and self._has_content:
                content = getattr(self._response, "_content", None)
            self._call.finished(content)

    def _hide(self, response: Any, hiding: Hiding) -> None:
        """Hide in content that is there already."""
        self._content = response.content
        response._content = hiding.whole(self._content)  # noqa: SLF001
        vars(response).pop("_text", None)  # what a hook has made of it

    @guarded
    def _look_for_response(self, error: BaseException) -> None:
        response = self._library.response_in(error)
        if response is not None:
            self._call.headers_received(response.status_code, self._library.headers.pairs(response.headers))
            if self._stead is not None:
                self._stead.put_back(response)


def _of_inner(stream: Any, name: str) -> Any:
    """What the tapped stream has not, the inner one may have: httpx2 keeps the elapsed time there."""
    if name.startswith("_"):  # not even made yet, as when it is being copied
        raise AttributeError(name)
    return getattr(stream._inner, name)  # noqa: SLF001


def _tapped(stream_type: Any) -> Any:
    """A library's synchronous byte stream, with a tap around it."""

    class TappedStream(stream_type):  # type: ignore[misc]
        def __init__(self, inner: Any, call: Listener) -> None:
            self._inner = inner
            self._call = call
            self._forgotten = weakref.finalize(self, call.forgotten)

        def __iter__(self) -> Iterator[bytes]:
            return tap(self._call, self._inner, self)

        def close(self) -> None:
            self._call.closed()
            self._forgotten.detach()
            self._inner.close()

        def __getattr__(self, name: str) -> Any:
            return _of_inner(self, name)

    return TappedStream


def _async_tapped(stream_type: Any) -> Any:
    """A library's asynchronous byte stream, with a tap around it."""

    class AsyncTappedStream(stream_type):  # type: ignore[misc]
        def __init__(self, inner: Any, call: Listener) -> None:
            self._inner = inner
            self._call = call
            self._forgotten = weakref.finalize(self, call.forgotten)

        def __aiter__(self) -> AsyncIterator[bytes]:
            return AsyncTap(self._call, self._inner, self)

        async def aclose(self) -> None:
            self._call.closed()
            self._forgotten.detach()
            await self._inner.aclose()

        def __getattr__(self, name: str) -> Any:
            return _of_inner(self, name)

    return AsyncTappedStream

"""httpx and httpx2, which have the same API: the module is a parameter.

All requests of either pass ``Client.send`` or ``AsyncClient.send``, whatever transport carries them. We ask the
original for a streamed response. If the caller wants a stream too, a tap around its byte stream hands each chunk on as
it is and tells the call of it. If not, we read the response as ``send`` would have, and take its content; only
server-sent events are tapped even then, since their moments matter.

A response that holds its content already (mock transports, event hooks that read) never touches its stream again, so
its content is taken too.
"""

import functools
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

from ..guard import fault, guarded
from ..observer import Failures, ObservedCall, Observer
from ..tap import async_tap, tap
from . import CurrentObserver

_DEFAULT_PORTS = {"https": 443, "http": 80}
_NEEDED = ("Client", "AsyncClient", "SyncByteStream", "AsyncByteStream", "TimeoutException", "TransportError")
_OURS = "_opentelemetry_instrumentation_xai"


def patch(module: ModuleType, current: CurrentObserver) -> Callable[[], None]:
    """Wrap the ``send`` methods of httpx or httpx2 and return what puts the originals back.

    Does nothing for a module without them, as pre-releases of httpx 1.0 are, nor for a class that is wrapped already,
    as when httpx2's ``alias_httpx()`` shows one module under two names.
    """
    undo: list[Callable[[], None]] = []
    if all(hasattr(module, name) for name in _NEEDED):
        library = _Library(module, current)
        for owner, around in ((module.Client, library.around_send), (module.AsyncClient, library.around_async_send)):
            original = vars(owner).get("send")
            if original is not None and not _is_wrapped(original):
                undo.append(_wrap(owner, original, around))

    def unpatch() -> None:
        for restore in undo:
            restore()

    return unpatch


def _is_wrapped(function: Any) -> bool:
    """Whether ours is among the wrappers around a function: on top, or under somebody else's."""
    while function is not None:
        if hasattr(function, _OURS):
            return True
        function = getattr(function, "__wrapped__", None)
    return False


def _wrap(owner: Any, original: Any, around: Callable[[Any], Any]) -> Callable[[], None]:
    wrapped = functools.update_wrapper(around(original), original)
    setattr(wrapped, _OURS, True)
    owner.send = wrapped

    def restore() -> None:
        if vars(owner).get("send") is wrapped:  # else somebody wrapped it again, and ours stays beneath, inert
            owner.send = original

    return restore


class _Library:
    """httpx or httpx2: its classes, and the wrappers around its two ``send`` methods."""

    def __init__(self, module: Any, current: CurrentObserver) -> None:
        self._current = current
        self._failures = Failures(
            timeout=(module.TimeoutException, TimeoutError),
            transport=(module.TransportError, OSError, EOFError),
        )
        self._tapped = _tapped(module.SyncByteStream)
        self._async_tapped = _async_tapped(module.AsyncByteStream)

    def around_send(self, original: Any) -> Any:
        """The wrapper of ``Client.send``. A plain function: bystanders pay a third of what a proxy object costs."""

        def send(client: Any, *args: Any, **kwargs: Any) -> Any:
            request = args[0] if args else kwargs.get("request")
            observer = self._observer_of(request)
            call = None if observer is None else self._begin(observer, request)
            if call is None:
                return original(client, *args, **kwargs)
            streamed = kwargs.get("stream", False)
            try:
                response = original(client, *args, **{**kwargs, "stream": True})
            except BaseException as error:
                call.failed(error)
                raise
            self._arrived(call, response, self._tapped, streamed)
            if not streamed:
                try:
                    response.read()
                except BaseException as error:
                    call.failed(error)
                    response.close()
                    raise
                call.finished(getattr(response, "_content", None))
            return response

        return send

    def around_async_send(self, original: Any) -> Any:
        """The wrapper of ``AsyncClient.send``."""

        async def send(client: Any, *args: Any, **kwargs: Any) -> Any:
            request = args[0] if args else kwargs.get("request")
            observer = self._observer_of(request)
            call = None if observer is None else self._begin(observer, request)
            if call is None:
                return await original(client, *args, **kwargs)
            streamed = kwargs.get("stream", False)
            try:
                response = await original(client, *args, **{**kwargs, "stream": True})
            except BaseException as error:
                call.failed(error)
                raise
            self._arrived(call, response, self._async_tapped, streamed)
            if not streamed:
                try:
                    await response.aread()
                except BaseException as error:
                    call.failed(error)
                    await response.aclose()
                    raise
                call.finished(getattr(response, "_content", None))
            return response

        return send

    def _observer_of(self, request: Any) -> Observer | None:
        """The observer, if it watches the host of a request. All that other traffic pays: the guard is written out."""
        try:
            observer = self._current()
            if observer is not None and observer.hosts[request.url.host]:
                return observer
        except Exception as error:
            fault("_Library._observer_of", error)
        return None

    @guarded
    def _begin(self, observer: Observer, request: Any) -> ObservedCall | None:
        url = request.url
        return observer.watch(
            request.method,
            url.host,
            url.port or _DEFAULT_PORTS.get(url.scheme, 443),
            url.path,
            request.headers.raw,
            getattr(request, "_content", None),
            request.headers,
            self._failures,
        )

    @guarded
    def _arrived(self, call: ObservedCall, response: Any, tapped: Any, streamed: bool) -> None:
        """The headers are here: see to it that the body will be seen."""
        has_events = call.headers_received(response.status_code, response.headers.raw)
        if response.is_stream_consumed:
            call.finished(getattr(response, "_content", None))
        elif streamed or has_events:
            response.stream = tapped(response.stream, call)


def _of_inner(stream: Any, name: str) -> Any:
    """What the tapped stream has not, the inner one may have: httpx2 keeps the elapsed time there."""
    if name.startswith("_"):  # not even made yet, as when it is being copied
        raise AttributeError(name)
    return getattr(stream._inner, name)  # noqa: SLF001


def _tapped(stream_type: Any) -> Any:
    """A library's synchronous byte stream, with a tap around it."""

    class TappedStream(stream_type):  # type: ignore[misc]
        def __init__(self, inner: Any, call: ObservedCall) -> None:
            self._inner = inner
            self._call = call
            self._forgotten = weakref.finalize(self, call.abandoned)

        def __iter__(self) -> Iterator[bytes]:
            return tap(self._call, self._inner, self)

        def close(self) -> None:
            self._call.abandoned()
            self._forgotten.detach()
            self._inner.close()

        def __getattr__(self, name: str) -> Any:
            return _of_inner(self, name)

    return TappedStream


def _async_tapped(stream_type: Any) -> Any:
    """A library's asynchronous byte stream, with a tap around it."""

    class AsyncTappedStream(stream_type):  # type: ignore[misc]
        def __init__(self, inner: Any, call: ObservedCall) -> None:
            self._inner = inner
            self._call = call
            self._forgotten = weakref.finalize(self, call.abandoned)

        def __aiter__(self) -> AsyncIterator[bytes]:
            return async_tap(self._call, self._inner, self)

        async def aclose(self) -> None:
            self._call.abandoned()
            self._forgotten.detach()
            await self._inner.aclose()

        def __getattr__(self, name: str) -> Any:
            return _of_inner(self, name)

    return AsyncTappedStream

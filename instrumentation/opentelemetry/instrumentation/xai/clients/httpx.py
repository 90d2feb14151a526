"""httpx and httpx2, which have the same API: the module is a parameter.

All requests of either pass ``Client.send`` or ``AsyncClient.send``, whatever transport carries them. We ask the
original for a streamed response. If the caller wants a stream too, a tap around its byte stream hands each chunk on as it is
and tells the call of it. If not, we read the response as ``send`` would have, and take its content; only
server-sent events are tapped even then, since their moments matter.

A response that holds its content already (mock transports, event hooks that read) never touches its stream again, so its
content is taken too.
"""

import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

import wrapt

from ..guard import guarded
from ..observer import Failures, ObservedCall
from . import CurrentObserver

_DEFAULT_PORTS = {"https": 443, "http": 80}


class _SendWrapper(wrapt.FunctionWrapper):  # type: ignore[misc]
    """Our wrapper around ``send``: a type of its own, so that a class is never wrapped twice."""


def patch(module: ModuleType, current: CurrentObserver) -> Callable[[], None]:
    """Wrap the ``send`` methods of httpx or httpx2 and return what puts the originals back.

    Does nothing for a module without them, as pre-releases of httpx 1.0 are, nor for a class that is wrapped already, as when
    httpx2's ``alias_httpx()`` shows one module under two names.
    """
    undo: list[Callable[[], None]] = []
    if not all(hasattr(module, name) for name in ("SyncByteStream", "AsyncByteStream", "TimeoutException", "TransportError")):
        return lambda: None
    library = _Library(module, current)
    for owner, wrapper in ((module.Client, library.send), (module.AsyncClient, library.send_async)):
        original = vars(owner).get("send")
        if original is not None and not _is_wrapped(original):
            undo.append(_wrap(owner, original, wrapper))

    def unpatch() -> None:
        for restore in undo:
            restore()

    return unpatch


def _is_wrapped(function: Any) -> bool:
    """Whether ours is among the wrappers around a function: on top, or under somebody else's."""
    while function is not None:
        if isinstance(function, _SendWrapper):
            return True
        function = getattr(function, "__wrapped__", None)
    return False


def _wrap(owner: Any, original: Any, wrapper: Callable[..., Any]) -> Callable[[], None]:
    wrapped = _SendWrapper(original, wrapper)
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
        self._tap = _tap_of(module.SyncByteStream)
        self._async_tap = _async_tap_of(module.AsyncByteStream)

    def send(self, wrapped: Any, _client: Any, args: Any, kwargs: Any) -> Any:
        """Around ``Client.send``."""
        call = self._begin(args, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        streamed = kwargs.get("stream", False)
        try:
            response = wrapped(*args, **{**kwargs, "stream": True})
        except BaseException as error:
            call.failed(error)
            raise
        self._arrived(call, response, self._tap, streamed=streamed)
        if not streamed:
            try:
                response.read()
            except BaseException as error:
                call.failed(error)
                response.close()
                raise
            self._read(call, response)
        return response

    def send_async(self, wrapped: Any, _client: Any, args: Any, kwargs: Any) -> Any:
        """Around ``AsyncClient.send``: a request to another host gets the original's coroutine, not one of ours."""
        if not self._may_be_ours(args, kwargs):
            return wrapped(*args, **kwargs)
        return self._send_async(wrapped, args, kwargs)

    async def _send_async(self, wrapped: Any, args: Any, kwargs: Any) -> Any:
        call = self._begin(args, kwargs)
        if call is None:
            return await wrapped(*args, **kwargs)
        streamed = kwargs.get("stream", False)
        try:
            response = await wrapped(*args, **{**kwargs, "stream": True})
        except BaseException as error:
            call.failed(error)
            raise
        self._arrived(call, response, self._async_tap, streamed=streamed)
        if not streamed:
            try:
                await response.aread()
            except BaseException as error:
                call.failed(error)
                await response.aclose()
                raise
            self._read(call, response)
        return response

    @guarded
    def _may_be_ours(self, args: Any, kwargs: Any) -> bool:
        observer = self._current()
        request = args[0] if args else kwargs["request"]
        return observer is not None and observer.hosts[request.url.host]

    @guarded
    def _begin(self, args: Any, kwargs: Any) -> ObservedCall | None:
        observer = self._current()
        request = args[0] if args else kwargs["request"]
        if observer is None or not observer.hosts[request.url.host]:
            return None
        url = request.url
        return observer.watch(
            request.method,
            url.host,
            url.port or _DEFAULT_PORTS.get(url.scheme, 443),
            url.path,
            request.headers.raw,
            getattr(request, "content", None) if hasattr(request, "_content") else None,
            request.headers,
            self._failures,
        )

    @guarded
    def _arrived(self, call: ObservedCall, response: Any, tap: Any, *, streamed: bool) -> None:
        """The headers are here: see to it that the body will be seen."""
        if response.is_stream_consumed:
            call.headers_received(response.status_code, response.headers.raw, decoded=True)
            self._read(call, response)
        elif streamed or "text/event-stream" in response.headers.get("content-type", ""):
            call.headers_received(response.status_code, response.headers.raw)
            response.stream = tap(response.stream, call)
        else:
            call.headers_received(response.status_code, response.headers.raw, decoded=True)

    @guarded
    def _read(self, call: ObservedCall, response: Any) -> None:
        """The body has been read: take it, unless the tap or an event hook did."""
        if not call.is_over:
            call.finished(getattr(response, "_content", None))


def _tap_of(stream_type: Any) -> Any:
    """The tap for a library's synchronous byte streams."""

    class Tap(stream_type):  # type: ignore[misc]
        def __init__(self, inner: Any, call: ObservedCall) -> None:
            self._inner = inner
            self._call = call
            weakref.finalize(self, call.forgotten)

        def __iter__(self) -> Iterator[bytes]:
            call = self._call
            received = call.bytes_received
            try:
                for chunk in self._inner:
                    received(chunk)
                    yield chunk
            except BaseException as error:
                call.failed(error)
                raise
            call.finished()

        def close(self) -> None:
            self._call.abandoned()
            self._inner.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)  # httpx2 keeps the elapsed time on the stream

    return Tap


def _async_tap_of(stream_type: Any) -> Any:
    """The tap for a library's asynchronous byte streams."""

    class AsyncTap(stream_type):  # type: ignore[misc]
        def __init__(self, inner: Any, call: ObservedCall) -> None:
            self._inner = inner
            self._call = call
            weakref.finalize(self, call.forgotten)

        async def __aiter__(self) -> AsyncIterator[bytes]:
            call = self._call
            received = call.bytes_received
            chunks = self._inner.__aiter__()
            try:
                async for chunk in chunks:
                    received(chunk)
                    yield chunk
            except BaseException as error:
                call.failed(error)
                raise
            finally:
                if isinstance(chunks, AsyncGenerator):
                    await chunks.aclose()
            call.finished()

        async def aclose(self) -> None:
            self._call.abandoned()
            await self._inner.aclose()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    return AsyncTap

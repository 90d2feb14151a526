"""The tap: a body on its way from the client library to the application, chunk by chunk, untouched.

Where usage was asked for in the application's stead, the event that comes of it is taken out (``call.hiding``): a chunk
may then be shorter than it came, or be left out. That is a tap of its own, so that others pay nothing for it.

It tells the call of each chunk before the application gets it, and of how the iteration ended. Whether a chunk only
carries more text is asked here, before the call is told: that is done for each chunk of a stream, and telling costs
more (see ``wire.repetition``).

Nothing is held across a yield but the call and ``owner``, the stream object that must not be taken for forgotten while
its chunks are being read. The call is guarded, so no telemetry can raise here.
"""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

from .observer import Listener
from .stream_usage import Hiding
from .wire.repetition import has_form


def tap(call: Listener, chunks: Iterable[bytes], owner: object = None) -> Iterator[bytes]:
    """Hand on the chunks of a body and tell the call of them."""
    hiding = call.hiding
    return _tap(call, chunks, owner) if hiding is None else _hiding_tap(call, hiding, chunks, owner)


def _tap(call: Listener, chunks: Iterable[bytes], owner: object) -> Iterator[bytes]:  # noqa: ARG001
    try:
        for chunk in chunks:
            form = call.uneventful
            if form is not None and type(chunk) is bytes:  # has_form, in place: the call would cost a quarter of it all
                start, end, stop = form
                rest = chunk.removeprefix(start)
                text = rest.removesuffix(end)
                if rest is not chunk and text is not rest and stop not in text:
                    yield chunk
                    continue
            call.bytes_received(chunk)
            yield chunk
    except BaseException as error:
        call.failed(error)
        raise
    call.finished()


def _hiding_tap(call: Listener, hiding: Hiding, chunks: Iterable[bytes], owner: object) -> Iterator[bytes]:  # noqa: ARG001
    try:
        for chunk in chunks:
            form = call.uneventful
            if form is not None and has_form(form, chunk):  # one whole event, and more text: nothing to hide
                yield chunk
                continue
            call.bytes_received(chunk)
            kept = hiding.feed(chunk)
            if kept or not chunk:
                yield kept
    except BaseException as error:
        call.failed(error)
        rest = hiding.close() if isinstance(error, Exception) else b""
        if rest:
            yield rest
        raise
    call.finished()
    rest = hiding.close()
    if rest:
        yield rest


class AsyncTap(AsyncGenerator[bytes, None]):
    """The same for an asynchronous body.

    An asynchronous generator by its methods, so that clients close it as they would close the library's own, but not
    by its making: an event loop closes forgotten generators, each in a task of its own, and one more of them would
    get in the way of the others.
    """

    __slots__ = ("_call", "_chunks", "_owner")

    def __new__(cls, call: Listener, *_arguments: object, **_named: object) -> "AsyncTap":  # noqa: PYI034  Python 3.10
        """One that hides where there is something to hide."""
        return super().__new__(cls if call.hiding is None else _AsyncHidingTap)

    def __init__(self, call: Listener, chunks: AsyncIterable[bytes], owner: object = None) -> None:
        self._call = call
        self._chunks: AsyncIterator[bytes] = chunks.__aiter__()
        self._owner = owner

    async def __anext__(self) -> bytes:
        """Hand on the next chunk."""
        call = self._call
        try:
            chunk = await self._chunks.__anext__()
        except StopAsyncIteration:
            call.finished()
            raise
        except BaseException as error:
            call.failed(error)
            raise
        form = call.uneventful
        if form is None or not has_form(form, chunk):
            call.bytes_received(chunk)
        return chunk

    async def asend(self, _value: None) -> bytes:
        """Hand on the next chunk: a body takes nothing."""
        return await self.__anext__()

    async def athrow(self, *error: Any) -> bytes:
        """Throw an exception into the library's own generator, which will mostly raise it again."""
        if not isinstance(self._chunks, AsyncGenerator):
            return await super().athrow(*error)
        try:
            chunk: bytes = await self._chunks.athrow(*error)
        except BaseException as raised:
            self._call.failed(raised)
            raise
        return chunk

    async def aclose(self) -> None:
        """Close the library's own generator."""
        self._call.closed()
        if isinstance(self._chunks, AsyncGenerator):
            await self._chunks.aclose()

    def __del__(self) -> None:
        """Forgotten before its end: the application left the loop over it."""
        self._call.forgotten()


class _AsyncHidingTap(AsyncTap):
    """The one that hides."""

    __slots__ = ("_error", "_hiding")

    def __init__(self, call: Listener, chunks: AsyncIterable[bytes], owner: object = None) -> None:
        super().__init__(call, chunks, owner)
        self._hiding = call.hiding or Hiding()
        self._error: Exception | None = None
        """What is to be raised next: what was held back before it went first."""

    async def __anext__(self) -> bytes:
        """Hand on the next chunk of which anything is left."""
        error, self._error = self._error, None
        if error is not None:
            raise error
        while True:
            try:
                chunk = await super().__anext__()
            except Exception as raised:
                rest = self._hiding.close()
                if not rest:
                    raise
                if not isinstance(raised, StopAsyncIteration):
                    self._error = raised
                return rest
            kept = self._hiding.feed(chunk)
            if kept or not chunk:
                return kept

    async def athrow(self, *error: Any) -> bytes:
        """Throw an exception into the library's own generator, which will mostly raise it again."""
        return self._hiding.feed(await super().athrow(*error))

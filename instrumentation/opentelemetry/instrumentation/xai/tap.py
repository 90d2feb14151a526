"""The tap: a body on its way from the client library to the application, chunk by chunk, untouched.

It tells the call of each chunk before the application gets it, and of how the iteration ended. Whether a chunk only
carries more text is asked here, before the call is told: that is done for each chunk of a stream, and telling costs
more (see ``wire.repetition``).

Nothing is held across a yield but the call and ``owner``, the stream object that must not be taken for forgotten while
its chunks are being read. The call is guarded, so no telemetry can raise here.
"""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

from .observer import Listener
from .wire.repetition import has_form


def tap(call: Listener, chunks: Iterable[bytes], owner: object = None) -> Iterator[bytes]:  # noqa: ARG001
    """Hand on the chunks of a body and tell the call of them."""
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


class AsyncTap(AsyncGenerator[bytes, None]):
    """The same for an asynchronous body.

    An asynchronous generator by its methods, so that clients close it as they would close the library's own, but not
    by its making: an event loop closes forgotten generators, each in a task of its own, and one more of them would
    get in the way of the others.
    """

    __slots__ = ("_call", "_chunks", "_owner")

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

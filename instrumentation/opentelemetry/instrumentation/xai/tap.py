"""The tap: a body on its way from the client library to the application, chunk by chunk, untouched.

It tells the call of each chunk before the application gets it, and of how the iteration ended. Whether a chunk only
carries more text is tested here, in place: that is done for each chunk of a stream, and a call would cost more than the
test (see ``wire.repetition``).

Nothing is held across a yield but the call and ``owner``, the stream object that must not be taken for forgotten while
its chunks are being read. No telemetry can raise here: the call is guarded, and so is the test.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator

from .guard import fault
from .observer import ObservedCall


def tap(call: ObservedCall, chunks: Iterable[bytes], owner: object = None) -> Iterator[bytes]:  # noqa: ARG001
    """Hand on the chunks of a body and tell the call of them."""
    try:
        for chunk in chunks:
            form = call.uneventful
            if form is not None:
                try:
                    start, end, stop = form
                    rest = chunk.removeprefix(start)
                    text = rest.removesuffix(end)
                    eventful = rest is chunk or text is rest or stop in text
                except Exception as error:
                    eventful = True
                    fault("tap", error)
                if not eventful:
                    yield chunk
                    continue
            call.bytes_received(chunk)
            yield chunk
    except BaseException as error:
        call.failed(error)
        raise
    call.finished()


async def async_tap(
    call: ObservedCall,
    chunks: AsyncIterable[bytes],
    owner: object = None,  # noqa: ARG001
) -> AsyncGenerator[bytes, None]:
    """The same for an asynchronous body, whose own iterator is closed with this one."""
    iterator = chunks.__aiter__()
    try:
        async for chunk in iterator:
            form = call.uneventful
            if form is not None:
                try:
                    start, end, stop = form
                    rest = chunk.removeprefix(start)
                    text = rest.removesuffix(end)
                    eventful = rest is chunk or text is rest or stop in text
                except Exception as error:
                    eventful = True
                    fault("tap", error)
                if not eventful:
                    yield chunk
                    continue
            call.bytes_received(chunk)
            yield chunk
    except BaseException as error:
        call.failed(error)
        raise
    finally:
        if isinstance(iterator, AsyncGenerator):
            await iterator.aclose()
    call.finished()

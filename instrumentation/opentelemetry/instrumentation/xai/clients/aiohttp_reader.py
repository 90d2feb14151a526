"""The reading side of aiohttp: a ``StreamReader`` that tells a call of what the application takes out of it.

Bytes may have arrived before the application has its response, and there are a dozen ways to read them. All take what
they give out of the reader's buffer by one method. So the reader stays the one that the parser feeds, with all that
lies in it, and only its class changes: to a subclass that tells the call of each chunk at the moment at which the
application takes the first of it (as httpx does with lines), and of the end when nothing is left to take. Readers have
slots and none of them is free: the call travels in the buffer.

That a response is forgotten shows when aiohttp itself lets go of its reader: when the body has arrived, or the
connection ends. A read that is cancelled ends nothing, since the application may read on.

Where something is to be hidden, that is done as bytes arrive, before the reader counts them. What was hidden, or held
back for a while, is told with the chunk that comes next. Of what is unread when a body breaks, aiohttp gives nothing;
so also of what was held back.
"""

import asyncio
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from ..guard import fault, guarded
from ..observer import ObservedCall
from ..stream_usage import Hiding
from ..wire.repetition import has_form

_Broken: TypeAlias = "Callable[[ObservedCall, BaseException], None]"


class Readers:
    """Taps readers; keeps a tapped class for each class of them."""

    def __init__(self, broken: _Broken) -> None:
        self._broken = broken
        """Whom to tell that a reader cannot be read any further."""
        self._tapped: dict[tuple[type, bool], type] = {}

    def tap(self, reader: Any, call: ObservedCall) -> None:
        """Tell a call of what is taken out of a reader from now on."""
        kind, hiding = type(reader), call.hiding
        tapped = self._tapped.get((kind, hiding is not None))
        if tapped is None:
            tapped = _tapped(kind, self._broken)
            if hiding is not None:
                tapped = _hiding(tapped, kind)
            self._tapped[kind, hiding is not None] = tapped
        buffer = reader._buffer = _Buffer(call, reader._buffer) if hiding is None else _hide(reader, call, hiding)
        reader.__class__ = tapped
        weakref.finalize(buffer, call.forgotten)
        error = reader.exception()
        if error is not None:
            self._broken(call, error)
        elif reader.is_eof():
            _let_go(reader)
            if not buffer:
                buffer.drained()


class _Buffer(deque[bytes]):
    """A reader's buffer that knows the call whose body goes through it."""

    __slots__ = ("call",)

    def __init__(self, call: ObservedCall, chunks: Iterable[bytes] = ()) -> None:
        super().__init__(chunks)
        self.call = call

    def taken(self, chunk: bytes) -> None:
        """The application takes the first of a chunk."""
        call = self.call
        form = call.uneventful
        if form is None or not has_form(form, chunk):
            call.bytes_received(chunk)

    def drained(self) -> None:
        """The body is over, and nothing of it is left."""
        self.call.finished()


class _HidingBuffer(_Buffer):
    """One of which the application does not get everything."""

    __slots__ = ("_arrived", "_hiding", "_since")

    def __init__(self, call: ObservedCall, hiding: Hiding) -> None:
        super().__init__(call)
        self._hiding = hiding
        self._arrived: deque[list[bytes]] = deque()
        """For each chunk in the buffer, what arrived that it was made of, and what was hidden before it."""
        self._since: list[bytes] = []
        """What has arrived since."""

    def kept(self, chunk: bytes) -> bytes:
        """What of a chunk goes into the buffer; perhaps nothing."""
        self._since.append(chunk)
        return self._counted(self._hiding.feed(chunk))

    def rest(self) -> bytes:
        """What still goes into the buffer, now that the body is over; mostly nothing."""
        return self._counted(self._hiding.close())

    def taken(self, _chunk: bytes) -> None:
        """Tell what had arrived."""
        for chunk in self._arrived.popleft():
            super().taken(chunk)

    def drained(self) -> None:
        """Tell what was hidden at the end."""
        since, self._since = self._since, []
        for chunk in since:
            super().taken(chunk)
        super().drained()

    def _counted(self, kept: bytes) -> bytes:
        if kept:
            self._arrived.append(self._since)
            self._since = []
        return kept


def _tapped(kind: Any, broken: _Broken) -> type:
    """A class of readers, with a tap where bytes leave the buffer."""

    class TappedReader(kind):  # type: ignore[misc]
        __slots__ = ()

        def _read_nowait_chunk(self, n: int) -> bytes:
            buffer = self._buffer
            chunk = None if self._buffer_offset else buffer[0]
            data: bytes = kind._read_nowait_chunk(self, n)
            try:
                if chunk is not None:
                    buffer.taken(chunk)
                if self._eof and not buffer:
                    buffer.drained()
            except Exception as error:
                fault("TappedReader._read_nowait_chunk", error)
            return data

        def _read_nowait(self, n: int) -> bytes:
            try:
                data: bytes = kind._read_nowait(self, n)
            except asyncio.TimeoutError as error:  # the time for all of it was over before
                self._buffer.call.failed(error)
                raise
            return data

        async def _wait(self, func_name: str) -> None:
            try:
                await kind._wait(self, func_name)
            except asyncio.TimeoutError as error:
                self._buffer.call.failed(error)
                raise
            except RuntimeError:
                if not self._protocol.connected:  # with its session: else somebody else reads
                    self._buffer.call.closed()
                raise

        def feed_eof(self) -> None:
            kind.feed_eof(self)
            _let_go(self)
            if not self._buffer:
                self._buffer.drained()

        def set_exception(self, exc: BaseException, *cause: Any) -> None:
            kind.set_exception(self, exc, *cause)
            broken(self._buffer.call, exc)

    TappedReader.__name__ = TappedReader.__qualname__ = kind.__name__
    return TappedReader


def _hiding(tapped: Any, kind: Any) -> type:
    """A tapped class of readers that hides what the application did not ask for."""

    class HidingReader(tapped):  # type: ignore[misc]
        __slots__ = ()

        def feed_data(self, data: bytes, _size: int = 0) -> Any:
            kept = self._buffer.kept(data)
            return kind.feed_data(self, kept) if kept else False

        def feed_eof(self) -> None:
            rest = self._buffer.rest()
            if rest:
                kind.feed_data(self, rest)
                if self._http_chunk_splits is not None:
                    self.end_http_chunk_receiving()
            tapped.feed_eof(self)

    HidingReader.__name__ = HidingReader.__qualname__ = kind.__name__
    return HidingReader


def _hide(reader: Any, call: ObservedCall, hiding: Hiding) -> _HidingBuffer:
    """Hide in what lies in a reader already; returns the buffer for the rest of it."""
    chunks = list(reader._buffer)
    if reader._buffer_offset:
        chunks[0] = chunks[0][reader._buffer_offset :]
    buffer, splits = _HidingBuffer(call, hiding), reader._http_chunk_splits
    position = total = reader._cursor
    kept_splits: Any = None if splits is None else type(splits)()
    for chunk in chunks:
        kept = buffer.kept(chunk)
        if kept:
            buffer.append(kept)
        position += len(chunk)
        total += len(kept)
        if splits is not None and position in splits and total != (kept_splits[-1] if kept_splits else reader._cursor):
            kept_splits.append(total)
    rest = buffer.rest() if reader.is_eof() else b""
    if rest:
        buffer.append(rest)
        total += len(rest)
        if splits is not None:
            kept_splits.append(total)
    reader._buffer_offset = 0
    reader._size = total - reader._cursor
    reader.total_bytes = total
    reader._http_chunk_splits = kept_splits
    return buffer


@guarded
def _let_go(reader: Any) -> None:
    """Have a connection that is idle forget the reader of its last body, of which else nobody might know any more."""
    protocol = reader._protocol
    if getattr(protocol, "_payload", None) is reader:
        protocol._payload = None

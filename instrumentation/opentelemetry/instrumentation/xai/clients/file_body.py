"""Bodies that are read like files: those of urllib3, on which requests and niquests ride, and any other.

A response of urllib3 has a dozen methods to read it, which call each other; at the bottom are two, and both give the
body as it was on the wire. So a response that is ours gets a class of its own, made of its class, in which those two
tell the call of what passes, and the outer ones of how reading ended. It stays the very object that the library holds
on to, and an instance of what it was.

In urllib3-future the bottom is one method, and there is a class whose methods are coroutines.

Where something is to be hidden, another file is put beneath the response, which tells the call in place of those two
methods; the rest of the class only has to know of it. Files that are no response of urllib3's are not hidden in: what
asks is sent by urllib3.
"""

import io
import weakref
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from inspect import iscoroutinefunction
from typing import Any

import wrapt

from ..guard import guarded
from ..observer import Listener, Overheard
from ..wire.repetition import has_form
from .hiding_file import AsyncHidingFile, HidingFile, Sieve

_CALL = "_opentelemetry_instrumentation_xai_call"
_SIEVE = "_opentelemetry_instrumentation_xai_sieve"
_ENDINGS = ("read", "read1", "drain_conn")
"""What applications and urllib3 itself call to read: after each, the body may have come to its end."""

_Proxy: Any = wrapt.ObjectProxy  # generic to some of its versions only

_tapped: dict[tuple[type, bool], type] = {}


def tap_body(body: Any, call: Listener) -> Any:
    """See to it that the call is told of a body that is about to be read; returns what is to be read in its stead."""
    kind = type(body)
    if not (isinstance(body, io.IOBase) and hasattr(kind, "_fp_read")):
        return FileBody(body, call)
    if _CALL in body.__dict__:  # another call's already
        return body
    file: Any = body._fp  # type: ignore[attr-defined]
    hiding = call.hiding if hasattr(file, "read") else None
    tapped = _tapped.get((kind, hiding is not None))
    if tapped is None:
        tapped = _class_of(kind, hides=hiding is not None)
        _tapped[kind, hiding is not None] = tapped
    if hiding is not None:
        body.__dict__[_SIEVE] = sieve = Sieve(call, hiding)
        hiding_file = AsyncHidingFile if iscoroutinefunction(file.read) else HidingFile
        body._fp = hiding_file(file, sieve)  # type: ignore[attr-defined]
    body.__dict__[_CALL] = call
    body.__class__ = tapped
    weakref.finalize(body, call.forgotten)
    return body


class FileBody(_Proxy):  # type: ignore[misc]
    """A file of somebody else's, as adapters have that answer from memory."""

    def __init__(self, body: Any, call: Listener) -> None:
        super().__init__(body)
        self._self_call = call
        weakref.finalize(self, call.forgotten)

    def read(self, *args: Any, **kwargs: Any) -> Any:
        """Read on."""
        every = not args or args[0] is None or args[0] < 0
        return self._told(every, self.__wrapped__.read, *args, **kwargs)

    def readline(self, *args: Any, **kwargs: Any) -> Any:
        """Read a line."""
        return self._told(False, self.__wrapped__.readline, *args, **kwargs)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.readline, b"")

    def close(self) -> Any:
        """Close the file."""
        self._self_call.closed()
        return self.__wrapped__.close()

    def _told(self, every: bool, read: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Read and tell the call; ``every`` says that nothing can be left."""
        call: Listener = self._self_call
        try:
            data = read(*args, **kwargs)
        except BaseException as error:
            call.failed(error)
            raise
        if data:
            _passed(call, data)
        if every or not data:
            call.finished()
        return data


def _passed(call: Listener, data: Any) -> None:
    """Bytes of a body, on their way up: all that the application gets of it passes here."""
    form = call.uneventful
    if form is None or not has_form(form, data):
        call.bytes_received(data)


@guarded
def _settled(body: Any) -> None:
    """Reading went well: was that the end? The files of mocks are not asked all that a real one may be."""
    file = body._fp
    if file is None or (file.isclosed() if isinstance(file, HTTPResponse) else getattr(file, "closed", False)):
        body.__dict__[_CALL].finished()


@guarded
def _failed(body: Any, error: BaseException) -> None:
    """Reading failed. Whether a content coding is damaged is told by the bytes, under the client library's own name."""
    call = body.__dict__[_CALL]
    if type(error).__name__ == "DecodeError":
        call.closed()
    elif not isinstance(error, (RuntimeError, ValueError)):  # wrongly asked: nothing has been read
        call.failed(error)


def _class_of(kind: Any, *, hides: bool) -> type:
    """The class that a response becomes."""
    if iscoroutinefunction(kind.read):
        tapped = _asynchronous(kind)
        return _asynchronously_hiding(tapped, kind) if hides else tapped
    tapped = _synchronous(kind)
    return _hiding(tapped, kind) if hides else tapped


def _named(kind: type, methods: dict[str, Any]) -> type:
    """A class that goes by the name of the one that it is made of."""
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind,), {**names, **methods})


def _synchronous(kind: Any) -> type:
    """A class of responses of urllib3, with a tap."""

    def bottom(name: str) -> Any:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            data = getattr(kind, name)(self, *args, **kwargs)
            if data:
                _passed(self.__dict__[_CALL], data)
            return data

        return method

    def ending(name: str) -> Any:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                result = getattr(kind, name)(self, *args, **kwargs)
            except BaseException as error:
                _failed(self, error)
                raise
            _settled(self)
            return result

        return method

    def read_chunked(self: Any, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        try:
            yield from kind.read_chunked(self, *args, **kwargs)
        except GeneratorExit:  # left in the middle: closing or forgetting the response will tell
            raise
        except BaseException as error:
            _failed(self, error)
            raise
        _settled(self)

    def _update_chunk_length(self: Any) -> None:
        call = self.__dict__[_CALL]
        self.__dict__[_CALL] = Overheard(call)  # it closes the response before it raises: that is a failure, no closing
        try:
            kind._update_chunk_length(self)
        finally:
            self.__dict__[_CALL] = call

    def close(self: Any) -> None:
        self.__dict__[_CALL].closed()
        kind.close(self)

    methods = {name: ending(name) for name in _ENDINGS if hasattr(kind, name)}
    methods |= {"_fp_read": bottom("_fp_read"), "close": close, "__del__": _dying(kind)}
    if not hasattr(kind, "is_from_promise"):  # no urllib3-future: chunks are read beside
        methods |= {"_handle_chunk": bottom("_handle_chunk"), "read_chunked": read_chunked}
        methods |= {"_update_chunk_length": _update_chunk_length}
    return _named(kind, methods)


def _asynchronous(kind: Any) -> type:
    """The same for the asynchronous class of urllib3-future."""

    async def _fp_read(self: Any, *args: Any, **kwargs: Any) -> Any:
        data = await kind._fp_read(self, *args, **kwargs)
        if data:
            _passed(self.__dict__[_CALL], data)
        return data

    def ending(name: str) -> Any:
        async def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                result = await getattr(kind, name)(self, *args, **kwargs)
            except BaseException as error:
                _failed(self, error)
                raise
            _settled(self)
            return result

        return method

    async def close(self: Any) -> None:
        self.__dict__[_CALL].closed()
        await kind.close(self)

    methods = {name: ending(name) for name in _ENDINGS if hasattr(kind, name)}
    return _named(kind, {**methods, "_fp_read": _fp_read, "close": close, "__del__": _dying(kind)})


def _hiding(tapped: Any, kind: Any) -> type:
    """A tapped class whose file hides something."""

    def _fp_read(self: Any, *args: Any, **kwargs: Any) -> Any:
        sieve = self.__dict__[_SIEVE]
        hidden = sieve.hidden
        try:
            return kind._fp_read(self, *args, **kwargs)
        finally:
            _expect_less(self, sieve.hidden - hidden)

    def _handle_chunk(self: Any, amt: int | None) -> bytes:
        sieve: Sieve = self.__dict__[_SIEVE]
        sieve.came(kind._handle_chunk(self, amt))
        return sieve.take(amt)

    def read_chunked(self: Any, amt: int | None = None, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        sieve: Sieve = self.__dict__[_SIEVE]
        try:
            for piece in kind.read_chunked(self, amt, *args, **kwargs):
                yield piece
                yield from sieve.pieces(amt)
        except GeneratorExit:
            raise
        except BaseException as error:
            _failed(self, error)
            if isinstance(error, Exception):
                sieve.release()
                yield from sieve.pieces(amt)
            raise
        if amt != 0:
            sieve.release()
            yield from sieve.pieces(amt)
        _settled(self)

    methods: dict[str, Any] = {"_fp_read": _fp_read}
    if not hasattr(kind, "is_from_promise"):
        methods |= {"_handle_chunk": _handle_chunk, "read_chunked": read_chunked}
    return _named(tapped, methods)


def _asynchronously_hiding(tapped: Any, kind: Any) -> type:
    """The same for the asynchronous class of urllib3-future."""

    async def _fp_read(self: Any, *args: Any, **kwargs: Any) -> Any:
        sieve = self.__dict__[_SIEVE]
        hidden = sieve.hidden
        try:
            return await kind._fp_read(self, *args, **kwargs)
        finally:
            _expect_less(self, sieve.hidden - hidden)

    return _named(tapped, {"_fp_read": _fp_read})


def _expect_less(body: Any, hidden: int) -> None:
    """Of a body whose length is known, expect that much less, since it does not reach the response."""
    if body.length_remaining is not None:
        body.length_remaining -= hidden


def _dying(kind: Any) -> Any:
    """What the collector calls, which would close the response: that is not the application's doing."""

    def __del__(self: Any) -> None:  # noqa: N807
        self.__dict__[_CALL].forgotten()
        kind.__del__(self)

    return __del__

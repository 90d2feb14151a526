"""The file beneath a response of urllib3, where something of it is to be hidden from the application.

A response asks its file for bytes and whether there are more. So a file of our own stands in its place, which reads on
where nothing is left of what came, never gives more than it is asked for, and is not over while anything is left. Over
HTTP/1.1 urllib3 takes chunks apart itself, past ``read``: what it takes goes through the same ``Sieve``.
"""

from collections.abc import Iterator
from typing import Any

import wrapt

from ..observer import Listener
from ..stream_usage import Hiding
from ..wire.repetition import has_form

_Proxy: Any = wrapt.ObjectProxy  # generic to some of its versions only


class Sieve:
    """What came on the one side, and on the other what the application gets of it, in the pieces it asks for."""

    __slots__ = ("_call", "_came", "_ends", "_error", "_given", "_hiding", "_kept", "_over")

    def __init__(self, call: Listener, hiding: Hiding) -> None:
        self._call = call
        self._hiding = hiding
        self._kept = b""
        """What the application has not taken yet."""
        self._came = self._given = 0
        self._over = False
        self._ends = False
        """Whether the end was found by reading once more, which the application is still to do."""
        self._error: Exception | None = None
        """What is to be raised next: what was held back before it goes first."""

    @property
    def hidden(self) -> int:
        """How many bytes came that the application does not get, or not yet: they are held back."""
        return self._came - self._given - len(self._kept)

    @property
    def given(self) -> int:
        """How many bytes the application got."""
        return self._given

    @property
    def is_pending(self) -> bool:
        """Whether there is anything to get without reading on."""
        return bool(self._kept) or self._ends or self._error is not None

    def came(self, data: bytes, *, last: bool = False) -> None:
        """Bytes came; ``last`` says that no more will."""
        if data:
            form = self._call.uneventful
            if form is None or not has_form(form, data):  # else it is one whole event, and more text: nothing to hide
                self._call.bytes_received(data)
                self._kept += self._hiding.feed(data)
            else:
                self._kept += data
            self._came += len(data)
        if last:
            self.release()
            self._over = True
            self._ends = not data and bool(self._kept)

    def release(self) -> None:
        """Nothing comes that would change what is held back."""
        self._kept += self._hiding.close()

    def broke(self, error: Exception) -> None:
        """Reading on raised ``error``: raise it, once what is left has been taken."""
        self._kept += self._hiding.close()
        if not self._kept:
            raise error
        self._error = error

    def suffices(self, size: int | None, *, full: bool) -> bool:
        """Whether there is what ``read(size)`` is to give; ``full`` if that is not less than ``size``, but at the end.

        Raises what reading raised before.
        """
        if self._error is not None and not self._kept:
            error, self._error = self._error, None
            raise error
        if self._over or self._error is not None or size == 0:
            return True
        if not full:
            return bool(self._kept)
        return size is not None and len(self._kept) >= size

    def lacks(self, size: int) -> int:
        """How much is to be read on, for as much as this."""
        return size - len(self._kept)

    def take(self, size: int | None = None) -> bytes:
        """What the application gets now, at most ``size``."""
        kept = self._kept
        self._ends = self._ends and bool(kept)
        if size is None or size < 0 or size >= len(kept):
            self._kept = b""
        else:
            kept, self._kept = kept[:size], kept[size:]
        self._given += len(kept)
        return kept

    def pieces(self, size: int | None) -> Iterator[bytes]:
        """All that the application gets now, in pieces of at most ``size``."""
        while self._kept:
            yield self.take(size)

    def forget(self) -> None:
        """What is left is not taken any more."""
        self._kept, self._error, self._ends = b"", None, False


class HidingFile(_Proxy):  # type: ignore[misc]
    """The file, through a sieve."""

    def __init__(self, file: Any, sieve: Sieve) -> None:
        super().__init__(file)
        self._self_sieve = sieve

    def read(self, *sizes: Any) -> bytes:
        """Read on."""
        return self._read(self.__wrapped__.read, sizes, full=not sizes or sizes[0] is None or sizes[0] > 0)

    def read1(self, *sizes: Any) -> bytes:
        """Read what there is."""
        return self._read(self.__wrapped__.read1, sizes, full=False)

    def isclosed(self) -> bool:
        """Whether there is nothing more; where the file cannot tell, neither can this."""
        return self.__wrapped__.isclosed() and not self._self_sieve.is_pending

    @property
    def closed(self) -> bool:
        """Whether it cannot be read any more."""
        return self.__wrapped__.closed and not self._self_sieve.is_pending

    @property
    def data_in_count(self) -> int:
        """How much has come, to the application, where the file counts that."""
        counted: int = self.__wrapped__.data_in_count
        return min(counted, self._self_sieve.given)

    def close(self) -> None:
        """Close the file; what is left is not read any more."""
        self._self_sieve.forget()
        self.__wrapped__.close()

    def _read(self, read: Any, sizes: Any, *, full: bool) -> bytes:
        sieve: Sieve = self._self_sieve
        size = sizes[0] if sizes else None
        while not sieve.suffices(size, full=full):
            try:
                data = read(*self._lacking(sizes, full))
            except Exception as error:  # noqa: PERF203  for each read, whose cost that is not
                sieve.broke(error)
            else:
                self._came(data)
        return sieve.take(size)

    def _came(self, data: bytes) -> None:
        file, sieve = self.__wrapped__, self._self_sieve
        is_closed = file.isclosed() if hasattr(file, "isclosed") else getattr(file, "closed", False)
        sieve.came(data, last=not data or bool(is_closed))
        if getattr(file, "length", None) == 0:  # that it is closed, it may say when it is asked for more
            sieve.release()

    def _lacking(self, sizes: Any, full: bool) -> Any:
        return (self._self_sieve.lacks(sizes[0]),) if full and sizes and sizes[0] is not None else sizes


class AsyncHidingFile(HidingFile):
    """The same for a file whose methods are coroutines."""

    async def _read(self, read: Any, sizes: Any, *, full: bool) -> bytes:  # type: ignore[override]
        sieve: Sieve = self._self_sieve
        size = sizes[0] if sizes else None
        while not sieve.suffices(size, full=full):
            try:
                data = await read(*self._lacking(sizes, full))
            except Exception as error:  # noqa: PERF203  for each read, whose cost that is not
                sieve.broke(error)
            else:
                self._came(data)
        return sieve.take(size)

"""Server-sent events: bytes to the data of each event, however the bytes are cut.

Lines may end in LF, CRLF or CR, a byte order mark may come first, comments and fields other than ``data`` are
dropped: for xAI the type of an event stands in its data. An event too large to keep is reduced while it arrives.
Source: the WHATWG HTML standard, "Server-sent events".
"""

import re
from collections.abc import Iterable, Iterator

from ..limits import LARGEST_KEPT
from .dialect import Shape
from .large_document import LargeDocument, MalformedError

_LINE = 64  # what keeping one more line costs, however short it is
_BLANK_RUN = re.compile(rb"\n{3,}")
_BOM = b"\xef\xbb\xbf"


class EventFramer:
    """Splits one stream into events. Bounded whatever arrives."""

    __slots__ = ("_cr", "_data", "_is_data", "_large", "_line", "_shape", "_size", "_started", "malformed")

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._started = False
        self._cr = False
        """The last byte was a CR: a LF that follows belongs to it."""
        self._line = bytearray()
        """The start of a line whose end has not come."""
        self._data: list[bytes] = []
        """The data lines of the event that has not ended."""
        self._size = 0
        self._large: LargeDocument | None = None
        self._is_data = False
        """While an event is large: whether the line that has begun is a data line."""
        self.malformed = 0
        """How many large events were no JSON."""

    @property
    def between_events(self) -> bool:
        """Whether nothing of a next event has come."""
        return not (self._line or self._data or self._large or self._cr) and self._started

    def feed(self, chunk: bytes) -> Iterable[bytes]:
        """Take bytes, give the data of each event that they complete."""
        if self._cr or self._data or self._large is not None or not self._started or 0x0D in chunk:
            return self._split(chunk)
        if 0x0A not in chunk:
            self._begun(chunk)
            return ()
        if self._line:
            chunk = bytes(self._line) + chunk
            self._line.clear()
        *blocks, rest = _without_blank_runs(chunk).split(b"\n\n")
        events = []
        for block in blocks:
            lines = (
                block.partition(b"\n")[2] if block[:1] == b"e" else block
            )  # an event line: the data has the type too
            data = lines.removeprefix(b"data: ")
            if data is not lines and 0x0A not in data:
                events.append(data)
            else:
                values = [_value(line) for line in block.split(b"\n") if line.startswith(b"data:")]
                if values:
                    events.append(b"\n".join(values))
        if rest:
            self._keep(rest.split(b"\n"))
        return events

    def _keep(self, lines: list[bytes]) -> None:
        """Keep the lines of an event that has not ended, the last of which has not ended either."""
        rest = lines.pop()
        for line in lines:
            if line.startswith(b"data:"):
                self._add(_value(line))
        if rest:
            self._begun(rest)

    def _split(self, chunk: bytes) -> Iterator[bytes]:
        if not self._started:
            chunk = bytes(self._line) + chunk
            self._line.clear()
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                self._line += chunk
                return
            self._started = True
            chunk = chunk.removeprefix(_BOM)
        if self._cr and chunk:
            self._cr = False
            chunk = chunk.removeprefix(b"\n")
        if b"\r" in chunk:
            self._cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = _without_blank_runs(chunk).split(b"\n")
        rest = lines.pop()
        for ending in lines:
            line = self._completed(ending) if self._line or self._large is not None else ending
            if not line:
                event = self._event()
                if event is not None:
                    yield event
            elif line.startswith(b"data:"):
                self._add(_value(line))
        if rest:
            self._begun(rest)

    def _completed(self, end: bytes) -> bytes:
        """The whole line that ends here, or, if its start was passed on already, a comment in its stead."""
        if self._is_data and self._large is not None:
            self._write(end + b"\n")
            self._is_data = False
            return b":"
        line = bytes(self._line) + end
        self._line.clear()
        return line

    def _begun(self, start: bytes) -> None:
        """Keep the start of a line; one that makes the event too large to keep is passed on instead."""
        if self._large is not None and self._is_data:
            self._write(start)
            return
        self._line += start
        if len(self._line) + self._size > LARGEST_KEPT and len(self._line) >= len(b"data:"):
            line = bytes(self._line)
            self._line.clear()
            if line.startswith(b"data:"):
                self._enlarge()
                self._is_data = True
                self._write(line[5:])
            else:
                self._line += b":"  # a long line of no interest: its start is enough to tell that

    def _add(self, data: bytes) -> None:
        if self._large is not None:
            self._write(data + b"\n")
            return
        self._data.append(data)
        self._size += len(data) + _LINE
        if self._size > LARGEST_KEPT:
            self._enlarge()

    def _enlarge(self) -> None:
        if self._large is None:
            self._large = LargeDocument(self._shape)
            for data in self._data:
                self._write(data + b"\n")
            self._data.clear()
            self._size = 0

    def _write(self, data: bytes) -> None:
        if self._large is not None:
            try:
                self._large.write(data)
            except MalformedError:
                self.malformed += 1
                self._large = _Nothing(self._shape)

    def _event(self) -> bytes | None:
        """The data of the event that ends here, if it has any."""
        large, self._large = self._large, None
        if large is not None:
            self._data.clear()
            self._size = 0
            try:
                return large.close()
            except MalformedError:
                self.malformed += 0 if isinstance(large, _Nothing) else 1
                return None
        if not self._data:
            return None
        event = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data.clear()
        self._size = 0
        return event


def _without_blank_runs(chunk: bytes) -> bytes:
    """The same with at most two line ends in a row: they end line and event, and more of them nothing more."""
    return _BLANK_RUN.sub(b"\n\n", chunk) if b"\n\n\n" in chunk else chunk


def _value(line: bytes) -> bytes:
    """What a data line holds; one blank after the colon does not count."""
    return line[6:] if line[5:6] == b" " else line[5:]


class _Nothing(LargeDocument):
    """What takes the place of a large document that is no JSON: the rest of it is passed over."""

    def write(self, _data: bytes) -> None:
        return

    def close(self) -> bytes:
        raise MalformedError

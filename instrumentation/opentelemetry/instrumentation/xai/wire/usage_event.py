"""Takes out of a stream the event that came only because it was asked for: of usage, whatever it is, with no choice.

The bytes that are left are those of a stream that did not ask, however they are cut. An event that comes whole goes on
at once; the start of one is held back while it may still turn out to be that event, which for most is up to their first
choice. At most ``_LARGEST`` bytes are held: a larger event is not the one.

With the event go its fields and the blank line at its end. What cannot be told from what would have come anyway stays:
comments, ``"usage":null`` in other events, usage beside a choice. And an event that tells more than usage, in a list
(the sources of a search) or as an error, is the application's.
"""

import re

import msgspec

_LARGEST = 16 * 1024
_LINE_END = re.compile(rb"\r\n?|\n")
_FIELDS = (b"data:", b"event:", b"id:", b"retry:")
_CHOICE = re.compile(rb'"choices"\s*:\s*(?:\[\s*[^\s\]]|[^\s\[])')
_NO_CHOICE = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_MARK = b'"usage"'
_BLANK = b"\n\n"


class UsageEvents:
    """Takes the events of usage out of one stream. Bounded whatever arrives."""

    __slots__ = ("_cr", "_dropped", "_in_comment", "_in_line", "_passing", "held")

    def __init__(self) -> None:
        self.held = b""
        """The start of an event that may be one of usage."""
        self._passing = False
        """Whether the event that has begun is not: the rest of it need not be held."""
        self._in_comment = False
        """Whether a comment between events has begun."""
        self._in_line = False
        """Whether a line has begun."""
        self._cr = False
        """The last byte was a CR: a LF that follows belongs to it."""
        self._dropped = False
        """Whether the last line was the last of an event that was taken out."""

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes, give those that may go on; the chunk itself where that is all of it."""
        data = bytes(chunk)
        kept: list[bytes] = []
        start, leaps = 0, True
        if self._cr and data:
            start = int(data[0] == 0x0A)
            self._put(data[:start], kept)
            self._cr = False
        while True:
            if leaps and not (self.held or self._in_line or self._passing):
                sure, leaps = _sure(data, start), False
                if sure == len(data) and not start:
                    return chunk
                kept.append(data[start:sure])
                start = sure
            match = _LINE_END.search(data, start)
            if match is None:
                break
            blank = not self._in_line and match.start() == start
            self._in_line = False
            self._take(data[start : match.end()], kept, blank=blank, ended=True)
            start = match.end()
        if start < len(data):
            self._in_line = True
            self._take(data[start:], kept, blank=False, ended=False)
        elif data:
            self._cr = data[-1] == 0x0D
        if self.held and not _may_be_usage(self.held):
            kept.append(self.held)
            self.held = b""
            self._passing = True
        rest = b"".join(kept)
        return chunk if rest == data else rest

    def close(self) -> bytes:
        """What may go on of what is held, now that no more comes."""
        held, self.held = self.held, b""
        is_usage = _is_usage(held)
        if is_usage is None:  # cut off
            is_usage = _NO_CHOICE.search(held) is not None
        return b"" if is_usage else held

    def _take(self, line: bytes, kept: list[bytes], *, blank: bool, ended: bool) -> None:
        """Take a line, or a part of one."""
        self._dropped = False
        if self._passing:
            kept.append(line)
            self._passing = not blank
        elif self.held:
            self.held += line
            if blank:
                if _MARK in self.held and _may_be_usage(self.held) and _is_usage(self.held):
                    self._dropped = True
                else:
                    kept.append(self.held)
                self.held = b""
        elif blank or self._in_comment or line[:1] == b":":
            kept.append(line)
            self._in_comment = not ended
        else:
            self.held = line

    def _put(self, line_feed: bytes, kept: list[bytes]) -> None:
        """Put a LF where the CR before it went."""
        if self.held:
            self.held += line_feed
        elif not self._dropped:
            kept.append(line_feed)


def _sure(data: bytes, start: int) -> int:
    """Where the whole events without usage end that start here."""
    mark = data.find(_MARK, start)
    last = data.rfind(_BLANK, start, len(data) if mark < 0 else mark)
    return start if last < 0 else last + len(_BLANK)


def _may_be_usage(event: bytes) -> bool:
    """Whether an event that starts so, or is so, can be one of usage."""
    if len(event) > _LARGEST or not any(event.startswith(name) or name.startswith(event) for name in _FIELDS):
        return False
    if event.startswith(b"data:") and event[5:].lstrip()[:1] not in (b"", b"{"):
        return False
    return not any(_CHOICE.search(line) for line in event.splitlines())  # no line goes on in the next


def _is_usage(event: bytes) -> bool | None:
    """Whether an event is one of usage and nothing else; ``None`` if it is no JSON."""
    data = b"\n".join(line[5:] for line in event.splitlines() if line.startswith(b"data:"))
    try:
        chunk = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    if type(chunk) is not dict or chunk.get("choices") != [] or chunk.get("error") or "usage" not in chunk:
        return False
    return not any(type(value) is list and value for name, value in chunk.items() if name != "usage")

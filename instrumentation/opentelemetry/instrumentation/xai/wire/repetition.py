"""Tells, without decoding it, that a chunk only carries more text of a kind that has come before.

A stream is hundreds of events that differ in their text alone, and after the first token that text is of no interest.
So from events that told nothing new we learn what they have in common, and a chunk of the same form is passed over:

* where the type comes first (``{"type":"response.output_text.delta"``, Responses): one event that starts like an earlier
  one, up to the end of its type.
* otherwise (chat completions, messages): one event that starts and ends like two earlier ones, with no quotation mark in
  between. Such a chunk is the same JSON but for characters inside one string, so it can hold no other
  member, finish reason or usage; a backslash that escapes the closing quote makes it no JSON at all.

A chunk that is not of the form is decoded as ever: the test can only save work, never lose a fact.
"""

import re
from os.path import commonprefix

_TYPED = re.compile(rb'(?:event:[^\r\n]*\n)?data: ?\{\s*"type"\s*:\s*"response\.[^"\\]+\.delta"')
_END = b"\n\n"
_MOST_LESSONS = 32


class Repetition:
    """The form that the chunks of one stream have in common."""

    __slots__ = ("_end", "_end_size", "_head", "_head_size", "_last", "_lessons", "_stop")

    def __init__(self) -> None:
        self._head = b"\n"  # no event starts with it, so that nothing is covered yet
        self._head_size = 1
        self._stop = self._end = _END
        self._end_size = 2
        self._last = b""
        self._lessons = 0

    def covers(self, chunk: bytes) -> bool:
        """Whether the chunk has the form, so that it tells nothing new."""
        return (
            chunk.find(self._stop, self._head_size) == len(chunk) - self._end_size
            and chunk.startswith(self._head)
            and chunk.endswith(self._end)
        )

    def learn(self, chunk: bytes) -> None:
        """Learn from a chunk that starts with an event, carried text, and told nothing new."""
        if self._lessons >= _MOST_LESSONS or chunk.find(_END) != len(chunk) - len(_END):
            return
        self._lessons += 1
        typed = _TYPED.match(chunk)
        if typed:
            self._set(typed[0], _END, _END)
            return
        last, self._last = self._last, chunk
        head = commonprefix([last, chunk])
        head = head[: head.rfind(b'"') + 1]  # back to where the text begins
        rest, last_rest = chunk[len(head) :], last[len(head) :]
        tail = commonprefix([rest[::-1], last_rest[::-1]])[::-1]
        tail = tail[tail.find(b'"') :] if b'"' in tail else b""
        if head and tail and b'"' not in rest[: len(rest) - len(tail)]:
            self._set(head, b'"', tail)

    def _set(self, head: bytes, stop: bytes, end: bytes) -> None:
        self._head, self._head_size = head, len(head)
        self._stop, self._end, self._end_size = stop, end, len(end)

"""Tells, without decoding it, that an event only carries more text of a kind that has come before.

A stream is hundreds of events that differ in their text alone, and after the first token that text is of no interest.
So from events that told nothing new we learn what they have in common, and an event of that form is passed over:

* where the type comes first (``{"type":"response.output_text.delta"``, Responses): one that starts like an earlier one,
  up to the end of its type.
* otherwise (chat completions, messages): one that differs from an earlier one in a single string, the value of a
  member. What is the same around that string, with no quotation mark inside it, can hold no other member, finish reason
  or usage. If a backslash escapes the closing quotation mark, the event is no JSON.

An event that is not of the form is decoded as ever: the test can only save work, never lose a fact.
"""

import re
from typing import TypeAlias

_TYPED = re.compile(rb'\s*\{\s*"type"\s*:\s*"response\.[^"\\]+\.delta"')
_END = b"\n\n"
_MOST_LESSONS = 32
_LONGEST_LESSON = 4096

Form: TypeAlias = tuple[bytes, bytes, int]
"""How bytes that only carry more text start, how they end, and the one byte that must not stand in between."""


def has_form(form: Form, data: bytes) -> bool:
    """Whether bytes have a form: asked of each chunk of a stream, so it had better be cheap."""
    start, end, stop = form
    if type(data) is not bytes:  # whatever a transport hands over in its stead
        return False
    rest = data.removeprefix(start)
    text = rest.removesuffix(end)
    return rest is not data and text is not rest and stop not in text


class Repetition:
    """What the events of one stream have in common."""

    __slots__ = ("_last", "_lessons", "form")

    def __init__(self) -> None:
        self.form: Form | None = None
        """The form of the data of such events, or ``None`` while nothing is known."""
        self._last: list[bytes] = []
        self._lessons = 0

    def learn(self, event: bytes) -> None:
        """Learn from the data of an event that carried text and told nothing new."""
        if self._lessons >= _MOST_LESSONS or len(event) > _LONGEST_LESSON:
            return
        self._lessons += 1
        typed = _TYPED.match(event)
        if typed:
            self._set(typed[0], b"}", b"\n")
            return
        pieces, last = event.split(b'"'), self._last
        self._last = pieces
        if len(pieces) == len(last):
            differing = [index for index, piece in enumerate(pieces) if piece != last[index]]
            if len(differing) == 1 and _is_value(pieces, index := differing[0]):
                self._set(b'"'.join(pieces[:index]) + b'"', b'"' + b'"'.join(pieces[index + 1 :]), b'"')

    def as_chunk(self, chunk: bytes, event: bytes) -> Form | None:
        """The form of chunks like ``chunk``, which is just one event, whose data is ``event``."""
        form, head = self.form, chunk[: -len(event) - len(_END)]
        if form is None or type(chunk) is not bytes or chunk != head + event + _END:
            return None
        start, end, stop = form
        return head + start, end + _END, stop

    def _set(self, start: bytes, end: bytes, stop: bytes) -> None:
        self.form = (start, end, stop[0])


def _is_value(pieces: list[bytes], index: int) -> bool:
    """Whether a piece is the start of a string that is a member's value: no key, and nothing outside of strings."""
    before = pieces[:index]
    return (
        index % 2 == 1
        and before[-1].rstrip().endswith(b":")
        and not any(piece.endswith(b"\\") for piece in before)  # an escaped mark: then counting pieces tells nothing
    )

"""Tells, without decoding it, that a chunk only carries more text of a kind that has come before.

A stream is hundreds of events that differ in their text alone, and after the first token that text is of no interest.
So from events that told nothing new we learn what they have in common, and a chunk of the same form is passed over:

* where the type comes first (``{"type":"response.output_text.delta"``, Responses): one event that starts like an earlier
  one, up to the end of its type.
* otherwise (chat completions, messages): one event in which a single string, the value of a member, differed in earlier
  ones. A chunk that has the same before and after that piece, and no quotation mark in it, is the same JSON but for characters inside one string, so it can hold no other
  member, finish reason or usage; a backslash that escapes the closing quote makes it no JSON at all.

A chunk that is not of the form is decoded as ever: the test can only save work, never lose a fact.
"""

import re
from typing import TypeAlias

_TYPED = re.compile(rb'(?:event:[^\r\n]*\n)?data: ?\{\s*"type"\s*:\s*"response\.[^"\\]+\.delta"')
_END = b"\n\n"
_MOST_LESSONS = 32


Form: TypeAlias = tuple[bytes, bytes, int]
"""How such chunks start, how they end, and the one byte that the text in between must not hold."""


class Repetition:
    """The form that the chunks of one stream have in common, or ``None`` before it is known.

    A chunk has it if it loses something to ``removeprefix(start)``, the rest loses something to
    ``removesuffix(end)``, and ``stop`` is not in what remains. Whoever gets the chunks tests that in place: it is the one
    thing that is done for each chunk of a stream, and a call would cost more than the test.
    """

    __slots__ = ("_last", "_lessons", "form")

    def __init__(self) -> None:
        self.form: Form | None = None
        self._last: list[bytes] = []
        self._lessons = 0

    def learn(self, chunk: bytes) -> None:
        """Learn from a chunk that starts with an event, carried text, and told nothing new."""
        if type(chunk) is not bytes or self._lessons >= _MOST_LESSONS or chunk.find(_END) != len(chunk) - len(_END):
            return
        self._lessons += 1
        typed = _TYPED.match(chunk)
        if typed:
            self._set(typed[0], b"\n", _END)
            return
        pieces, last = chunk.split(b'"'), self._last
        self._last = pieces
        if len(pieces) == len(last):
            differing = [index for index, piece in enumerate(pieces) if piece != last[index]]
            if len(differing) == 1 and _is_value(pieces, index := differing[0]):
                self._set(b'"'.join(pieces[:index]) + b'"', b'"', b'"' + b'"'.join(pieces[index + 1 :]))

    def _set(self, start: bytes, stop: bytes, end: bytes) -> None:
        self.form = (start, end, stop[0])


def _is_value(pieces: list[bytes], index: int) -> bool:
    """Whether a piece is the start of a string that is a member's value: no key, and nothing outside of strings."""
    before = pieces[:index]
    return (
        index % 2 == 1
        and before[-1].rstrip().endswith(b":")
        and not any(piece.endswith(b"\\") for piece in before)  # an escaped mark: then counting pieces tells nothing
    )

"""A JSON document too large to keep: what is of interest in it, read as it passes.

Most answers are small and are decoded whole. A few are not (long outputs, images, logprobs), and the usage may
stand anywhere in them. ``LargeDocument`` takes such a document in pieces of any size and leaves a small one of
the same shape: members that the ``Shape`` does not name are dropped, of long strings the start is kept, so the
result goes through the same decoder as a small document.

Three states, in ``write``: inside a string that is being passed over, inside a container that is
being passed over, or at a token. Runs without structure are matched by one regular expression each, so the cost
is that of the brackets, not of the bytes.
"""

import re
from typing import NamedTuple

from ..limits import LARGEST_KEPT, LONGEST_NAME
from .dialect import Shape

_PIECE = 8 * 1024  # small, since the regular expressions below need some sixty bytes for each escape in it
_LONGEST_STRING = 16 * LONGEST_NAME
_KEPT_OF_STRING = 12 * (LONGEST_NAME + 1)  # enough for the longest name, each of its characters two escapes
_MOST_MEMBERS = 128
_DEEPEST = 12

_TOKEN = re.compile(rb'\s*([{}\[\],:]|"[^"\\]*(?:\\.[^"\\]*)*"|[^\s{}\[\],:"]+(?=[\s{}\[\],:"]))', re.DOTALL)
_UNSTRUCTURED = re.compile(rb'[^"{}\[\]]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^"{}\[\]]*)*', re.DOTALL)
_IN_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
_BRACKETS = re.compile(rb"[{\[]+|[}\]]+")
_QUOTE, _OPENING, _CLOSING, _BETWEEN = 0x22, frozenset(b"{["), frozenset(b"}]"), frozenset(b":,")
_CHARACTERS = re.compile(rb'"(?:[^"\\]|\\u[dD][89abAB]..\\u....|\\u(?![dD][89abAB])....|\\[^u])*', re.DOTALL)


class MalformedError(ValueError):
    """The bytes are no JSON; says nothing of what they are."""


class TruncatedError(MalformedError):
    """The bytes are the start of a JSON document."""


class _Container:
    """One open array or object of the result."""

    __slots__ = ("key", "members", "shape", "square")

    def __init__(self, shape: Shape | None, *, square: bool) -> None:
        self.shape = shape
        self.square = square
        self.members = 0
        self.key: bytes | None = None


class _Wanted(NamedTuple):
    shape: Shape | None


class LargeDocument:
    """Reduces one JSON document while it arrives. Bounded whatever arrives."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._unread = b""
        self._result = bytearray()
        self._open: list[_Container] = []
        self._begun = False
        self._in_string = False
        self._string_is_key = False
        self._passing = 0
        """How many containers are open in the value that is being passed over."""

    def write(self, data: bytes) -> None:
        """Take the next piece; raises ``MalformedError`` on what can be no JSON."""
        for start in range(0, len(data), _PIECE):
            self._unread += data[start : start + _PIECE]
            self._advance()

    def close(self) -> bytes:
        """The reduced document; raises ``MalformedError`` if the document is not complete."""
        self._unread += b" "  # delimits a last bare number or literal
        self._advance()
        if self._open or self._passing or self._in_string or self._unread.strip():
            raise TruncatedError
        if not self._result:
            raise MalformedError
        return bytes(self._result)

    def _advance(self) -> None:
        unread, position = self._unread, 0
        while position < len(unread):
            if self._in_string:
                position = self._pass_string(unread, position)
                if self._in_string:
                    break
            elif self._passing:
                position = self._pass_containers(unread, position)
            else:
                match = _TOKEN.match(unread, position)
                if match is None:
                    position = self._at_partial_token(unread, position)
                    if not self._in_string:
                        break
                else:
                    position = match.end()
                    self._token(match[1])
        self._unread = unread[position:]

    def _pass_string(self, unread: bytes, position: int) -> int:
        match = _IN_STRING.match(unread, position)
        position = match.end() if match else position
        if position < len(unread) and unread[position] == _QUOTE:
            self._in_string = False
            position += 1
            if self._string_is_key and self._open:
                self._open[-1].key = b""  # a key this long is none that we look for
            self._string_is_key = False
        return position

    def _pass_containers(self, unread: bytes, position: int) -> int:
        match = _UNSTRUCTURED.match(unread, position)
        position = match.end() if match else position
        if position == len(unread):
            return position
        symbol = unread[position]
        if symbol == _QUOTE:  # a string that does not end in this piece
            self._in_string = True
            return position + 1
        run = _BRACKETS.match(unread, position)
        brackets = run.end() - position if run else 1
        if symbol in _OPENING:
            self._passing += brackets
        else:
            brackets = min(brackets, self._passing)
            self._passing -= brackets
        return position + brackets

    def _at_partial_token(self, unread: bytes, position: int) -> int:
        """No whole token here: wait for more, or, if it is a long string, pass over the rest of it."""
        rest = unread[position:].lstrip()
        if len(rest) <= _LONGEST_STRING:
            return len(unread) - len(rest)
        if rest[:1] != b'"':
            raise MalformedError
        self._in_string = True
        parent = self._open[-1] if self._open else None
        self._string_is_key = parent is not None and not parent.square and parent.key is None
        if not self._string_is_key:
            self._scalar(_start_of(rest))
        return len(unread) - len(rest) + 1

    def _token(self, token: bytes) -> None:
        parent = self._open[-1] if self._open else None
        symbol = token[0]
        if symbol in _OPENING:
            self._begin(token)
        elif symbol in _CLOSING:
            if parent is None or parent.square is not (token == b"]"):
                raise MalformedError
            self._open.pop()
            self._result += token
        elif symbol in _BETWEEN:
            if parent is None:
                raise MalformedError
            if token == b",":
                parent.key = None
        elif parent is not None and not parent.square and parent.key is None:
            if symbol != _QUOTE:
                raise MalformedError
            parent.key = token if len(token) <= _LONGEST_STRING else b""
        else:
            self._scalar(token if len(token) <= _LONGEST_STRING else _start_of(token))

    def _wanted(self) -> _Wanted | None:
        """The shape in which the value that starts here is wanted, or ``None`` if it is not."""
        if not self._open:
            if self._begun:
                raise MalformedError
            self._begun = True
            return _Wanted(self._shape)
        parent = self._open[-1]
        if parent.members >= _MOST_MEMBERS or len(self._open) >= _DEEPEST or len(self._result) >= LARGEST_KEPT:
            return None
        if parent.shape is None or parent.square:
            return _Wanted(parent.shape)
        key = (parent.key or b"")[1:-1].decode("utf-8", "replace")
        return _Wanted(parent.shape[key]) if key in parent.shape else None

    def _write_key(self) -> None:
        if self._open:
            parent = self._open[-1]
            self._result += b"," if parent.members else b""
            parent.members += 1
            if not parent.square:
                self._result += (parent.key or b'""') + b":"

    def _begin(self, token: bytes) -> None:
        wanted = self._wanted()
        if wanted is None:
            self._passing = 1
            return
        self._write_key()
        self._result += token
        self._open.append(_Container(wanted.shape, square=token == b"["))

    def _scalar(self, token: bytes) -> None:
        if self._wanted() is not None:
            self._write_key()
            self._result += token


def _start_of(string: bytes) -> bytes:
    """The start of a long string as a string of its own, cut between two characters; other long scalars are no JSON."""
    match = _CHARACTERS.match(string, 0, _KEPT_OF_STRING)
    if match is None:
        raise MalformedError
    return match[0].decode("utf-8", "ignore").encode() + b'"'

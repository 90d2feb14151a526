"""The headers of httpx and httpx2, of which each look-up and each addition costs a loop in Python.

Every call has two dozen of them. So they are read and added to in the list in which both libraries keep them, where
that is as we know it, and by their public methods where it is not.
"""

from operator import itemgetter
from typing import Any

_lowered_name_of, _lowered_pair_of = itemgetter(1), itemgetter(1, 2)


class HeaderList:
    """The way to the headers of one library."""

    def __init__(self, headers_type: Any) -> None:
        self._is_known = getattr(headers_type([("Name", "value")]), "_list", None) == [(b"Name", b"name", b"value")]

    def pairs(self, headers: Any) -> list[tuple[bytes, bytes]]:
        """All headers, as bytes; their names in lower case."""
        if self._is_known:
            return list(map(_lowered_pair_of, headers._list))  # noqa: SLF001
        return [(name.lower(), value) for name, value in headers.raw]

    def set(self, headers: Any, name: str, value: str) -> None:
        """Add a header, or replace it."""
        if self._is_known and name.isascii() and value.isascii():
            listed, lowered = headers._list, name.lower().encode()  # noqa: SLF001
            if lowered not in map(_lowered_name_of, listed):
                listed.append((name.encode(), lowered, value.encode()))
                return
        headers[name] = value

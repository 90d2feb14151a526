"""Headers by their names in lower case. Made without a loop of ours, since each call has two dozen of them."""

from collections.abc import Collection
from operator import itemgetter
from typing import TypeAlias

Headers: TypeAlias = Collection[tuple[bytes, bytes]]
_name_of, _value_of = itemgetter(0), itemgetter(1)


def last_by_name(headers: Headers) -> dict[bytes, bytes]:
    """Of several of one name, the last."""
    return dict(zip(map(bytes.lower, map(_name_of, headers)), map(_value_of, headers), strict=True))


def joined_by_name(headers: Headers) -> dict[bytes, bytes]:
    """Of several of one name, all values in a row."""
    found = last_by_name(headers)
    if len(found) < len(headers):
        found.clear()
        for name, value in headers:
            key = name.lower()
            found[key] = value if key not in found else found[key] + b", " + value
    return found

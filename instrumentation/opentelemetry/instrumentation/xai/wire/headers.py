"""Headers as adapters hand them in: pairs of bytes, their names in lower case.

Each call has two dozen of them, so nothing here loops over them but where one comes twice.
"""

from collections.abc import Collection
from typing import TypeAlias

Headers: TypeAlias = Collection[tuple[bytes, bytes]]


def joined_by_name(headers: Headers) -> dict[bytes, bytes]:
    """Of several of one name, all values in a row."""
    found = dict(headers)
    if len(found) < len(headers):
        found.clear()
        for name, value in headers:
            found[name] = value if name not in found else found[name] + b", " + value
    return found

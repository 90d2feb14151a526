"""What is no strict JSON and yet is read by every client: made strict.

Python's own reader, which clients use, takes halves of surrogate pairs (an emoji that was cut in two by a stream),
``NaN``, and a byte order mark. Asked for only after a strict reader has refused: it builds the whole document.
"""

import json

from ..limits import LARGEST_KEPT

_LARGEST = 8 * LARGEST_KEPT


def made_strict(document: bytes) -> bytes | None:
    """The same document in strict JSON, or ``None`` if it is no JSON to Python either, or too large to ask."""
    if len(document) > _LARGEST:
        return None
    try:
        value = json.loads(document, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")

"""Asking for usage in a chat stream's stead: a request body to the same with ``stream_options.include_usage`` set.

All other bytes stay as they are, since a prompt that is spelled otherwise may cost its cache. One member is put at the
end of the body, or, where there are ``stream_options`` already, into these. Whatever comes out was read once more, and
asks; where that cannot be had, the body is left alone.
"""

import re
from typing import Any

import msgspec

from .leniency import made_strict

_ABSENT = msgspec.Raw()
_NULL = b"null"
_ASKING = b'"include_usage":true'
_REFUSING = re.compile(rb'"include_usage"\s*:\s*(?:false|null)')
_NAME = rb'"stream_options"\s*:\s*'
_MOST_PLACES = 4
_LARGEST_OPTIONS = 4096


class _Body(msgspec.Struct, gc=False):
    stream_options: msgspec.Raw = _ABSENT


_options_of = msgspec.json.Decoder(_Body).decode


def asks_for_usage(options: Any) -> bool:
    """Whether ``stream_options``, decoded, ask for usage, or hold what we do not understand."""
    if options is None:
        return False
    return type(options) is not dict or options.get("include_usage") not in (None, False)


def asking_for_usage(body: bytes) -> bytes | None:
    """The body with the question in it; ``None`` if it asks already, or cannot be made to."""
    try:
        options = bytes(_options_of(body).stream_options)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        options = b"" if _has_no_options(body) else b"?"
    if not options:
        return _with_member(body, b'"stream_options":{%s}' % _ASKING)
    if len(options) > _LARGEST_OPTIONS:
        return None
    wanted = _asking(options)
    return None if wanted is None else _replaced(body, options, wanted)


def _has_no_options(body: bytes) -> bool:
    """Whether a body that is no strict JSON is an object to lenient readers, and has no ``stream_options``."""
    strict = made_strict(body)
    try:
        return strict is not None and not bytes(_options_of(strict).stream_options)
    except (msgspec.MsgspecError, RecursionError):
        return False


def _with_member(document: bytes, member: bytes) -> bytes:
    """A JSON object with one more member, at its end."""
    end = document.rindex(b"}")
    comma = b"" if document[:end].rstrip().endswith(b"{") else b","
    return b"".join((document[:end], comma, member, document[end:]))


def _asking(options: bytes) -> bytes | None:
    """The value of ``stream_options`` that is to take the place of this one."""
    if options == _NULL:
        return b"{%s}" % _ASKING
    try:
        if asks_for_usage(msgspec.json.decode(options)):
            return None
        wanted = _REFUSING.sub(_ASKING, options) if b'"include_usage"' in options else _with_member(options, _ASKING)
        return wanted if asks_for_usage(msgspec.json.decode(wanted)) else None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _replaced(body: bytes, options: bytes, wanted: bytes) -> bytes | None:
    """The body with its ``stream_options`` replaced: of the places that look like them, the one that is them."""
    places = re.finditer(_NAME + re.escape(options), body)
    for place, _ in zip(places, range(_MOST_PLACES), strict=False):
        end = place.end()
        asking = b"".join((body[: end - len(options)], wanted, body[end:]))
        if bytes(_options_of(asking).stream_options) == wanted:
            return asking
    return None

"""A prompt's entries, which are messages or input items: what kind each is, never what it says.

An entry is kept as the bytes that were sent, a ``msgspec.Raw`` into the body: none is built as an object unless
something has to be decided by it.
"""

from typing import Any, Final

import msgspec

from .request_body import RequestBody

SYSTEM: Final = 1
INPUT: Final = 2
RESULT: Final = 3
"""What a tool gave back."""
OUTPUT: Final = 4
REASONING: Final = 5
COMPACTION: Final = 6
_ROLES = {
    "system": SYSTEM,
    "developer": SYSTEM,
    "assistant": OUTPUT,
    "tool": RESULT,
    "function": RESULT,
    "user": INPUT,
}
_TYPES = {"message": INPUT, "reasoning": REASONING, "compaction": COMPACTION}


class _Kind(msgspec.Struct, gc=False):
    role: Any = None
    type: Any = None


_decode_kind = msgspec.json.Decoder(_Kind).decode


def entries_of(body: RequestBody) -> list[msgspec.Raw]:
    """The entries of the prompt in order; none where there is no prompt that we understand.

    A plain string as ``input`` is what it stands for: one message of the user.
    """
    if body.messages is not None:
        return body.messages
    if type(body.input) is str:
        return [msgspec.Raw(b'{"role":"user","content":%b}' % msgspec.json.encode(body.input))]
    return body.input if type(body.input) is list else []


def kind_of(entry: msgspec.Raw) -> int:
    """Of which kind an entry is."""
    try:
        read = _decode_kind(entry)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return INPUT
    return kind(read.role, read.type)


def kind(role: Any, type_: Any) -> int:
    """Of which kind an entry of this role and type is: an item of Responses that is no message has a type alone."""
    if type(role) is str:
        return _ROLES.get(role, INPUT)
    if type(type_) is not str:
        return INPUT
    known = _TYPES.get(type_)
    if known is None:
        return RESULT if type_.endswith("_output") else OUTPUT
    return known


def survey(body: RequestBody, entries: list[msgspec.Raw]) -> tuple[int, bool]:
    """How many entries of the system come first, and whether the prompt continues a conversation.

    It does if a turn of the model is in it, or on the server.
    """
    leading, in_front = 0, True
    for entry in entries:
        try:  # kind_of, in place: every request passes here
            read = _decode_kind(entry)
            kind_ = _ROLES.get(read.role) or kind(read.role, read.type)
        except (msgspec.MsgspecError, TypeError, UnicodeError, RecursionError):
            kind_ = INPUT
        if kind_ >= RESULT:
            return leading, True
        in_front = in_front and kind_ == SYSTEM
        leading += in_front
    return leading, bool(body.previous_response_id)

"""A request's JSON body: the fields of all generation endpoints that telemetry may know, and no prompt.

The prompt itself is never decoded: at most the role of each message is looked at, to tell whether
the conversation has earlier turns.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import msgspec

from .. import conventions as names
from ..limits import LONGEST_NAME
from ..observation import AttributeValue
from .leniency import made_strict

_MOST_SEQUENCES = 16
_LARGEST = 1 << 63  # exporters have no room for more
_ABSENT = msgspec.Raw()
_ANSWERED = frozenset({"assistant", "tool", "function"})


class RequestBody(msgspec.Struct, gc=False):
    """The fields we read; every one may be missing, null or of a wrong type."""

    model: Any = None
    stream: Any = None
    n: Any = None
    seed: Any = None
    temperature: Any = None
    top_p: Any = None
    top_k: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None
    stop: Any = None
    stop_sequences: Any = None
    reasoning_effort: Any = None
    reasoning: Any = None
    response_format: Any = None
    text: Any = None
    previous_response_id: Any = None
    prompt_cache_key: Any = None
    messages: msgspec.Raw = _ABSENT
    input: msgspec.Raw = _ABSENT


class _Turn(msgspec.Struct, gc=False):
    role: Any = None
    type: Any = None


_decode = msgspec.json.Decoder(RequestBody).decode
_decode_turns = msgspec.json.Decoder(list[_Turn]).decode


def read_request_body(content: bytes) -> RequestBody:
    """Decode a request body; one that is not a JSON object has no fields."""
    try:
        return _decode(content)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        strict = made_strict(content)
    try:
        return RequestBody() if strict is None else _decode(strict)
    except (msgspec.MsgspecError, RecursionError):
        return RequestBody()


def has_earlier_turns(body: RequestBody) -> bool:
    """Whether the prompt continues a conversation: a turn of the model is in it, or on the server."""
    if body.previous_response_id:
        return True
    for turns in (body.messages, body.input):
        if turns is not _ABSENT:
            try:
                if any(turn.role in _ANSWERED or _is_output(turn) for turn in _decode_turns(turns)):
                    return True
            except (msgspec.MsgspecError, UnicodeError, TypeError, RecursionError):
                continue  # a plain string as input, or a list we do not understand
    return False


def _is_output(turn: _Turn) -> bool:
    """Whether a Responses input item is something the model has put out before."""
    return turn.role is None and turn.type is not None and turn.type != "message"


def _real(value: Any) -> float | None:
    return value if type(value) is float else float(value) if _whole(value) is not None else None


def _whole(value: Any) -> int | None:
    return value if type(value) is int and abs(value) < _LARGEST else None


def _text(value: Any) -> str | None:
    return value[:LONGEST_NAME] if type(value) is str and value else None


def _sequences(value: Any) -> tuple[str, ...] | None:
    if type(value) is str:
        value = [value]
    if type(value) is not list:
        return None
    return tuple(item[:LONGEST_NAME] for item in value[:_MOST_SEQUENCES] if type(item) is str) or None


def _choices(value: Any) -> int | None:
    return _whole(value) if value != 1 else None  # the conventions leave out 1


def _effort(value: Any) -> str | None:
    return _text(value.get("effort") if type(value) is dict else value)


def _format(value: Any) -> str | None:
    if type(value) is dict:
        value = value.get("format", value)
    kind = value.get("type") if type(value) is dict else None
    if kind in ("json_schema", "json_object"):
        return names.OUTPUT_JSON
    return names.OUTPUT_TEXT if kind == "text" else None


_PARAMETERS: tuple[tuple[str, str, Callable[[Any], AttributeValue | None]], ...] = (
    ("n", names.REQUEST_CHOICE_COUNT, _choices),
    ("seed", names.REQUEST_SEED, _whole),
    ("temperature", names.REQUEST_TEMPERATURE, _real),
    ("top_p", names.REQUEST_TOP_P, _real),
    ("top_k", names.REQUEST_TOP_K, _whole),
    ("max_tokens", names.REQUEST_MAX_TOKENS, _whole),
    ("max_completion_tokens", names.REQUEST_MAX_TOKENS, _whole),
    ("max_output_tokens", names.REQUEST_MAX_TOKENS, _whole),
    ("frequency_penalty", names.REQUEST_FREQUENCY_PENALTY, _real),
    ("presence_penalty", names.REQUEST_PRESENCE_PENALTY, _real),
    ("stop", names.REQUEST_STOP_SEQUENCES, _sequences),
    ("stop_sequences", names.REQUEST_STOP_SEQUENCES, _sequences),
    ("reasoning_effort", names.REQUEST_REASONING_LEVEL, _text),
    ("reasoning", names.REQUEST_REASONING_LEVEL, _effort),
    ("response_format", names.OUTPUT_TYPE, _format),
    ("text", names.OUTPUT_TYPE, _format),
    ("previous_response_id", names.REQUEST_PREVIOUS_RESPONSE_ID, _text),
)


_values_of = attrgetter(*(field for field, _, _ in _PARAMETERS))


def parameters_of(body: RequestBody) -> dict[str, AttributeValue]:
    """The request's settings by the conventions' names; what is absent or of a wrong type is left out."""
    found: dict[str, AttributeValue] = {}
    values = _values_of(body)
    if values.count(None) == len(values):
        return found
    for value, (_, attribute, read) in zip(values, _PARAMETERS, strict=True):
        if value is not None:
            known = read(value)
            if known is not None:
                found[attribute] = known
    return found

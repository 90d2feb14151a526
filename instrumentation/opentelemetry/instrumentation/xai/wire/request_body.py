"""A request's JSON body: the fields of all generation endpoints that telemetry may know, and no prompt.

The prompt itself, with tools and system, is left as the bytes that it is.
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
ABSENT = msgspec.Raw()
"""Stands for a part of the prompt that the body has not."""


class RequestBody(msgspec.Struct, gc=False):
    """The fields we read; every one may be missing, null or of a wrong type."""

    model: Any = None
    stream: Any = None
    stream_options: Any = None
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
    tool_choice: Any = None
    tools: msgspec.Raw = ABSENT
    system: msgspec.Raw = ABSENT
    instructions: msgspec.Raw = ABSENT
    messages: list[msgspec.Raw] | None = None
    input: list[msgspec.Raw] | str | None = None


class _OtherBody(RequestBody, gc=False):
    """The same where a prompt is of another kind: then there is none."""

    messages: Any = None
    input: Any = None


_decode_body = msgspec.json.Decoder(RequestBody).decode
_decode_other = msgspec.json.Decoder(_OtherBody).decode


def _decode(content: bytes) -> RequestBody:
    try:
        return _decode_body(content)
    except msgspec.ValidationError:
        body = _decode_other(content)
    # read again for the rare body: of two prompts, one may be as it should
    raw = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    messages = _entries(raw.get("messages", ABSENT))
    body.messages = messages if type(messages) is list else None
    body.input = _entries(raw.get("input", ABSENT))
    return body


def _entries(prompt: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(prompt, type=list[msgspec.Raw] | str)
    except msgspec.MsgspecError:
        return None


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

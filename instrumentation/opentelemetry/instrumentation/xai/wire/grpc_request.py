"""The request messages of xAI's gRPC API, brought to the fields and entries that a request's JSON body has.

A message of the prompt is written as chat completions would have it, so that a prompt's sizes, kinds and meaning are
the same whichever way it went. What has no like there (files, tools that run at xAI) keeps its own bytes.

Messages are known by their attributes and by the numbers that stand on the wire: no protobuf library is needed here.
Fields that not every version of the SDK knows are asked for with a default.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from .request_body import RequestBody

ROLES: Final = {1: "user", 2: "assistant", 3: "system", 4: "function", 5: "tool", 6: "developer"}
EFFORTS: Final = {1: "low", 2: "medium", 3: "high", 4: "none", 5: "xhigh"}
FORMATS: Final = {1: "text", 2: "json_object", 3: "json_schema"}
CHOICES: Final = {1: "auto", 2: "none", 3: "required"}
_PLAIN = {number: b'{"role":"%b","content":' % role.encode() for number, role in ROLES.items()}
_CONTENT_AND_ROLE = 2
_ENCRYPTED_CONTENT = 6  # the fields' numbers, in whose order ListFields gives them

_encode = msgspec.json.Encoder().encode


def read_completions_request(message: Any) -> RequestBody:
    """The fields of a ``GetCompletionsRequest``."""
    body = RequestBody(input=entries_of(message.messages))
    for descriptor, value in message.ListFields():  # only those that are set
        read = _FIELDS.get(descriptor.name)
        if read is not None:
            setattr(body, descriptor.name, read(value))
    return body


def read_compact_request(message: Any) -> RequestBody:
    """The fields of a ``CompactContextRequest``."""
    return RequestBody(model=message.model, input=entries_of(message.input))


def entries_of(messages: Any) -> list[msgspec.Raw]:
    """The messages of a prompt that the model gets to read, as JSON: the server drops what a compaction stands for."""
    entries: list[msgspec.Raw] = []
    for message in messages:
        fields = message.ListFields()
        if len(fields) == _CONTENT_AND_ROLE and fields[0][0].number == 1 and len(fields[0][1]) == 1:
            content, role = fields[0][1][0], fields[1][1]
            if role in _PLAIN and content.HasField("text"):  # as nearly always
                entries.append(msgspec.Raw(_PLAIN[role] + _encode(content.text) + b"}"))
                continue
        if is_compaction(message, fields):
            entries.clear()
            entries.append(_raw({"type": "compaction", "encrypted_content": message.encrypted_content}))
            continue
        entries.append(_raw(_entry(message)))
    return entries


def is_compaction(message: Any, fields: Any) -> bool:
    """Whether a message is a compaction: it has nothing but its encrypted content, whichever role it is given."""
    return any(each.number == _ENCRYPTED_CONTENT for each, _ in fields) and not (message.content or message.tool_calls)


def _entry(message: Any) -> dict[str, Any]:
    """One message as an object of chat completions."""
    entry: dict[str, Any] = {"role": ROLES.get(message.role, "user"), "content": _content(message.content)}
    if message.name:
        entry["name"] = message.name
    tool_call_id, encrypted = getattr(message, "tool_call_id", None), getattr(message, "encrypted_content", None)
    if tool_call_id:
        entry["tool_call_id"] = tool_call_id
    if message.tool_calls:
        entry["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
    reasoning = getattr(message, "reasoning_content", None)
    if reasoning:
        entry["reasoning_content"] = reasoning
    if encrypted:
        entry["reasoning"] = encrypted
    return entry


def _content(parts: Any) -> Any:
    if len(parts) == 1 and parts[0].HasField("text"):
        return parts[0].text
    return [_part(part) for part in parts]


def _part(part: Any) -> dict[str, Any]:
    if part.HasField("text"):
        return {"type": "text", "text": part.text}
    if part.HasField("image_url"):
        return {"type": "image_url", "image_url": {"url": part.image_url.image_url, "detail": part.image_url.detail}}
    return {"type": "other", "bytes": _bytes_of(part)}


def _tool_call(call: Any) -> dict[str, Any]:
    function = call.function
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": function.name, "arguments": function.arguments},
    }


def _tools(tools: Any) -> msgspec.Raw:
    return _raw([_tool(tool) for tool in tools])


def _tool(tool: Any) -> dict[str, Any]:
    if not tool.HasField("function"):
        return {"type": "other", "bytes": _bytes_of(tool)}
    function = tool.function
    described: dict[str, Any] = {"name": function.name, "description": function.description}
    if function.parameters:  # JSON already: what it means is compared beside how it is written
        described["parameters"] = msgspec.Raw(function.parameters.encode())
    if function.strict:
        described["strict"] = True
    return {"type": "function", "function": described}


def _format(format_: Any) -> dict[str, Any]:
    return {"type": FORMATS.get(format_.format_type), "schema": format_.schema}


def _choice(choice: Any) -> Any:
    if choice.HasField("function_name"):
        return {"type": "function", "function": {"name": choice.function_name}}
    return CHOICES.get(choice.mode)


def _bytes_of(message: Any) -> str:
    """A message that is not read as a text of its bytes."""
    serialized: bytes = message.SerializeToString(deterministic=True)
    return serialized.decode("latin-1")


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(_encode(value))


def _same(value: Any) -> Any:
    return value


def _short(value: float) -> float:
    """A float of 32 bits as it was written before it became one: 0.7, not 0.699999988079071."""
    return float(f"{value:.7g}")


_FIELDS: dict[str, Callable[[Any], Any]] = {
    "model": _same,
    "n": _same,
    "seed": _same,
    "temperature": _short,
    "top_p": _short,
    "max_tokens": _same,
    "frequency_penalty": _short,
    "presence_penalty": _short,
    "stop": list,
    "reasoning_effort": EFFORTS.get,
    "response_format": _format,
    "previous_response_id": _same,
    "tool_choice": _choice,
    "tools": _tools,
}

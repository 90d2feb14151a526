"""From a request body to the prompt: an ordered row of pieces, the same for all three APIs.

The order is what a prefix cache sees: tools, instructions, then the conversation,
with the reasoning of earlier turns where it was sent back. Reasoning that was
dropped leaves a gap there, and the prefix ends at it. Anything that does not fit the schema
is a 422; what the pieces are used for is not known here.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from xai_server.errors import ApiError
from xai_server.tokens import tokenize

JSON = dict[str, Any]

_SEAL = "xs1."
_IMAGE_KEYS = ("image_url", "input_image", "image")


@dataclass(frozen=True)
class Prompt:
    """What the model reads, and the user's last words if the turn is theirs."""

    pieces: tuple[str, ...]
    last_user_text: str

    def tokens(self) -> list[str]:
        """Cut the prompt into tokens, piece by piece, so that added pieces change nothing."""
        return tokens_of(self.pieces)


def tokens_of(pieces: tuple[str, ...]) -> list[str]:
    """Cut pieces into tokens, each piece by itself."""
    return [token for piece in pieces for token in tokenize(piece)]


def answer_pieces(reasoning: str, text: str, calls: list[tuple[str, str]]) -> tuple[str, ...]:
    """Write an assistant's turn as it will read when it comes back in the next request."""
    pieces = [f"<reasoning>{reasoning}"] if reasoning else []
    pieces += [f"<assistant>{text}"] if text else []
    pieces += [f"<call>{name}{arguments}" for name, arguments in calls]
    return tuple(pieces)


def seal(reasoning: str) -> str:
    """Wrap reasoning for the way through the client; a stand-in for xAI's encryption."""
    return _SEAL + base64.b64encode(reasoning.encode()).decode()


def unseal(sealed: str) -> str:
    """Read sealed reasoning; what was not sealed here stays as it is."""
    if not sealed.startswith(_SEAL):
        return sealed
    try:
        return base64.b64decode(sealed[len(_SEAL) :], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return sealed


def chat_prompt(body: JSON) -> Prompt:
    """Read the messages of a chat completion."""
    pieces = list(_tools(body))
    last = ""
    for message in _objects(body, "messages"):
        role = str(message.get("role", "user"))
        text = _text(message.get("content"))
        last = text if role == "user" else ""
        if role == "assistant":
            calls = [(str(f.get("name")), str(f.get("arguments", ""))) for f in _functions(message)]
            pieces += answer_pieces(str(message.get("reasoning_content") or ""), text, calls)
        else:
            pieces.append(f"<{role}>{text}")
    return Prompt(tuple(pieces), last)


def responses_prompt(body: JSON, history: tuple[str, ...] = ()) -> Prompt:
    """Read instructions and input items, after the history of a chained response."""
    pieces = list(history) or list(_tools(body))
    if body.get("instructions"):
        pieces.append(f"<system>{body['instructions']}")
    given = body.get("input")
    if isinstance(given, str):
        return Prompt((*pieces, f"<user>{given}"), given)
    last = ""
    for item in _objects(body, "input"):
        kind = item.get("type", "message")
        last = ""
        if kind == "message":
            role = str(item.get("role", "user"))
            text = _text(item.get("content"))
            pieces.append(f"<{role}>{text}")
            last = text if role == "user" else ""
        elif kind == "reasoning":
            # A summary alone does not bring the reasoning back, so it is no part of the prefix.
            if item.get("encrypted_content"):
                pieces.append(f"<reasoning>{unseal(str(item['encrypted_content']))}")
        elif kind == "function_call":
            pieces.append(f"<call>{item.get('name')}{item.get('arguments', '')}")
        elif kind == "function_call_output":
            pieces.append(f"<tool>{_text(item.get('output'))}")
        else:
            pieces.append(f"<{kind}>{_compact(item)}")
    return Prompt(tuple(pieces), last)


def messages_prompt(body: JSON) -> Prompt:
    """Read system prompt and content blocks of the Anthropic-compatible API."""
    pieces = list(_tools(body))
    if body.get("system"):
        pieces.append(f"<system>{_text(body['system'])}")
    last = ""
    for message in _objects(body, "messages"):
        role = str(message.get("role", "user"))
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        last = ""
        for block in blocks if isinstance(blocks, list) else []:
            if not isinstance(block, dict):
                raise _mistyped("messages", "content blocks must be objects")
            kind = block.get("type")
            if kind == "text":
                pieces.append(f"<{role}>{block.get('text', '')}")
                last = str(block.get("text", "")) if role == "user" else ""
            elif kind == "thinking":
                pieces.append(f"<reasoning>{block.get('thinking', '')}")
            elif kind == "tool_use":
                pieces.append(f"<call>{block.get('name')}{_compact(block.get('input', {}))}")
            elif kind == "tool_result":
                pieces.append(f"<tool>{_text(block.get('content'))}")
            else:
                pieces.append(f"<{role}>{_part(block)}")
    return Prompt(tuple(pieces), last)


def _tools(body: JSON) -> Iterator[str]:
    # Tool definitions are written as they came: another order is another prefix.
    if body.get("tools"):
        yield f"<tools>{_compact(body['tools'])}"


def _functions(message: JSON) -> Iterator[JSON]:
    for call in message.get("tool_calls") or []:
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            yield function


def _objects(body: JSON, field: str) -> list[JSON]:
    value = body.get(field)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise _mistyped(field, "expected an array of objects")
    return value


def _text(content: object) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_part(part) for part in content)
    return _compact(content)


def _part(part: object) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict):
        if isinstance(part.get("text"), str):
            return str(part["text"])
        if part.get("type") in _IMAGE_KEYS:
            # An image is a fixed number of tokens whatever its size; its digest stands for it.
            return "<image>" + 4 * sha256(_compact(part).encode("utf-8", "surrogatepass")).hexdigest()
    return _compact(part)


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _mistyped(field: str, why: str) -> ApiError:
    return ApiError(422, f"Failed to deserialize the JSON body into the target type: {field}: {why}")

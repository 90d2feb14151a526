"""``/v1/messages``, Anthropic's shape: the message, and the typed events of a stream.

Usage comes in parts: the input with ``message_start``, the output with ``message_delta``, either of which may
repeat the other's; of each count the last one stands.
"""

from typing import Any, ClassVar

import msgspec

from .. import conventions as names
from .answer import Answer
from .dialect import Shape
from .usage import anthropic_usage

_ABSENT = msgspec.Raw()


class _Message(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    stop_reason: Any = None
    usage: Any = None
    type: Any = None
    error: Any = None
    content: msgspec.Raw = _ABSENT


class _Event(msgspec.Struct, gc=False):
    type: Any = None
    message: _Message | None = None
    delta: Any = None
    usage: Any = None
    error: Any = None
    content_block: Any = None


_decode_message = msgspec.json.Decoder(_Message).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_COUNTS = (
    "input_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "output_tokens",
    "cost_in_usd_ticks",
)
_decode_blocks = msgspec.json.Decoder(list[dict[str, Any]]).decode
_BODY: Shape = {**dict.fromkeys(_Message.__struct_fields__), "content": {"type": None, "id": None}}


def _read_blocks(content: msgspec.Raw, answer: Answer) -> None:
    """Note by what the blocks of a message will be known when they are sent back."""
    try:
        blocks = _decode_blocks(content)
    except (msgspec.MsgspecError, UnicodeError):
        return  # none, or of another kind
    for block in blocks:
        _read_block(block, answer)


def _read_block(block: Any, answer: Answer) -> None:
    answer.put_out({"content": [block]})
    if type(block) is dict and block.get("type") in ("thinking", "redacted_thinking"):
        answer.returned_reasoning = True


def _count(counts: Any, answer: Answer) -> None:
    """Lay one report of usage over what is known: of each count the last one that is a number stands."""
    if type(counts) is dict:
        answer.counts.update({name: counts[name] for name in _COUNTS if type(counts.get(name)) is int})
        answer.used(anthropic_usage(answer.counts))


class Messages:
    """Reads messages."""

    operation: ClassVar[str] = names.CHAT
    body_first: ClassVar[bool] = False
    takes_key: ClassVar[bool] = False
    usage_on_request: ClassVar[bool] = False
    body_shape: ClassVar[Shape] = _BODY
    event_shape: ClassVar[Shape] = {**dict.fromkeys(_Event.__struct_fields__), "message": _BODY}

    def read_body(self, document: bytes, answer: Answer) -> None:
        message = _decode_message(document)
        answer.named(message.id, message.model)
        answer.finished(0, message.stop_reason)
        answer.used(anthropic_usage(message.usage))
        _read_blocks(message.content, answer)
        if message.error or message.type == "error":
            answer.failed()

    def read_event(self, document: bytes, answer: Answer) -> None:
        event = _decode_event(document)
        kind = event.type
        if kind == "content_block_delta":
            if type(event.delta) is dict:
                if event.delta.get("text") or event.delta.get("partial_json"):
                    answer.answering()
                if event.delta.get("thinking"):
                    answer.reasoning()
        elif kind == "content_block_start":
            _read_block(event.content_block, answer)
        elif kind == "message_start":
            if event.message is not None:
                answer.named(event.message.id, event.message.model)
                answer.finished(0, event.message.stop_reason)
                _count(event.message.usage, answer)
        elif kind == "message_delta":
            if type(event.delta) is dict:
                answer.finished(0, event.delta.get("stop_reason"))
            _count(event.usage, answer)
        elif kind == "message_stop":
            answer.ended()
        elif kind == "error" or event.error:
            answer.failed()

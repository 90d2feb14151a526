"""``/v1/chat/completions``: the body, and the chunks of a stream.

The end of a stream is ``[DONE]``, which is framing and not for here. Errors come flat
(``{"code": …, "error": "…"}``) or nested (``{"error": {…}}``), in mid-stream with HTTP 200 too.
"""

from typing import Any, ClassVar

import msgspec

from .. import conventions as names
from .answer import Answer
from .dialect import Shape
from .usage import openai_usage


class _Completion(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    choices: Any = None
    usage: Any = None
    error: Any = None


class _Answer(msgspec.Struct, gc=False):
    content: Any = None
    tool_calls: Any = None
    reasoning_content: Any = None
    reasoning: Any = None


class _Choice(msgspec.Struct, gc=False):
    index: Any = 0
    finish_reason: Any = None
    message: _Answer | None = None


class _Body(msgspec.Struct, gc=False):
    """As ``_Completion``, but the texts of the choices are passed over instead of built."""

    id: Any = None
    model: Any = None
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_chunk = msgspec.json.Decoder(_Completion).decode
_SHAPE: Shape = {
    "id": None,
    "model": None,
    "choices": {"index": None, "finish_reason": None, "delta": None},
    "usage": None,
    "error": None,
}


def _read_message(read: _Answer, answer: Answer) -> None:
    """Note by what the message of a choice will be known when it is sent back."""
    if type(read.content) is str:
        answer.said(read.content)
    if read.tool_calls:
        answer.put_out({"tool_calls": read.tool_calls})
    if read.reasoning_content or read.reasoning:
        answer.returned_reasoning = True


def _read_delta(delta: Any, answer: Answer) -> None:
    if type(delta) is dict:
        calls = delta.get("tool_calls")
        if delta.get("content") or calls or delta.get("function_call") or delta.get("refusal"):
            answer.answering()
        if calls:
            answer.put_out({"tool_calls": calls})
        if delta.get("reasoning_content") or delta.get("reasoning"):
            answer.reasoning()


class ChatCompletions:
    """Reads chat completions."""

    operation: ClassVar[str] = names.CHAT
    body_first: ClassVar[bool] = False
    takes_key: ClassVar[bool] = False
    usage_on_request: ClassVar[bool] = True
    body_shape: ClassVar[Shape] = {
        **_SHAPE,
        "choices": {"index": None, "finish_reason": None, "message": {"reasoning_content": None, "tool_calls": None}},
    }
    event_shape: ClassVar[Shape] = _SHAPE

    def read_body(self, document: bytes, answer: Answer) -> None:
        try:
            body: _Body | _Completion = _decode_body(document)
        except msgspec.ValidationError:  # choices of an unknown kind: all else may be as it should
            body = _decode_chunk(document)
            body.choices = None
        answer.named(body.id, body.model)
        for choice in body.choices or ():
            answer.finished(choice.index, choice.finish_reason)
            if choice.message is not None:
                _read_message(choice.message, answer)
        answer.used(openai_usage(body.usage))
        if body.error and not body.choices:
            answer.failed()

    def read_event(self, document: bytes, answer: Answer) -> None:
        chunk = _decode_chunk(document)
        if answer.id is None or answer.model is None:
            answer.named(chunk.id, chunk.model)
        if type(chunk.choices) is list:
            for choice in chunk.choices:
                if type(choice) is dict:
                    answer.finished(choice.get("index"), choice.get("finish_reason"))
                    _read_delta(choice.get("delta"), answer)
        if chunk.usage:
            answer.used(openai_usage(chunk.usage))
        if chunk.error:
            answer.failed()

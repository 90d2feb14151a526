"""``/v1/responses``: the response object, and the typed events of a stream.

Events are told apart by ``type`` in the data: xAI may leave out the ``event:`` line. Usage comes in the
terminal event alone; ``response.created`` and ``response.in_progress`` carry a response without it.
"""

import re
from contextlib import suppress
from typing import Any, ClassVar

import msgspec

from .. import conventions as names
from .answer import Answer
from .dialect import Shape
from .usage import openai_usage

_ABSENT = msgspec.Raw()


class _Response(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    status: Any = None
    usage: Any = None
    error: Any = None
    incomplete_details: Any = None
    prompt_cache_key: Any = None
    output: msgspec.Raw = _ABSENT


class _Item(msgspec.Struct, gc=False):
    type: Any = None
    call_id: Any = None
    content: Any = None


class _Event(msgspec.Struct, gc=False):
    type: Any = None
    delta: Any = None
    response: msgspec.Raw = _ABSENT
    error: Any = None


_decode_response = msgspec.json.Decoder(_Response).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_output = msgspec.json.Decoder(list[_Item]).decode
_BODY: Shape = {**dict.fromkeys(_Response.__struct_fields__), "output": {"type": None, "call_id": None}}
_UNEVENTFUL = re.compile(rb'\{"type":"response\.(?:in_progress|[a-z_]+\.(?!delta")[a-z_]+)"').match
"""Events that tell nothing we want, and may repeat the whole answer: known by how they start, and not decoded."""
_TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed", "response.done"})


def _finish_reason(response: _Response) -> Any:
    """Why a response ended: its status, or for an incomplete one the reason given for that."""
    if response.status == "incomplete" and type(response.incomplete_details) is dict:
        return response.incomplete_details.get("reason") or response.status
    return response.status if response.status in ("completed", "incomplete", "cancelled") else None


def _read_output(output: msgspec.Raw, answer: Answer) -> None:
    """Note by what the items of a response will be known when they are sent back."""
    try:
        items = _decode_output(output)
    except (msgspec.MsgspecError, UnicodeError):
        return  # none, or of another kind
    for item in items:
        if item.type == "reasoning":
            answer.returned_reasoning = True
        else:
            answer.put_out({"content": item.content, "call_id": item.call_id})


class Responses:
    """Reads responses."""

    operation: ClassVar[str] = names.CHAT
    body_first: ClassVar[bool] = True
    takes_key: ClassVar[bool] = True
    usage_on_request: ClassVar[bool] = False
    body_shape: ClassVar[Shape] = _BODY
    event_shape: ClassVar[Shape] = {"type": None, "delta": None, "response": _BODY, "error": None}

    def read_body(self, document: bytes | msgspec.Raw, answer: Answer) -> None:
        response = _decode_response(document)
        answer.named(response.id, response.model)
        answer.conversed(response.prompt_cache_key)
        answer.finished(0, _finish_reason(response))
        answer.used(openai_usage(response.usage))
        _read_output(response.output, answer)
        if response.error or response.status == "failed":
            answer.failed()

    def read_event(self, document: bytes, answer: Answer) -> None:
        if _UNEVENTFUL(document):
            return
        event = _decode_event(document)
        kind = event.type
        if type(kind) is not str:
            if event.error:
                answer.failed()
        elif kind.endswith(".delta"):
            if event.delta:
                if "reasoning" in kind:
                    answer.reasoning()
                else:
                    answer.answering()
        elif kind == "error":
            answer.failed()
        elif event.response is not _ABSENT and (kind == "response.created" or kind in _TERMINAL):
            if kind in _TERMINAL:
                answer.ended()
            if kind == "response.failed":
                answer.failed()
            with suppress(msgspec.ValidationError):  # a null in its place
                self.read_body(event.response, answer)

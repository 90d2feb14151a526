"""``xai_api.Chat``, xAI's gRPC service of completions: its methods, and what their answers say.

Finish reasons are told in the words of chat completions. Usage may stand in each chunk of a stream, and the last one
counts: it is kept as it is and read when the answer is over. A scalar that is absent and one that is 0 are the same on
the wire; so a usage message tells of 0 cached tokens, and only one that is missing leaves them untold.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from .. import conventions as names
from .answer import Answer
from .grpc_request import read_compact_request, read_completions_request
from .request_body import RequestBody
from .usage import sampling_usage

FINISHES: Final = {1: "length", 2: "length", 3: "stop", 4: "tool_calls", 5: "time_limit"}
DONE: Final = 1
PENDING: Final = 3
_USAGE = "usage"


class GrpcMethod(NamedTuple):
    """One method whose call is an exchange."""

    operation: str
    streamed: bool
    read_request: Callable[[Any], RequestBody]
    read_message: Callable[[Any, Answer], None]
    """Reads a message of the answer: the whole of it, or a chunk."""
    is_of_conversation: bool = True
    """Whether the ledger takes note of it."""
    body_first: bool = False
    takes_key: bool = False
    usage_on_request: bool = False


def read_completion(message: Any, answer: Answer) -> None:
    """Read a ``GetChatCompletionResponse``."""
    answer.named(message.id, message.model)
    for output in message.outputs:
        if output.finish_reason:
            answer.finished(output.index, _finish(output.finish_reason))
        said = output.message
        answer.said(said.content)
        if said.tool_calls:
            _put_out(said.tool_calls, answer)
        if said.reasoning_content or getattr(said, "encrypted_content", None):
            answer.returned_reasoning = True
    _note_usage(message, answer)


def read_chunk(message: Any, answer: Answer) -> None:
    """Read a ``GetChatCompletionChunk``."""
    if answer.id is None or answer.model is None:
        answer.named(message.id, message.model)
    outputs = message.outputs
    for place in range(len(outputs)):  # an iterator over the one that there is would cost more than all the rest
        output = outputs[place]
        if output.finish_reason:
            answer.finished(output.index, _finish(output.finish_reason))
        delta = output.delta
        if delta.tool_calls:
            answer.answering()
            _put_out(delta.tool_calls, answer)
        if not answer.answered and delta.content:
            answer.answering()
        if not answer.reasoned and delta.reasoning_content:
            answer.reasoning()
        if not answer.returned_reasoning and getattr(delta, "encrypted_content", None):
            answer.returned_reasoning = True
    _note_usage(message, answer)


def read_compaction(message: Any, answer: Answer) -> None:
    """Read a ``CompactContextResponse``."""
    answer.named(message.id, None)
    _note_usage(message, answer)


def settle_usage(answer: Answer) -> None:
    """Read the last usage that came, now that the answer is over."""
    last = answer.counts.pop(_USAGE, None)
    if last is not None:
        answer.used(sampling_usage(last))


def _note_usage(message: Any, answer: Answer) -> None:
    if message.HasField(_USAGE):
        answer.counts[_USAGE] = message.usage


def _put_out(calls: Any, answer: Answer) -> None:
    answer.put_out({"tool_calls": [{"id": call.id} for call in calls]})


def _finish(reason: int) -> str:
    return FINISHES.get(reason) or str(reason)


METHODS: Final = {
    "GetCompletion": GrpcMethod(names.CHAT, False, read_completions_request, read_completion),
    "GetCompletionChunk": GrpcMethod(names.CHAT, True, read_completions_request, read_chunk),
    "StartDeferredCompletion": GrpcMethod(names.CHAT, False, read_completions_request, read_completion),
    "CompactContext": GrpcMethod(names.COMPACT, False, read_compact_request, read_compaction, False),
}
"""The methods that ask for a generation. What only reads, deletes or polls is no exchange."""

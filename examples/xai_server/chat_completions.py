"""The wire shapes of /v1/chat/completions: the object, the chunks, the usage.

The counts come from a `Generation`; when and how the bytes leave is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator

from xai_server.errors import code_of
from xai_server.generation import Generation, usage_field
from xai_server.prompt import JSON
from xai_server.sse import DONE, Event, Moment

_FINGERPRINT = "fp_3a7881249c"


def usage(generation: Generation, visible: int | None = None, reasoning: int | None = None) -> JSON:
    """Count as chat does: `completion_tokens` excludes reasoning, `total_tokens` includes it."""
    visible = generation.visible_tokens if visible is None else visible
    reasoning = generation.reasoning_tokens if reasoning is None else reasoning
    return {
        "prompt_tokens": generation.input_tokens,
        "completion_tokens": visible,
        "total_tokens": generation.input_tokens + visible + reasoning,
        "prompt_tokens_details": {
            "text_tokens": generation.input_tokens,
            "audio_tokens": 0,
            "image_tokens": 0,
            "cached_tokens": generation.cached_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
        "num_sources_used": 0,
        "cost_in_usd_ticks": generation.ticks,
    }


def completion(generation: Generation, request: JSON) -> JSON:
    """Make the whole object."""
    answer = generation.answer
    message: JSON = {"role": "assistant", "content": "".join(answer.text)}
    if answer.reasoning:
        message["reasoning_content"] = "".join(answer.reasoning)
    message["refusal"] = None
    message["tool_calls"] = _tool_calls(generation) or None
    choices = [
        {"index": index, "message": message, "finish_reason": _finish_reason(generation)}
        for index in range(generation.choices)
    ]
    return {
        "id": generation.id,
        "object": "chat.completion",
        "created": generation.created,
        "model": generation.model,
        "choices": choices,
        **usage_field(usage(generation), generation.trouble),
        "system_fingerprint": _FINGERPRINT,
        "citations": None,
        "service_tier": request.get("service_tier") or "default",
    }


def includes_usage(request: JSON) -> bool:
    """Tell whether the answer is to state its usage; a stream does only when asked."""
    options = request.get("stream_options")
    return not request.get("stream") or (isinstance(options, dict) and bool(options.get("include_usage")))


def chunks(generation: Generation, request: JSON) -> Iterator[Event]:
    """Make the stream: one empty chunk, reasoning, answer, finish reason, usage if asked for."""
    answer = generation.answer
    moment, visible, reasoning = Moment.EMPTY, 0, 0

    def chunk(delta: JSON, finish_reason: str | None = None) -> Iterator[Event]:
        for index in range(generation.choices):
            choice: JSON = {"index": index, "delta": delta}
            if finish_reason is not None:
                choice["finish_reason"] = finish_reason
            payload = _chunk(generation, [choice], request)
            if generation.trouble.usage == "every_chunk":
                payload["usage"] = usage(generation, visible, reasoning)
            elif generation.trouble.usage == "null":
                payload["usage"] = None
            yield Event(payload, moment)

    yield from chunk({"role": "assistant", "content": ""})
    moment = Moment.REASONING
    for text in answer.reasoning:
        # Cumulative counts in every chunk are what older versions of the API sent.
        reasoning = min(reasoning + generation.choices, generation.reasoning_tokens)
        yield from chunk({"reasoning_content": text})
    reasoning = generation.reasoning_tokens
    moment = Moment.ANSWER
    for text in answer.text:
        visible = min(visible + generation.choices, generation.visible_tokens)
        yield from chunk({"content": text})
    visible = generation.visible_tokens
    if answer.call:
        # xAI sends a tool call whole, in one chunk.
        calls = [{"index": index, **call} for index, call in enumerate(_tool_calls(generation))]
        yield from chunk({"tool_calls": calls})
    moment = Moment.OTHER
    yield from chunk({}, _finish_reason(generation))
    if includes_usage(request) and generation.trouble.usage != "none":
        yield Event({**_chunk(generation, [], request), **usage_field(usage(generation), generation.trouble)})
    yield Event(DONE)


def error_payload(shape: str) -> JSON:
    """Make the error that can appear in the middle of a stream."""
    message = "Service temporarily unavailable. The model is at capacity and currently cannot serve this request."
    if shape == "nested":
        return {"error": {"message": message, "type": "server_error", "code": 503}}
    return {"code": code_of(503), "error": message}


def _chunk(generation: Generation, choices: list[JSON], request: JSON) -> JSON:
    return {
        "id": generation.id,
        "object": "chat.completion.chunk",
        "created": generation.created,
        "model": generation.model,
        "choices": choices,
        "system_fingerprint": _FINGERPRINT,
        "service_tier": request.get("service_tier") or "default",
    }


def _tool_calls(generation: Generation) -> list[JSON]:
    call = generation.answer.call
    if call is None:
        return []
    return [{"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}]


def _finish_reason(generation: Generation) -> str:
    if generation.answer.cut_short:
        return "length"
    return "tool_calls" if generation.answer.call else "stop"

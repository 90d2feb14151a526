"""The wire shapes of /v1/messages, xAI's Anthropic-compatible API.

The counts come from a `Generation`; when and how the bytes leave is not known here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from xai_server.generation import Generation, usage_field
from xai_server.prompt import JSON, seal
from xai_server.sse import DONE, Event, Moment


def usage(generation: Generation, *, includes_cached: bool) -> JSON:
    """Count as Messages does; writes to the cache are free and reported as 0."""
    cached = generation.cached_tokens
    return {
        "input_tokens": generation.input_tokens - (0 if includes_cached else cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": generation.visible_tokens + generation.reasoning_tokens,
    }


def message(generation: Generation, *, includes_cached: bool) -> JSON:
    """Make the whole object."""
    return {
        **_frame(generation),
        "content": _blocks(generation),
        "stop_reason": _stop_reason(generation),
        **usage_field(usage(generation, includes_cached=includes_cached), generation.trouble),
    }


def events(generation: Generation, *, includes_cached: bool) -> Iterator[Event]:
    """Make the stream: one run of events per content block, the final counts in `message_delta`."""
    counts = usage(generation, includes_cached=includes_cached)
    trouble = generation.trouble
    start = {**_frame(generation), "content": [], **usage_field({**counts, "output_tokens": 0}, trouble)}
    yield Event({"type": "message_start", "message": start}, Moment.EMPTY)
    for index, block in enumerate(_blocks(generation)):
        yield Event({"type": "content_block_start", "index": index, "content_block": _opened(block)})
        for delta, moment in _deltas(generation, block):
            yield Event({"type": "content_block_delta", "index": index, "delta": delta}, moment)
        yield Event({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": _stop_reason(generation), "stop_sequence": None}
    yield Event({"type": "message_delta", "delta": delta, **usage_field(counts, trouble)})
    yield Event({"type": "message_stop"})
    # xAI's schema promises this, unlike Anthropic's own API; clients pass over it.
    yield Event(DONE)


def error_payload() -> JSON:
    """Make the event that reports a failure in the middle of a stream."""
    return {"type": "error", "error": {"type": "overloaded_error", "message": "Service temporarily unavailable."}}


def _frame(generation: Generation) -> JSON:
    return {
        "id": generation.id,
        "type": "message",
        "role": "assistant",
        "model": generation.model,
        "stop_reason": None,
        "stop_sequence": None,
    }


def _blocks(generation: Generation) -> list[JSON]:
    answer = generation.answer
    blocks: list[JSON] = []
    if answer.reasoning:
        reasoning = "".join(answer.reasoning)
        blocks.append({"type": "thinking", "thinking": reasoning, "signature": seal(reasoning)})
    if answer.text or answer.call is None:
        blocks.append({"type": "text", "text": "".join(answer.text)})
    if answer.call:
        given = json.loads(answer.call.arguments)
        blocks.append({"type": "tool_use", "id": answer.call.id, "name": answer.call.name, "input": given})
    return blocks


def _opened(block: JSON) -> JSON:
    empty: dict[str, JSON] = {
        "thinking": {"thinking": "", "signature": ""},
        "text": {"text": ""},
        "tool_use": {"input": {}},
    }
    return {**block, **empty[block["type"]]}


def _deltas(generation: Generation, block: JSON) -> Iterator[tuple[JSON, Moment]]:
    if block["type"] == "thinking":
        for text in generation.answer.reasoning:
            yield {"type": "thinking_delta", "thinking": text}, Moment.REASONING
        yield {"type": "signature_delta", "signature": block["signature"]}, Moment.OTHER
    elif block["type"] == "text":
        for text in generation.answer.text:
            yield {"type": "text_delta", "text": text}, Moment.ANSWER
    elif generation.answer.call:
        yield {"type": "input_json_delta", "partial_json": generation.answer.call.arguments}, Moment.ANSWER


def _stop_reason(generation: Generation) -> str:
    if generation.answer.cut_short:
        return "max_tokens"
    return "tool_use" if generation.answer.call else "end_turn"

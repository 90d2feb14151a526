"""The wire shapes of /v1/responses: the object, its events, its usage, a compaction.

The counts come from a `Generation`; what is stored, and when the bytes leave, is not
known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from xai_server.answers import is_reasoning
from xai_server.generation import Generation, new_id, usage_field
from xai_server.prompt import JSON, seal
from xai_server.sse import DONE, Event, Moment

_ENCRYPTED = "reasoning.encrypted_content"
_ECHOED: JSON = {
    "prompt_cache_key": None,
    "previous_response_id": None,
    "service_tier": "default",
    "store": True,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "top_logprobs": 0,
    "truncation": "disabled",
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "user": None,
}


def usage(generation: Generation) -> JSON:
    """Count as Responses does: `output_tokens` includes reasoning, unlike chat."""
    output = generation.visible_tokens + generation.reasoning_tokens
    return {
        "input_tokens": generation.input_tokens,
        "input_tokens_details": {"cached_tokens": generation.cached_tokens},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": generation.reasoning_tokens},
        "total_tokens": generation.input_tokens + output,
        "num_sources_used": 0,
        "num_server_side_tools_used": 0,
        "cost_in_usd_ticks": generation.ticks,
        "server_side_tool_usage_details": {
            "web_search_calls": 0,
            "x_search_calls": 0,
            "code_interpreter_calls": 0,
            "file_search_calls": 0,
            "mcp_calls": 0,
            "document_search_calls": 0,
            "image_generation_calls": 0,
        },
        "context_details": {"input_tokens": generation.input_tokens, "output_tokens": output},
    }


def response(generation: Generation, request: JSON) -> JSON:
    """Make the whole object."""
    done = {**_frame(generation, request), **usage_field(usage(generation), generation.trouble)}
    done["completed_at"] = generation.created
    done["status"] = "incomplete" if generation.answer.cut_short else "completed"
    if generation.answer.cut_short:
        done["incomplete_details"] = {"reason": "max_output_tokens"}
    done["output"] = _items(generation, request)
    return done


def events(generation: Generation, request: JSON) -> Iterator[Event]:
    """Make the stream, numbered from 0, with usage in the last object only."""
    numbers = count()
    every = generation.trouble.usage in ("every_chunk", "null")
    early = usage_field(usage(generation), generation.trouble) if every else {}
    started = {**_frame(generation, request), **early}

    def event(kind: str, fields: JSON, moment: Moment = Moment.OTHER) -> Event:
        return Event({"type": kind, "sequence_number": next(numbers), **fields}, moment)

    yield event("response.created", {"response": started}, Moment.EMPTY)
    yield event("response.in_progress", {"response": started})
    for index, item in enumerate(_items(generation, request)):
        yield event("response.output_item.added", {"output_index": index, "item": _opened(item)})
        for kind, fields, moment in _item_events(generation, item):
            yield event(kind, {"item_id": item["id"], "output_index": index, **fields}, moment)
        yield event("response.output_item.done", {"output_index": index, "item": item})
    finished = response(generation, request)
    yield event(f"response.{finished['status']}", {"response": finished})
    yield Event(DONE)


def compaction(generation: Generation) -> JSON:
    """Make the answer to a compaction: one opaque item that replaces the conversation."""
    item = {"type": "compaction", "id": f"cmp_{new_id()}", "encrypted_content": seal("".join(generation.answer.text))}
    return {
        "id": generation.id,
        "object": "response.compaction",
        "created_at": generation.created,
        "model": generation.model,
        "output": [item],
        **usage_field(usage(generation), generation.trouble),
    }


def error_payload(shape: str, generation: Generation, request: JSON) -> JSON:
    """Make the event that reports a failure in the middle of a stream."""
    error = {"code": "server_error", "message": "Service temporarily unavailable."}
    if shape == "failed":
        failed = {**_frame(generation, request), "status": "failed", "error": error, "usage": None}
        return {"type": "response.failed", "sequence_number": 0, "response": failed}
    if shape == "nested":
        return {"type": "error", "sequence_number": 0, "error": error}
    return {"type": "error", "sequence_number": 0, **error, "param": None}


def _frame(generation: Generation, request: JSON) -> JSON:
    return {
        "id": generation.id,
        "object": "response",
        "created_at": generation.created,
        "completed_at": None,
        "model": generation.model,
        "status": "in_progress",
        "output": [],
        "incomplete_details": None,
        "error": None,
        "metadata": {},
        "background": False,
        **{key: default if request.get(key) is None else request[key] for key, default in _ECHOED.items()},
    }


def _items(generation: Generation, request: JSON) -> list[JSON]:
    answer = generation.answer
    items: list[JSON] = []
    if answer.reasoning and is_reasoning(generation.model):
        reasoning = "".join(answer.reasoning)
        item: JSON = {
            "type": "reasoning",
            "id": f"rs_{generation.id}",
            "summary": [{"type": "summary_text", "text": reasoning}],
            "status": "completed",
        }
        # grok-4.7 returns it even when not asked.
        if _ENCRYPTED in (request.get("include") or ()) or generation.model == "grok-4.7":
            item["encrypted_content"] = seal(reasoning)
        items.append(item)
    if answer.text or answer.call is None:
        items.append(
            {
                "type": "message",
                "id": f"msg_{generation.id}",
                "role": "assistant",
                "status": "incomplete" if answer.cut_short else "completed",
                "content": [_text_part("".join(answer.text))],
            }
        )
    if answer.call:
        items.append(
            {
                "type": "function_call",
                "id": f"fc_{generation.id}",
                "call_id": answer.call.id,
                "name": answer.call.name,
                "arguments": answer.call.arguments,
                "status": "completed",
            }
        )
    return items


def _opened(item: JSON) -> JSON:
    opened = {key: value for key, value in item.items() if key != "encrypted_content"}
    empty: dict[str, JSON] = {
        "reasoning": {"summary": []},
        "message": {"content": []},
        "function_call": {"arguments": ""},
    }
    return {**opened, **empty[item["type"]], "status": "in_progress"}


def _item_events(generation: Generation, item: JSON) -> Iterator[tuple[str, JSON, Moment]]:
    other = Moment.OTHER
    if item["type"] == "reasoning":
        here, text = {"summary_index": 0}, item["summary"][0]["text"]
        part = {"type": "summary_text", "text": ""}
        yield "response.reasoning_summary_part.added", {**here, "part": part}, other
        for delta in generation.answer.reasoning:
            yield "response.reasoning_summary_text.delta", {**here, "delta": delta}, Moment.REASONING
        yield "response.reasoning_summary_text.done", {**here, "text": text}, other
        yield "response.reasoning_summary_part.done", {**here, "part": {**part, "text": text}}, other
    elif item["type"] == "message":
        here, text = {"content_index": 0}, item["content"][0]["text"]
        yield "response.content_part.added", {**here, "part": _text_part("")}, other
        for delta in generation.answer.text:
            yield "response.output_text.delta", {**here, "delta": delta, "logprobs": []}, Moment.ANSWER
        yield "response.output_text.done", {**here, "text": text, "logprobs": []}, other
        yield "response.content_part.done", {**here, "part": _text_part(text)}, other
    else:
        yield "response.function_call_arguments.delta", {"delta": item["arguments"]}, Moment.ANSWER
        done = {"arguments": item["arguments"], "name": item["name"]}
        yield "response.function_call_arguments.done", done, other


def _text_part(text: str) -> JSON:
    return {"type": "output_text", "text": text, "logprobs": None, "annotations": []}

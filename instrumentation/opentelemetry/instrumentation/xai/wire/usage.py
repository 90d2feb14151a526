"""The three shapes in which xAI reports usage, brought to the one way in which the conventions count.

=====================  ======================================  =====================
endpoint               input                                   output
=====================  ======================================  =====================
chat completions       includes cached                         excludes reasoning
responses              includes cached                         includes reasoning
messages               excludes cached (Anthropic's way)       includes reasoning
=====================  ======================================  =====================

Gateways and older answers deviate, so the total decides where there is one. Null and wrong types are
absence; a reported 0 is a value.
"""

from typing import Any

from ..observation import Usage


def _count(counts: Any, name: str) -> int | None:
    value = counts.get(name) if type(counts) is dict else None
    return value if type(value) is int and value >= 0 else None


def openai_usage(counts: Any) -> Usage | None:
    """Usage in OpenAI's shapes: chat completions (``prompt_tokens``) and Responses (``input_tokens``).

    Both spellings are read on both endpoints, since xAI's stored responses use the chat names.
    """
    if type(counts) is not dict or not counts:
        return None
    prompt, details, answer_details = _count(counts, "prompt_tokens"), "prompt_tokens_details", "completion_tokens_details"
    completion = _count(counts, "completion_tokens")
    if prompt is None and completion is None:
        prompt, details, answer_details = _count(counts, "input_tokens"), "input_tokens_details", "output_tokens_details"
        completion = _count(counts, "output_tokens")
    split = counts.get(details)
    cached = _count(split, "cached_tokens")
    reasoning = _count(counts.get(answer_details), "reasoning_tokens")
    input_tokens, output_tokens = prompt, completion
    if prompt is not None and completion is not None:
        total = _count(counts, "total_tokens")
        apart = reasoning or 0
        if total == prompt + completion:
            pass
        elif total == prompt + completion + apart or apart > completion:
            output_tokens = completion + apart
        if cached and (
            cached > prompt or (total not in (prompt + completion, prompt + completion + apart)
                                and total in (prompt + cached + completion, prompt + cached + completion + apart))
        ):
            input_tokens = prompt + cached
            if total == prompt + cached + completion + apart:
                output_tokens = completion + apart
    return Usage(
        input_tokens,
        output_tokens,
        cached,
        reasoning,
        _count(counts, "cost_in_usd_ticks") or None,  # xAI: 0 means unbilled or unreported
        _modalities(split, input_tokens),
    )


def _modalities(split: Any, input_tokens: int | None) -> tuple[tuple[str, int], ...]:
    """The input by kind, if xAI's split adds up to it."""
    kinds = [(kind, _count(split, f"{kind}_tokens")) for kind in ("text", "image", "audio")]
    parts = tuple((kind, tokens) for kind, tokens in kinds if tokens)
    return parts if parts and sum(tokens for _, tokens in parts) == input_tokens else ()


def anthropic_usage(counts: Any) -> Usage | None:
    """Usage of ``/v1/messages``: cache reads and writes come beside ``input_tokens`` and belong to the input."""
    if type(counts) is not dict or not counts:
        return None
    fresh, cached = _count(counts, "input_tokens"), _count(counts, "cache_read_input_tokens")
    input_tokens = fresh
    if fresh is not None:
        input_tokens = fresh + (cached or 0) + (_count(counts, "cache_creation_input_tokens") or 0)
    return Usage(
        input_tokens,
        _count(counts, "output_tokens"),
        cached,
        cost_ticks=_count(counts, "cost_in_usd_ticks") or None,
    )
